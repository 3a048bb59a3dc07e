"""Checkpoints: the tree's head as a signed note (C2SP tlog-checkpoint, signed-note).

Two signatures over the same text, Ed25519 and ML-DSA-44, both under the log's origin as key name; our verifier
demands both. ML-DSA-44 over plain note text has no assigned type byte, so its key id is made with 0xff and a
long identifier, as signed-note recommends. Lines of unknown keys (witnesses) are kept and ignored.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import TypeAlias

from mailserver.audit.merkle import HASH_BYTES, MAX_SIZE
from mailserver.crypto.log_keys import LogSigningKeys, verify_log_signatures
from mailserver.model.errors import Corrupt, Malformed

LogPublics: TypeAlias = tuple[bytes, bytes]
"""The log's public keys: Ed25519 (32 bytes), ML-DSA-44 (1312 bytes)."""
ED25519_TYPE = b"\x01"
MLDSA44_TYPE = b"\xffpli/mldsa44/1"
MAX_NOTE_BYTES = 64 * 1024
MAX_SIGNATURES = 16
_KEY_ID_BYTES = 4
# signed-note, "Format": key names hold no Unicode space and no plus
_ORIGIN = re.compile(r"[^\s+\x00-\x1f\x7f]{1,200}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_LINE = re.compile(r"\u2014 ([^\s+\x00-\x1f\x7f]{1,200}) ([A-Za-z0-9+/]+={0,2})")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Origin (the log's name), number of leaves, RFC 6962 root."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not _ORIGIN.fullmatch(self.origin):
            raise Malformed("checkpoint-origin")
        if not 0 <= self.size <= MAX_SIZE or len(self.root) != HASH_BYTES:
            raise Malformed("checkpoint-head")


def is_log_of(origin: str, base: str) -> bool:
    """Whether ``origin`` is the log named ``base``, or one that it was reopened as: ``base/2``, ``base/3`` and so on."""
    return origin == base or (origin.startswith(f"{base}/") and origin[len(base) + 1 :].isdecimal())


def next_origin(origin: str, base: str) -> str:
    """The name of the log that comes after ``origin``."""
    rank = 1 if origin == base else int(origin[len(base) + 1 :])
    return f"{base}/{rank + 1}"


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: key name, 4-byte key id, signature."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint and the signature lines found under it; nothing is verified yet."""

    checkpoint: Checkpoint
    signatures: tuple[NoteSignature, ...]


def key_id(name: str, type_bytes: bytes, public: bytes) -> bytes:
    """signed-note, "Signatures": SHA-256(name ‖ LF ‖ type ‖ public key)[:4]."""
    return sha256(name.encode() + b"\n" + type_bytes + public).digest()[:_KEY_ID_BYTES]


def format_body(checkpoint: Checkpoint) -> bytes:
    """The note text, which is what gets signed: three lines, each closed by LF."""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{_b64(checkpoint.root)}\n".encode()


def format_checkpoint(signed: SignedCheckpoint) -> bytes:
    """The whole note: text, empty line, signature lines."""
    lines = [f"\u2014 {line.name} {_b64(line.key_id + line.signature)}\n" for line in signed.signatures]
    return format_body(signed.checkpoint) + b"\n" + "".join(lines).encode()


def sign_checkpoint(checkpoint: Checkpoint, keys: LogSigningKeys) -> bytes:
    """The note with both of the log's signatures."""
    ed25519, mldsa44 = keys.sign(format_body(checkpoint))
    ed25519_id, mldsa44_id = _key_ids(checkpoint.origin, keys.publics)
    lines = (
        NoteSignature(checkpoint.origin, ed25519_id, ed25519),
        NoteSignature(checkpoint.origin, mldsa44_id, mldsa44),
    )
    return format_checkpoint(SignedCheckpoint(checkpoint, lines))


def parse_checkpoint(raw: bytes) -> SignedCheckpoint:
    """Inverse of ``format_checkpoint``; extension lines are refused. Raises Malformed."""
    if len(raw) > MAX_NOTE_BYTES:
        raise Malformed("checkpoint-length")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise Malformed("checkpoint-syntax") from error
    body, blank, notes = text.partition("\n\n")
    lines, signatures = body.split("\n"), notes.split("\n")
    if not blank or len(lines) != 3 or signatures.pop() or not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise Malformed("checkpoint-syntax")
    if not _SIZE.fullmatch(lines[1]):
        raise Malformed("checkpoint-size")
    checkpoint = Checkpoint(lines[0], int(lines[1]), _parse_b64(lines[2]))
    return SignedCheckpoint(checkpoint, tuple(map(_parse_signature, signatures)))


def _parse_signature(line: str) -> NoteSignature:
    match = _LINE.fullmatch(line)
    if match is None:
        raise Malformed("checkpoint-signature")
    value = _parse_b64(match[2])
    if len(value) <= _KEY_ID_BYTES:
        raise Malformed("checkpoint-signature")
    return NoteSignature(match[1], value[:_KEY_ID_BYTES], value[_KEY_ID_BYTES:])


def verify_checkpoint(publics: LogPublics, origin: str, raw: bytes) -> Checkpoint:
    """The checkpoint, once both of the log's signatures hold.

    Raises Malformed, or Corrupt: "checkpoint-origin", "checkpoint-signature-missing" (one or both are absent,
    or double), "checkpoint-signature" (one does not verify).
    """
    signed = parse_checkpoint(raw)
    if not compare_digest(signed.checkpoint.origin.encode(), origin.encode()):
        raise Corrupt("checkpoint-origin")
    found = [
        [line.signature for line in signed.signatures if (line.name, line.key_id) == (origin, wanted)]
        for wanted in _key_ids(origin, publics)
    ]
    if any(len(signatures) != 1 for signatures in found):
        raise Corrupt("checkpoint-signature-missing")
    if not verify_log_signatures(publics, format_body(signed.checkpoint), (found[0][0], found[1][0])):
        raise Corrupt("checkpoint-signature")
    return signed.checkpoint


def _key_ids(origin: str, publics: LogPublics) -> tuple[bytes, bytes]:
    ed25519, mldsa44 = publics
    return key_id(origin, ED25519_TYPE, ed25519), key_id(origin, MLDSA44_TYPE, mldsa44)


def _b64(raw: bytes) -> str:
    return b64encode(raw).decode()


def _parse_b64(text: str) -> bytes:
    """RFC 4648 §4, one spelling only: stray bits under the padding are refused."""
    try:
        raw = b64decode(text, validate=True)
    except (Base64Error, ValueError) as error:
        raise Malformed("checkpoint-base64") from error
    if _b64(raw) != text:
        raise Malformed("checkpoint-base64")
    return raw
