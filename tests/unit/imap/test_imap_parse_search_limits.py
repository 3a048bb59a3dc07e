"""How many keys one SEARCH may hold: each text key looks through the whole of every message (S4)."""

import pytest

from mailserver.imap.framing import RawCommand
from mailserver.imap.parse import parse_command
from mailserver.model.errors import Malformed


def search(keys: bytes):
    return parse_command(RawCommand((b"a SEARCH " + keys,)))


@pytest.mark.parametrize(
    "keys",
    [
        b" ".join([b"TEXT x"] * 9),
        b" ".join([b"SEEN"] * 1001),
        b"OR BODY x (" + b" ".join([b"BODY y"] * 8) + b")",
    ],
)
def test_too_many_keys_are_refused(keys: bytes) -> None:
    with pytest.raises(Malformed) as refused:
        search(keys)
    assert refused.value.code == "too_many_keys"


def test_a_few_text_keys_are_read() -> None:
    assert search(b" ".join([b"TEXT x"] * 8))[0] == "a"
