"""One encoding for every context: what a key, a seal or a MAC is for.

``ctx(label, …) = "pli/1/" ‖ label ‖ 0x00 ‖ fields``: ids are 16 raw bytes, integers u64 big-endian, strings and
``Raw`` bytes u32-length-prefixed. A label always has the same fields in the same order, so two contexts are never
the same bytes. Published vectors: ``tests/vectors/crypto/ctx.json``.
"""

from dataclasses import dataclass
from typing import TypeAlias

from mailserver.model.ids import ID_BYTES

PREFIX = b"pli/1/"


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes of any length as a field: u32 length, then the bytes."""

    value: bytes


Field: TypeAlias = bytes | int | str | Raw


def ctx(label: str, *fields: Field) -> bytes:
    """The context bytes for ``label`` and its fields.

    ValueError for a label that is empty, not ASCII or has a NUL, for bare bytes that are not an id, and for an
    integer outside u64.
    """
    if not label or not label.isascii() or "\0" in label:
        raise ValueError("a label is printable ASCII")
    parts = [PREFIX, label.encode("ascii"), b"\0"]
    for field in fields:
        if isinstance(field, bytes):
            if len(field) != ID_BYTES:
                raise ValueError("bare bytes are a 16-byte id; wrap others in Raw")
            parts.append(field)
        elif isinstance(field, int):
            parts.append(_u64(field))
        else:
            value = field.encode() if isinstance(field, str) else field.value
            parts.append(len(value).to_bytes(4, "big"))
            parts.append(value)
    return b"".join(parts)


def _u64(value: int) -> bytes:
    try:
        return value.to_bytes(8, "big")
    except OverflowError:
        raise ValueError("an integer is 0 … 2**64-1") from None
