"""Derived keys and MACs: HKDF-SHA-256 (RFC 5869) and HMAC-SHA-256 (RFC 2104) over a ctx, and row MACs (K23)."""

import hmac
from collections.abc import Sequence

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mailserver.crypto.ctx import Field, Raw, ctx
from mailserver.crypto.secret import Secret


def derive(secret: Secret, label: str, *fields: Field, length: int = 32) -> Secret:
    """HKDF-SHA-256 with no salt and ``info = ctx(label, *fields)``; ``length`` in bytes, at most 8160."""
    return Secret(HKDF(SHA256(), length, None, ctx(label, *fields)).derive(secret.reveal()))


def mac(key: Secret, label: str, *fields: Field) -> bytes:
    """HMAC-SHA-256 of ``ctx(label, *fields)``: 32 bytes."""
    return mac_context(key, ctx(label, *fields))


def mac_context(key: Secret, context: bytes) -> bytes:
    """``mac`` of a context that was made already."""
    return hmac.digest(key.reveal(), context, "sha256")


def row_mac(key: Secret, table: str, fields: Sequence[bytes | int | str | None]) -> bytes:
    """K23: HMAC-SHA-256 of ``ctx("row", table, count, Raw(encoded fields))``.

    Each field is tag ‖ u32 length ‖ bytes: ``n`` (None, empty), ``b`` (bytes), ``i`` (signed 64-bit big-endian),
    ``s`` (UTF-8). True and 1 are one value, as in SQL. OverflowError for an integer outside 64 bits.
    """
    encoded = b"".join(map(_tagged, fields))
    return hmac.digest(key.reveal(), ctx("row", table, len(fields), Raw(encoded)), "sha256")


def verify_mac(a: bytes, b: bytes) -> bool:
    """Whether two MACs are equal, in constant time."""
    return hmac.compare_digest(a, b)


def _tagged(field: bytes | int | str | None) -> bytes:
    if isinstance(field, bytes):
        return b"b" + len(field).to_bytes(4, "big") + field
    if isinstance(field, int):
        return b"i\0\0\0\x08" + field.to_bytes(8, "big", signed=True)
    if field is None:
        return b"n\0\0\0\0"
    text = field.encode()
    return b"s" + len(text).to_bytes(4, "big") + text
