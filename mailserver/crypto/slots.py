"""Slots (K2 to K4): key material wrapped once per secret.

Header = ctx("slot", version, account, slot, kind, scope, KDF name, memory KiB, iterations, lanes, Raw(salt)); it is the
associated data too. Body for a secret = wrap (nonce ‖ ciphertext ‖ tag) ‖ commitment (32), both keys from
HKDF-SHA-256(secret, salt, info = header)[64]. Body for a key pair (custody, member) = HPKE seal with info = header.
No verifier of a password is stored anywhere: opening the committed wrap is the check.
"""

import base64
import hmac
import re
import secrets
import struct
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mailserver.crypto.ctx import Raw, ctx
from mailserver.crypto.hkdf import derive
from mailserver.crypto.roots import AccountKeys
from mailserver.crypto.seal import KeyPair, PublicKey
from mailserver.crypto.secret import Secret
from mailserver.crypto.wrap import OVERHEAD_BYTES, unwrap, wrap
from mailserver.model.errors import Corrupt, Denied, Malformed, Unavailable
from mailserver.model.ids import ID_BYTES

VERSION = 1
SALT_BYTES = 16
_COMMITMENT_BYTES = 32
_HEADER_PREFIX = ctx("slot", VERSION)
_HEADER_LIMIT_BYTES = 256
PASSWORD_LIMIT_BYTES = 1024


class SlotKind(StrEnum):
    PASSWORD = "password"  # noqa: S105  a kind, not a secret
    APP_PASSWORD = "app-password"  # noqa: S105  a kind, not a secret
    CUSTODY = "custody"
    RECOVERY = "recovery"
    MEMBER = "member"


class SlotScope(StrEnum):
    WEB = "web"
    IMAP = "imap"
    SMTP = "smtp"
    IMAP_SMTP = "imap+smtp"
    API = "api"
    CUSTODY = "custody"
    LOG = "log"
    """The space root alone: for who is responsible for a shared box, and reads its log (K11)."""


class SlotKdf(StrEnum):
    ARGON2ID = "argon2id"
    HKDF = "hkdf-sha256"
    HPKE = "hpke"


_KDF_OF_KIND = {
    SlotKind.PASSWORD: SlotKdf.ARGON2ID,
    SlotKind.APP_PASSWORD: SlotKdf.HKDF,
    SlotKind.RECOVERY: SlotKdf.HKDF,
    SlotKind.CUSTODY: SlotKdf.HPKE,
    SlotKind.MEMBER: SlotKdf.HPKE,
}


@dataclass(frozen=True, slots=True)
class Argon2Parameters:
    """RFC 9106 parameters. Malformed("slot-parameters") under the floor (19 MiB, t=2) or over what a login may cost."""

    memory_kib: int = 64 * 1024
    iterations: int = 3
    lanes: int = 1

    def __post_init__(self) -> None:
        memory_ok = 19 * 1024 <= self.memory_kib <= 1024 * 1024
        if not (memory_ok and 2 <= self.iterations <= 16 and 1 <= self.lanes <= 4):
            raise Malformed("slot-parameters")


ARGON2_DEFAULT = Argon2Parameters()
ARGON2_FLOOR = Argon2Parameters(memory_kib=19 * 1024, iterations=2, lanes=1)


@dataclass(frozen=True, slots=True)
class SlotHeader:
    """What a slot is, in clear. ``argon2`` is set for a password and for nothing else; salt = 16 random bytes."""

    account: bytes
    slot: bytes
    kind: SlotKind
    scope: SlotScope
    salt: bytes
    argon2: Argon2Parameters | None = None

    def __post_init__(self) -> None:
        sizes_ok = len(self.account) == len(self.slot) == ID_BYTES and len(self.salt) == SALT_BYTES
        if not sizes_ok or (self.argon2 is not None) != (self.kind is SlotKind.PASSWORD):
            raise Malformed("slot-header")

    @property
    def kdf(self) -> SlotKdf:
        """The KDF that the kind demands."""
        return _KDF_OF_KIND[self.kind]


