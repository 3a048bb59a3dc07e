"""RawCommand to Command: the verb table, and the verbs without arguments or about the connection.

Only :class:`BadCommand` escapes, whatever the octets; it carries the tag whenever one could be read, so that BAD is
tagged (RFC 9051 §7.1.3).
"""

import binascii
from collections.abc import Callable

from mailserver.imap.commands import (
    Authenticate,
    Capability,
    Check,
    Close,
    Command,
    Enable,
    Expunge,
    Id,
    Idle,
    Login,
    Logout,
    Namespace,
    Noop,
    StartTls,
    Unauthenticate,
    Unselect,
)
from mailserver.imap.cursor import Cursor, decode_text
from mailserver.imap.framing import RawCommand
from mailserver.imap.grammar import BASE64, find_tag
from mailserver.imap.parse_listing import parse_list, parse_lsub, parse_status, parse_xlist
from mailserver.imap.parse_mailboxes import (
    parse_create,
    parse_delete,
    parse_examine,
    parse_rename,
    parse_select,
    parse_subscribe,
    parse_unsubscribe,
)
from mailserver.imap.parse_messages import parse_copy, parse_fetch, parse_move, parse_store
from mailserver.imap.parse_metadata import parse_get_metadata, parse_set_metadata
from mailserver.imap.parse_notify import parse_notify
from mailserver.imap.parse_quotas import parse_get_quota, parse_get_quota_root, parse_set_quota
from mailserver.imap.parse_rights import (
    parse_delete_acl,
    parse_get_acl,
    parse_list_rights,
    parse_my_rights,
    parse_set_acl,
)
from mailserver.imap.parse_search import parse_search, parse_sort, parse_thread
from mailserver.imap.parse_uploads import parse_append, parse_replace
from mailserver.model.errors import Malformed

ID_PAIRS = 30
"""RFC 2971 §3.3: fields of at most 30 octets, values of at most 1024, at most 30 pairs."""


class BadCommand(Malformed):
    """What cannot be understood, with the tag if one could be read."""

    def __init__(self, code: str, detail: str = "", *, tag: str | None = None) -> None:
        super().__init__(code, detail)
        self.tag = tag


def parse_command(raw: RawCommand, *, is_utf8: bool = False) -> tuple[str, Command]:
    """The tag and the command of a line; BadCommand. ``is_utf8``: see :class:`Cursor`."""
    tag = find_tag(raw.texts[0])
    if tag is None:
        raise BadCommand("no_tag")
    cursor = Cursor(raw, is_utf8=is_utf8)
    cursor.need(tag.encode("ascii"))
    try:
        cursor.space()
        command = _parse_verb(cursor)
        cursor.end()
    except Malformed as error:
        raise BadCommand(error.code, error.detail, tag=tag) from None
    return tag, command


def parse_sasl_response(line: bytes) -> bytes | None:
    """A client's answer to a SASL challenge; None for ``*``, which cancels (RFC 9051 §6.2.2); Malformed."""
    return None if line == b"*" else _decode_base64(line)


def is_done(line: bytes) -> bool:
    """Whether ``line`` ends IDLE (RFC 2177 §3)."""
    return line.upper() == b"DONE"


def _parse_verb(cursor: Cursor) -> Command:
    verb = cursor.keyword("unknown_command")
    if verb == "UID":
        cursor.space()
        return _parse_message_verb(cursor, cursor.keyword("unknown_command"), uid=True)
    bare = _BARE.get(verb)
    if bare is not None:
        return bare
    parse = _WITH_ARGUMENTS.get(verb)
    if parse is not None:
        cursor.space()
        return parse(cursor)
    return _parse_message_verb(cursor, verb, uid=False)


