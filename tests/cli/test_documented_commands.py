"""The README and docs/operating.md name commands, options and keys that exist."""

import argparse
import dataclasses
import re
from pathlib import Path

import pytest

from mailserver.cli.main import build_parser
from mailserver.config import SECTIONS

ROOT = Path(__file__).parents[2]
COMMAND = re.compile(r"(?<![\w/])pli ((?:[a-z-]+ ?){1,3})")
KEY = re.compile(r"`\[([a-z]+)\] ([a-z_]+)")
OPTION = re.compile(r"(?<!\S)`?(--[a-z-]+)")


def parsers(parser: argparse.ArgumentParser, path: str = "") -> dict[str, argparse.ArgumentParser]:
    found = {path: parser}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                found |= parsers(each, f"{path} {name}".strip())
    return found


@pytest.mark.parametrize("name", ["README.md", "docs/operating.md"])
def test_commands_and_keys_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    known = parsers(build_parser())
    marked = re.findall(r"`(pli [^`]+)`", text) + re.findall(r"^ +\S*(pli .+)$", text, re.MULTILINE)
    for said in marked:
        words = COMMAND.match(re.sub(r"\s+", " ", said.replace(" C ", " ")))
        assert words, said
        path = words[1].split()
        while path and " ".join(path) not in known:
            path.pop()
        assert path, f"{name}: there is no pli {words[1]}"
        options = {option for each in known[" ".join(path)]._actions for option in each.option_strings}
        assert set(OPTION.findall(said)) <= options, said
    for section, key in KEY.findall(text):
        assert key in {each.name for each in dataclasses.fields(SECTIONS[section])}, f"[{section}] {key}"


def test_every_command_is_documented() -> None:
    text = re.sub(r"\s+", " ", (ROOT / "docs/operating.md").read_text(encoding="utf-8"))
    leaves = [path for path in parsers(build_parser()) if path.count(" ")]
    leaves = [path for path in leaves if not any(other.startswith(f"{path} ") for other in leaves)]
    assert [path for path in leaves if f"pli {path}" not in text] == []