def format_slot_header(header: SlotHeader) -> bytes:
    """The stored header, byte for byte the associated data of the slot."""
    cost = header.argon2
    memory, iterations, lanes = (cost.memory_kib, cost.iterations, cost.lanes) if cost else (0, 0, 0)
    names = (header.kind.value, header.scope.value, header.kdf.value)
    return ctx(
        "slot", VERSION, header.account, header.slot, *names, memory, iterations, lanes, Raw(header.salt)
    )


def parse_slot_header(raw: bytes) -> SlotHeader:
    """The header of stored bytes; Malformed("slot-header") or ("slot-parameters") for anything not canonical."""
    if not raw.startswith(_HEADER_PREFIX) or len(raw) > _HEADER_LIMIT_BYTES:
        raise Malformed("slot-header")
    at = len(_HEADER_PREFIX)
    account, slot = raw[at : at + ID_BYTES], raw[at + ID_BYTES : at + 2 * ID_BYTES]
    try:
        kind, at = _take(raw, at + 2 * ID_BYTES)
        scope, at = _take(raw, at)
        kdf, at = _take(raw, at)
        memory, iterations, lanes = struct.unpack_from(">QQQ", raw, at)
        salt, _end = _take(raw, at + 24)
        argon2 = Argon2Parameters(memory, iterations, lanes) if kdf == b"argon2id" else None
        header = SlotHeader(account, slot, SlotKind(kind.decode()), SlotScope(scope.decode()), salt, argon2)
    except (ValueError, struct.error):
        raise Malformed("slot-header") from None
    if format_slot_header(header) != raw:
        raise Malformed("slot-header")
    return header


def _take(raw: bytes, at: int) -> tuple[bytes, int]:
    (size,) = struct.unpack_from(">I", raw, at)
    return raw[at + 4 : at + 4 + size], at + 4 + size


def slot_payload(keys: AccountKeys, scope: SlotScope) -> bytes:
    """What a slot of ``scope`` holds (K2). An API slot holds the space root: what programs read is sealed to it."""
    if scope in {SlotScope.WEB, SlotScope.CUSTODY}:
        return keys.amk.reveal()
    if scope in {SlotScope.API, SlotScope.LOG}:
        return keys.space.secret.reveal()
    return b"" if scope is SlotScope.SMTP else keys.mail.secret.reveal()


def seal_slot(header: SlotHeader, secret: Secret, payload: bytes) -> bytes:
    """The body of a slot opened by a secret (password, app password, recovery code)."""
    if header.kdf is SlotKdf.HPKE:
        raise ValueError("this kind of slot is sealed to a key pair")
    raw = format_slot_header(header)
    key, commitment = _slot_keys(header, raw, secret)
    return wrap(key, payload, raw) + commitment


def open_slot(header_bytes: bytes, body: bytes, secret: Secret) -> bytes:
    """The payload. Denied("slot-secret") when the secret is not this slot's or its header was altered;
    Corrupt("slot-body") when the secret is right and the wrap is damaged; Malformed for a header that is none.
    """
    header = parse_slot_header(header_bytes)
    if len(body) < OVERHEAD_BYTES + _COMMITMENT_BYTES:
        raise Corrupt("slot-body")
    key, commitment = _slot_keys(header, header_bytes, secret)
    if not hmac.compare_digest(commitment, body[-_COMMITMENT_BYTES:]):
        raise Denied("slot-secret")
    try:
        return unwrap(key, body[:-_COMMITMENT_BYTES], header_bytes)
    except Corrupt:
        raise Corrupt("slot-body") from None


def _slot_keys(header: SlotHeader, raw: bytes, secret: Secret) -> tuple[Secret, bytes]:
    keys = HKDF(SHA256(), 64, header.salt, raw).derive(secret.reveal())
    return Secret(keys[:32]), keys[32:]