def _parse_message_verb(cursor: Cursor, verb: str, *, uid: bool) -> Command:
    if verb == "EXPUNGE" and uid:
        cursor.space()
        return Expunge(cursor.sequence_set())
    parse = _ON_MESSAGES.get(verb)
    if parse is None:
        raise Malformed("unknown_command")
    cursor.space()
    return parse(cursor, uid)


def _parse_authenticate(cursor: Cursor) -> Authenticate:
    mechanism = cursor.keyword()
    if not cursor.skip(b" "):
        return Authenticate(mechanism)
    if cursor.skip(b"="):  # RFC 4959 §3: an empty response
        return Authenticate(mechanism, b"")
    return Authenticate(mechanism, _decode_base64(cursor.expect(BASE64)))


def _parse_login(cursor: Cursor) -> Login:
    name = cursor.text()
    cursor.space()
    return Login(name, cursor.astring())


def _parse_enable(cursor: Cursor) -> Enable:
    names = [cursor.keyword()]
    while cursor.skip(b" "):
        names.append(cursor.keyword())
    return Enable(tuple(names))


def _parse_id(cursor: Cursor) -> Id:
    if not cursor.is_before(b"("):
        if cursor.keyword() != "NIL":
            raise Malformed("bad_syntax")
        return Id()
    return Id(cursor.listed(lambda: _parse_id_pair(cursor), most=ID_PAIRS, may_be_empty=True))


def _parse_id_pair(cursor: Cursor) -> tuple[str, str | None]:
    name = cursor.string()
    cursor.space()
    value = cursor.nstring()
    if len(name) > 30 or len(value or b"") > 1024:
        raise Malformed("too_long")
    return decode_text(name, "utf-8"), None if value is None else decode_text(value, "utf-8")


def _decode_base64(octets: bytes) -> bytes:
    try:
        return binascii.a2b_base64(octets, strict_mode=True)
    except binascii.Error:
        raise Malformed("bad_base64") from None


_BARE: dict[str, Command] = {
    "CAPABILITY": Capability(),
    "NOOP": Noop(),
    "LOGOUT": Logout(),
    "STARTTLS": StartTls(),
    "NAMESPACE": Namespace(),
    "IDLE": Idle(),
    "CHECK": Check(),
    "CLOSE": Close(),
    "UNSELECT": Unselect(),
    "UNAUTHENTICATE": Unauthenticate(),
    "EXPUNGE": Expunge(),
}

_WITH_ARGUMENTS: dict[str, Callable[[Cursor], Command]] = {
    "AUTHENTICATE": _parse_authenticate,
    "LOGIN": _parse_login,
    "ENABLE": _parse_enable,
    "SELECT": parse_select,
    "EXAMINE": parse_examine,
    "CREATE": parse_create,
    "DELETE": parse_delete,
    "RENAME": parse_rename,
    "SUBSCRIBE": parse_subscribe,
    "UNSUBSCRIBE": parse_unsubscribe,
    "LIST": parse_list,
    "LSUB": parse_lsub,
    "XLIST": parse_xlist,
    "STATUS": parse_status,
    "APPEND": parse_append,
    "GETQUOTA": parse_get_quota,
    "GETQUOTAROOT": parse_get_quota_root,
    "SETQUOTA": parse_set_quota,
    "GETMETADATA": parse_get_metadata,
    "SETMETADATA": parse_set_metadata,
    "ID": _parse_id,
    "NOTIFY": parse_notify,
    "SETACL": parse_set_acl,
    "DELETEACL": parse_delete_acl,
    "GETACL": parse_get_acl,
    "LISTRIGHTS": parse_list_rights,
    "MYRIGHTS": parse_my_rights,
}

_ON_MESSAGES: dict[str, Callable[[Cursor, bool], Command]] = {
    "FETCH": parse_fetch,
    "STORE": parse_store,
    "COPY": parse_copy,
    "MOVE": parse_move,
    "SEARCH": parse_search,
    "REPLACE": parse_replace,
    "SORT": parse_sort,
    "THREAD": parse_thread,
}
