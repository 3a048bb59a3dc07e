"""SETACL, DELETEACL, GETACL, LISTRIGHTS and MYRIGHTS (RFC 4314 §7). Each function stands after the verb and its space."""

import unicodedata

from mailserver.imap.commands import DeleteAcl, GetAcl, ListRights, MyRights, RightsChange, SetAcl
from mailserver.imap.cursor import Cursor
from mailserver.model.errors import Malformed
from mailserver.model.rights import parse_rights

IDENTIFIER_BYTES = 1024


def parse_set_acl(cursor: Cursor) -> SetAcl:
    """RFC 4314 §3.1; Malformed ``bad_right`` for a letter that is no right, upper case included."""
    mailbox, identifier = _parse_pair(cursor)
    cursor.space()
    letters = cursor.text()
    change = RightsChange(letters[:1]) if letters[:1] in {"+", "-"} else RightsChange.REPLACE
    return SetAcl(mailbox, identifier, change, parse_rights(letters.removeprefix(change.value)))


def parse_delete_acl(cursor: Cursor) -> DeleteAcl:
    return DeleteAcl(*_parse_pair(cursor))


def parse_get_acl(cursor: Cursor) -> GetAcl:
    return GetAcl(cursor.mailbox())


def parse_list_rights(cursor: Cursor) -> ListRights:
    return ListRights(*_parse_pair(cursor))


def parse_my_rights(cursor: Cursor) -> MyRights:
    return MyRights(cursor.mailbox())


def prepare_identifier(identifier: str) -> str:
    """One form for all that look the same (RFC 4314 §3)."""
    return unicodedata.normalize("NFKC", identifier)


def _parse_pair(cursor: Cursor) -> tuple[str, str]:
    """A mailbox and an identifier as it was written (RFC 4314 §3.4); Malformed when its preparation fails (§3)."""
    mailbox = cursor.mailbox()
    cursor.space()
    octets = cursor.astring()
    try:
        identifier = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("bad_identifier") from None
    if not prepare_identifier(identifier).isprintable() or not identifier or len(octets) > IDENTIFIER_BYTES:
        raise Malformed("bad_identifier")
    return mailbox, identifier