def seal_slot_to(header: SlotHeader, public: bytes, payload: bytes) -> bytes:
    """The body of a custody or member slot, sealed to a key pair (K11)."""
    if header.kdf is not SlotKdf.HPKE:
        raise ValueError("this kind of slot is opened by a secret")
    return PublicKey(public).seal(payload, format_slot_header(header))


def open_slot_with(header_bytes: bytes, body: bytes, pair: KeyPair) -> bytes:
    """The payload of a custody or member slot; Corrupt("unseal") for another pair or any altered byte."""
    parse_slot_header(header_bytes)
    return pair.open(body, header_bytes)


def password_secret(header: SlotHeader, password: str, harden: Callable[[bytes], bytes]) -> Secret:
    """K3: Argon2id output (32) ‖ harden(HKDF(Argon2id output, "h")) (32), the secret of a password slot.

    Takes about 0.1 s and the header's memory: call it in the Argon2 pool. ``harden`` is the custodian's, so its
    Unavailable passes through. Denied("slot-secret") for a password nobody can have (empty, over 1024 bytes).
    """
    if header.argon2 is None:
        raise ValueError("only a password slot has Argon2 parameters")
    stretched = Argon2id(
        salt=header.salt,
        length=32,
        iterations=header.argon2.iterations,
        lanes=header.argon2.lanes,
        memory_cost=header.argon2.memory_kib,
    ).derive(_password_bytes(password))
    hardened = harden(derive(Secret(stretched), "h").reveal())
    if len(hardened) != 32:
        raise Unavailable("custodian")
    return Secret(stretched + hardened)


def _password_bytes(password: str) -> bytes:
    """UTF-8 of the NFC form, so that two keyboards give one password (RFC 8265 §4.2)."""
    try:
        raw = unicodedata.normalize("NFC", password).encode()
    except UnicodeEncodeError:  # a lone surrogate
        raise Denied("slot-secret") from None
    if not 0 < len(raw) <= PASSWORD_LIMIT_BYTES:
        raise Denied("slot-secret")
    return raw


TAG_CHARS = 8
_SECRET_BYTES = 20
_APP_PASSWORD = re.compile(r"([a-z2-7]{8})([a-z2-7]{32})")
_SEPARATORS = re.compile(r"[\s\-\u2010-\u2015]+")  # keyboards turn a hyphen into its typographic cousins


@dataclass(frozen=True, slots=True)
class AppPassword:
    """``tag`` finds the slot's row and is no secret; ``secret`` is 160 bits that the tag says nothing about."""

    tag: str
    secret: Secret


def new_app_password() -> str:
    """Eight groups of five base32 characters (RFC 4648 §6, lower case): 8 characters of tag, 32 of secret."""
    text = base64.b32encode(secrets.token_bytes(5 + _SECRET_BYTES)).decode().lower()
    return "-".join(text[at : at + 5] for at in range(0, len(text), 5))


def new_web_password() -> str:
    """Four groups of five base32 characters: 100 bits, fit to be said on the telephone. Typed as it stands."""
    text = base64.b32encode(secrets.token_bytes(13)).decode().lower()[:20]
    return "-".join(text[at : at + 5] for at in range(0, 20, 5))


def parse_app_password(text: str) -> AppPassword:
    """Tag and secret of what a person typed, whatever its case, spaces and hyphens; Malformed("app-password")."""
    match = _APP_PASSWORD.fullmatch(_SEPARATORS.sub("", text[:200]).lower())
    if match is None:
        raise Malformed("app-password")
    return AppPassword(match[1], Secret(base64.b32decode(match[2].upper())))


def app_password_secret(text: str) -> Secret:
    """K4: the secret of an app-password slot: the 160 bits themselves, HKDF only. Malformed("app-password")."""
    return parse_app_password(text).secret
