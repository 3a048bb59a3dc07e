"""Slots of accounts as rows, from what the custodian releases (K2, K4)."""

import unicodedata
from dataclasses import dataclass, replace

from mailserver.crypto.custodian_rates import Standing
from mailserver.crypto.custodian_verbs import CustodianVerbs
from mailserver.crypto.roots import AccountKeys
from mailserver.crypto.secret import Secret, random_id
from mailserver.crypto.slots import (
    PASSWORD_LIMIT_BYTES,
    Argon2Parameters,
    SlotHeader,
    SlotKind,
    SlotScope,
    format_slot_header,
    parse_app_password,
    parse_slot_header,
    password_secret,
    seal_slot,
    slot_payload,
)
from mailserver.model.errors import Malformed
from mailserver.model.ids import SlotId
from mailserver.service.directory import tag_mac
from mailserver.store.accounts import AccountRow, SlotRow
from mailserver.store.store import Store

APP_PASSWORD_DAYS = 365
PASSWORD_CHARACTERS = 9
"""``facts/mssante`` (MES-APP). What slows guessing down is K3, and a limit on tries."""
_DAY_SECONDS = 86400


@dataclass(frozen=True, slots=True)
class Term:
    """From when to when a secret opens, in seconds since 1970; at ``ends_at`` it no longer does."""

    starts_at: int
    ends_at: int


def term_of(starts_at: int, days: int = APP_PASSWORD_DAYS) -> Term:
    """From a moment on, for so many days."""
    return Term(starts_at, starts_at + days * _DAY_SECONDS)


def app_password_slot(
    store: Store, row: AccountRow, keys: AccountKeys, password: tuple[str, SlotScope], term: Term
) -> SlotRow:
    """The slot that ``password``, a text and its scope, opens during ``term``."""
    text, scope = password
    header = SlotHeader(row.account_id, random_id(), SlotKind.APP_PASSWORD, scope, random_id())
    parsed = parse_app_password(text)
    body = seal_slot(header, parsed.secret, slot_payload(keys, scope))
    slot = slot_row(row, format_slot_header(header), (SlotKind.APP_PASSWORD, scope), body)
    tag = tag_mac(store, parsed.tag)
    return replace(slot, tag_mac=tag, created_at=term.starts_at, expires_at=term.ends_at)


@dataclass(frozen=True, slots=True)
class PasswordSlots:
    """Makes the slots of web passwords (K3)."""

    custody: CustodianVerbs
    argon2: Argon2Parameters

    def seal(self, row: AccountRow, keys: AccountKeys, password: Secret) -> SlotRow:
        """Whoever gives a password is no stranger: guesses at the one before hold it up as little as a login."""
        header = SlotHeader(
            row.account_id, random_id(), SlotKind.PASSWORD, SlotScope.WEB, random_id(), self.argon2
        )
        secret = password_secret(
            header,
            password.reveal().decode(),
            lambda value: self.custody.harden(row.account_id, header.slot, value, Standing.KNOWN),
        )
        body = seal_slot(header, secret, slot_payload(keys, SlotScope.WEB))
        return slot_row(row, format_slot_header(header), (SlotKind.PASSWORD, SlotScope.WEB), body)


def judge_password(password: str) -> None:
    """Raises Malformed for a web password that is too easily guessed, or that no slot takes."""
    characters = unicodedata.normalize("NFC", password)
    if len(characters) < PASSWORD_CHARACTERS:
        raise Malformed("password-short")
    if len(characters.encode()) > PASSWORD_LIMIT_BYTES:
        raise Malformed("password-long")


def slot_row(row: AccountRow, header: bytes, what: tuple[SlotKind, SlotScope], body: bytes) -> SlotRow:
    """A slot as old as its account, without an end."""
    slot_id = SlotId(parse_slot_header(header).slot)
    kind, scope = what[0].value, what[1].value
    return SlotRow(row.account_id, slot_id, kind, scope, None, header, body, row.created_at, None)
