"""The parts of a multipart/report (RFC 6522) as those who read one need them: its machine part, the groups of a delivery
status, the original that came back. Pure; reads a bounded number of octets.
"""

import re
from collections.abc import Callable, Iterable, Iterator

from mailserver.mime.decode import decoder_of
from mailserver.mime.headers import HeaderBlock
from mailserver.mime.part import Part
from mailserver.model.address import Address, parse_address
from mailserver.model.errors import Malformed

Read = Callable[[int, int], bytes]
"""``read(start, stop)`` gives octets of the message that the tree was scanned from."""

STATUSES = frozenset({"message/delivery-status", "message/global-delivery-status"})
MACHINE_BYTES = 64 * 1024
HEADER_BYTES = 256 * 1024
RECIPIENTS = 200
_ORIGINALS = frozenset({"message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"})
_GROUP_END = re.compile(rb"\r?\n[ \t]*(?:\r?\n)+")
_BLANK = re.compile(rb"\r?\n\r?\n")


def find_machine_part(root: Part, types: frozenset[str]) -> tuple[Part, Part] | None:
    """The one part of these types, after its multipart/report; None when there is none, several, or one too large.

    Nothing inside an enclosed message counts: its report is another's.
    """
    found: list[tuple[Part, Part]] = []
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.content.media_type != "multipart" or part.is_opaque:
            continue
        waiting += part.children
        if part.content.subtype == "report":
            found += ((part, each) for each in part.children if each.content.content_type in types)
    if len(found) != 1:
        return None
    machine = found[0][1]
    return None if machine.is_opaque or machine.size_bytes > MACHINE_BYTES else found[0]


def read_head(root: Part, read: Read) -> HeaderBlock:
    """The message's own header."""
    return HeaderBlock(read(root.header_start, min(root.body_start, root.header_start + HEADER_BYTES)))


def read_part(part: Part, read: Read, most: int) -> bytes:
    """The decoded body, of at most ``most`` octets as they stand."""
    decoder = decoder_of(part.content.encoding)
    octets = read(part.body_start, min(part.body_end, part.body_start + most))
    return decoder.update(octets) + decoder.finish()


def split_groups(octets: bytes) -> Iterator[HeaderBlock]:
    """RFC 3464 §2.1: groups of fields parted by empty lines, the first of the message, the others of recipients."""
    for group in _GROUP_END.split(octets, RECIPIENTS + 1)[: RECIPIENTS + 1]:
        yield HeaderBlock(group.lstrip(b"\r\n"))


def find_original(report: Part, read: Read) -> HeaderBlock | None:
    """The header of the original that came back with the report, whole or its header."""
    for part in report.children:
        if part.content.content_type in _ORIGINALS:
            octets = read_part(part, read, HEADER_BYTES).lstrip(b"\r\n")
            return HeaderBlock(_BLANK.split(octets, 1)[0] + b"\r\n")
    return None


def find_once(fields: HeaderBlock, name: bytes) -> bytes | None:
    """The value of a field that stands there once."""
    return fields.find(name) if fields.count(name) == 1 else None


def reported_names(values: Iterable[bytes | None]) -> tuple[Address, ...]:
    """``type;address`` each (RFC 3464 §2.3.1); the type is left out by some, and some write angles."""
    found: list[Address] = []
    for value in values:
        text = (value or b"")[:1000].rpartition(b";")[2].strip().removeprefix(b"<").removesuffix(b">")
        try:
            address = parse_address(text.decode())
        except (Malformed, UnicodeDecodeError):
            continue
        if address not in found:
            found.append(address)
    return tuple(found)
