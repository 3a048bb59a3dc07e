"""The JSON object that an SMS provider wants, as a template: {number}, {text} and {sender} inside its texts."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from mailserver.model.errors import Malformed

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
_NAMES = ("number", "text", "sender")
_MARK = re.compile(r"\{([a-z]+)\}")


@dataclass(frozen=True, slots=True)
class SmsBody:
    """Parsed, so that no value can leave its place."""

    template: dict[str, Json]

    def fill(self, values: Mapping[str, str]) -> bytes:
        """The request's body. ``values`` has the three names."""
        return json.dumps(_filled(self.template, values), ensure_ascii=False).encode()


def parse_sms_body(text: str) -> SmsBody:
    """Raises Malformed("sms-body") for what is no JSON object with a {number} and a {text}."""
    try:
        template = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed("sms-body") from error
    if not isinstance(template, dict):
        raise Malformed("sms-body")
    named = set(_MARK.findall(text))
    if not {"number", "text"} <= named or not named <= set(_NAMES):
        raise Malformed("sms-body")
    return SmsBody(template)


def _filled(node: Json, values: Mapping[str, str]) -> Json:
    if isinstance(node, str):
        return _MARK.sub(lambda mark: values[mark[1]], node)
    if isinstance(node, list):
        return [_filled(each, values) for each in node]
    if isinstance(node, dict):
        return {key: _filled(each, values) for key, each in node.items()}
    return node
