"""GETMETADATA and SETMETADATA (RFC 5464): what a person's clients write beside a mailbox or the account.

Values are the person's: they lie in the sealed mailbox record, those of the server in INBOX's. What is ``/private`` is
one person's, so a box that several share keeps none. ``/private/specialuse`` is the mailbox's special use itself
(RFC 6154 §4).
"""

from collections.abc import Mapping
from dataclasses import replace

from mailserver.imap.away_entry import AWAY_ENTRIES, OF_BOX, OWN, load_away, set_away
from mailserver.imap.commands import GetMetadata, SetMetadata
from mailserver.imap.encode import format_metadata
from mailserver.imap.listing import SPECIAL_USE, find_role
from mailserver.imap.listing import SPECIAL_USE_ENTRY as USE
from mailserver.imap.replies import ENTRY_IS_FIXED, NO_PRIVATE, UNKNOWN_ROLE
from mailserver.imap.session import Reply, Session, done
from mailserver.model.account import Role
from mailserver.model.rights import Right
from mailserver.service.annotations import change_entries
from mailserver.service.mailboxes import MailboxInfo
from mailserver.service.named_mailboxes import NamedMailbox

_PRIVATE = "/private/"
_FIXED = frozenset({"/shared/admin"})
"""The operator's to say, and no client's to set (RFC 5464 §3.2.1.1)."""
_STAYING = frozenset({Role.INBOX, Role.SENT})
"""Mailboxes whose use the server counts on."""

Values = Mapping[str, bytes | None]


async def run_get_metadata(session: Session, command: GetMetadata) -> Reply:
    """RFC 5464 §4.2; a name without a value is told to be NIL when nothing below it was asked for."""
    name, held = await session.wire.call(_load, session, command.mailbox)
    values = select_entries(held, command)
    sizes = {each: len(value or b"") for each, value in values.items()}
    limit = max(sizes.values(), default=0) if command.max_bytes is None else command.max_bytes
    told = [(each, value) for each, value in values.items() if sizes[each] <= limit]
    if told:
        session.wire.send(format_metadata(name, told, is_utf8=session.is_utf8))
    is_whole = len(told) == len(values)
    return done("GETMETADATA", b"" if is_whole else b"METADATA LONGENTRIES %d" % max(sizes.values()))


def select_entries(held: Mapping[str, bytes], command: GetMetadata) -> dict[str, bytes | None]:
    """The values of the names asked for, and of those below them as deep as was asked (RFC 5464 §4.2.2)."""
    found: dict[str, bytes | None] = {}
    for name in command.names:
        if command.depth == 0 or name in held:
            found[name] = held.get(name)
        for each, value in held.items():
            levels = each.removeprefix(name + "/").count("/") + 1
            if each.startswith(name + "/") and (command.depth is None or levels <= command.depth):
                found[each] = value
    return found


async def run_set_metadata(session: Session, command: SetMetadata) -> Reply:
    """RFC 5464 §4.3: all entries or none."""
    values = dict(command.entries)
    if not _FIXED.isdisjoint(values):
        return ENTRY_IS_FIXED
    refusal = await session.wire.call(_set, session, command.mailbox, values)
    return refusal or done("SETMETADATA")


def _load(session: Session, mailbox: str) -> tuple[str, dict[str, bytes]]:
    """What is written beside a mailbox, or beside the account where the name is empty."""
    if not mailbox:
        account = session.open_account()
        inbox = session.services.mailboxes.load_by_role(account, Role.INBOX)
        return "", dict(inbox.server_entries) | load_away(session, account, OWN)
    found = session.open_names().load_mailbox(mailbox)
    if found.account is not session.account:
        found.account.demand(found.mailbox_id, Right.READ)
        shared = {name: v for name, v in found.info.entries if not name.startswith(_PRIVATE)}
        away = load_away(session, found.account, OF_BOX) if found.info.role is Role.INBOX else {}
        return found.name, shared | away
    entries = dict(found.info.entries)
    if found.info.role in SPECIAL_USE:
        entries[USE] = SPECIAL_USE[found.info.role].encode("ascii")
    return found.name, entries


def _set(session: Session, mailbox: str, values: dict[str, bytes | None]) -> Reply | None:
    mailboxes = session.services.mailboxes
    if not AWAY_ENTRIES.isdisjoint(values):
        return set_away(session, session.open_names().load_mailbox(mailbox) if mailbox else None, values)
    if not mailbox:
        account = session.open_account()

        def beside_the_account(now: MailboxInfo) -> MailboxInfo:
            return replace(now, server_entries=change_entries(now.server_entries, values))

        inbox = mailboxes.load_by_role(account, Role.INBOX)
        mailboxes.change(account, inbox.mailbox_id, beside_the_account)
        return None
    found = session.open_names().load_mailbox(mailbox)
    if found.account is not session.account and any(name.startswith(_PRIVATE) for name in values):
        return NO_PRIVATE
    role = _role_asked(found, values)
    if role is None:
        return UNKNOWN_ROLE
    written = {name: value for name, value in values.items() if name != USE}

    def beside_the_mailbox(now: MailboxInfo) -> MailboxInfo:
        row = replace(now.row, role=role) if USE in values else now.row
        return replace(now, row=row, entries=change_entries(now.entries, written))

    mailboxes.change(found.account, found.mailbox_id, beside_the_mailbox, is_news=True)
    return None


def _role_asked(found: NamedMailbox, values: Values) -> Role | None:
    """The role that the mailbox then has; None when it cannot be given, as with CREATE (RFC 6154 §4)."""
    held = found.info.role
    if USE not in values:
        return held
    value = values[USE]
    asked = find_role(value.decode("ascii", "replace")) if value else Role.NONE
    return None if held in _STAYING and asked is not held else asked
