"""Header fields of one header block: splitting, unfolding, look-up, and Message-ID lists.

Works on octets as received, CRLF or bare LF. Lines that are no field are skipped, never an error. What comes
out of ``unfold`` holds no CR, LF or NUL, so a value can never become a second field.
"""

import re

# field = field-name ":" unstructured CRLF, with folding white space (RFC 5322 §2.2, §2.2.3)
FIELD = re.compile(rb"^([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)", re.MULTILINE)
# msg-id of RFC 5322 §3.6.4, tolerant about what stands between the angle brackets
_MESSAGE_ID = re.compile(rb"<([^<>\s]{1,996})>")
_CONTROLS = bytes.maketrans(b"\r\n\0", b"   ")
MESSAGE_IDS = 1000
"""At most this many ids are read from one References field."""


def unfold(value: bytes) -> bytes:
    """Undo folding (RFC 5322 §2.2.3) and trim; stray CR, LF and NUL become spaces."""
    value = value.strip(b" \t\r\n")
    if b"\n" in value:
        value = value.replace(b"\r\n", b"").replace(b"\n", b"")
    return value.translate(_CONTROLS)


class HeaderBlock:
    """The fields of one header block, in order; names compare without case."""

    __slots__ = ("_values",)

    def __init__(self, block: bytes) -> None:
        values: dict[bytes, list[bytes]] = {}
        for name, value in FIELD.findall(block):
            values.setdefault(name.lower(), []).append(value)
        self._values = values

    def find(self, name: bytes) -> bytes | None:
        """First value of a field (lower-case name), unfolded; None when absent."""
        values = self._values.get(name)
        return unfold(values[0]) if values else None

    def find_all(self, name: bytes) -> tuple[bytes, ...]:
        """Every value of a field (lower-case name), unfolded, in order."""
        values = self._values.get(name)
        return tuple(map(unfold, values)) if values else ()

    def count(self, name: bytes) -> int:
        """How often a field occurs: RFC 5322 §3.6 allows most of them once."""
        return len(self._values.get(name, ()))

    def __len__(self) -> int:
        return sum(map(len, self._values.values()))


def find_header(block: bytes, name: str) -> bytes | None:
    """First value of the named field in a header block, unfolded; None when absent."""
    return HeaderBlock(block).find(name.lower().encode("ascii", "replace"))


def find_message_id(value: bytes) -> str | None:
    """The first ``<id>`` of a Message-ID or In-Reply-To value, brackets kept (RFC 5322 §3.6.4)."""
    match = _MESSAGE_ID.search(value)
    return match.group().decode("ascii", "replace") if match else None


def find_message_ids(value: bytes) -> tuple[str, ...]:
    """Every ``<id>`` of a References value in order, brackets kept, at most MESSAGE_IDS."""
    found: list[str] = []
    for match in _MESSAGE_ID.finditer(value):
        if len(found) == MESSAGE_IDS:
            break
        found.append(match.group().decode("ascii", "replace"))
    return tuple(found)
