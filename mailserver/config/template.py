"""Writing a ``pli.toml``: every key, documented, so that the file is its own manual."""

import dataclasses
from collections.abc import Mapping

from mailserver.config import SECTIONS, Value


def format_config(values: Mapping[str, Mapping[str, Value]]) -> str:
    """A commented ``pli.toml``: every key with its documentation; keys that are not given show their default."""
    lines = ["# Pli's configuration. Each key may also be an environment variable: PLI_SECTION_KEY.", ""]
    for name, kind in SECTIONS.items():
        lines.append(f"[{name}]")
        for each in dataclasses.fields(kind):
            given = values.get(name, {})
            lines.append(f"# {each.metadata['doc']}")
            if each.name in given:
                lines.append(f"{each.name} = {_toml(given[each.name])}")
            else:
                lines.append(f"#{each.name} = {_toml(getattr(kind(), each.name))}")
        lines.append("")
    return "\n".join(lines)


def _toml(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
