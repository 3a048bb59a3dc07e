"""What other sessions did to the selected mailbox, told to this one (RFC 9051 §5.2, §7.5.1).

The change feed only says "look"; the store says what happened. One look takes everything since the last one.
"""

from dataclasses import replace

from mailserver.imap.encode import Status as Word
from mailserver.imap.encode import code_permanent_flags, format_flags_response, format_untagged
from mailserver.imap.flags import format_flags
from mailserver.imap.session import Selected, Session
from mailserver.imap.view import Arrived, Change, FlagsChanged, Vanished
from mailserver.model.account import FLAG_NAMES, KEYWORD_SHIFT, KEYWORDS_PER_MAILBOX
from mailserver.model.errors import NotFound
from mailserver.model.rights import Right, flag_mask
from mailserver.service.keys import OpenAccount
from mailserver.service.mailboxes import MailboxInfo
from mailserver.service.messages import Changes

ALL_SYSTEM_BITS = sum({int(bit) for bit in FLAG_NAMES.values()})


def find_changes(session: Session) -> tuple[Changes | None, MailboxInfo | None]:
    """What is new in the selected mailbox, and the mailbox's record when that changed. Blocking: for the pool.

    Raises NotFound("mailbox") when another session deleted it.
    """
    selected = session.open_mailbox()
    account = selected.account
    found = session.services.messages.changes(account, selected.info.mailbox_id, selected.modseq)
    if found is None:
        return None, None
    if found.row.record == selected.info.row.record:
        return found, None
    return found, session.services.mailboxes.open_mailbox(account, found.row)


def tell_changes(
    session: Session,
    news: tuple[Changes | None, MailboxInfo | None],
    *,
    hold_expunges: bool,
    with_uid: bool = False,
) -> None:
    """Send what the client does not know yet. ``hold_expunges``: see ``states.holds_expunges``."""
    selected = session.open_mailbox()
    found, info = news
    changes: list[Change] = []
    if found is not None:
        selected.modseq = found.row.highestmodseq
        known = selected.view.find_number
        changes += [FlagsChanged(*row) if known(row[0]) else Arrived(*row) for row in found.changed]
        changes += map(Vanished, found.vanished)
    if info is not None:
        tell_keywords(session, selected, info)
    dialect = session.dialect(with_uid=with_uid)
    for response in selected.view.apply(changes, hold_expunges=hold_expunges, dialect=dialect):
        session.wire.send(response)
    if not selected.view.vanished:
        selected.told_modseq = selected.modseq


def tell_keywords(session: Session, selected: Selected, info: MailboxInfo) -> None:
    """The mailbox's record changed: when it has new keywords, say so before they are used (RFC 9051 §7.3.5)."""
    has_new = info.keywords != selected.info.keywords
    selected.info = replace(info)
    selected.view.keywords = info.keywords
    if has_new:
        session.wire.send(format_known_flags(selected.account, info))


def format_known_flags(account: OpenAccount, info: MailboxInfo) -> bytes:
    """FLAGS and PERMANENTFLAGS of a mailbox, the latter by what the user may change (RFC 4314 §5.1.1)."""
    names = format_flags(all_bits(info), info.keywords)
    rights = account.rights_in(info.mailbox_id)
    settable = format_flags(all_bits(info) & flag_mask(rights), info.keywords)
    has_room = len(info.keywords) < KEYWORDS_PER_MAILBOX
    permanent = code_permanent_flags(settable, may_add=has_room and Right.WRITE in rights)
    return format_flags_response(names) + format_untagged(Word.OK, "Flags that stay", permanent)


def all_bits(info: MailboxInfo) -> int:
    """Every flag that a message of the mailbox can have."""
    own = ((1 << len(info.keywords)) - 1) << KEYWORD_SHIFT
    return ALL_SYSTEM_BITS | own


def keep_access(session: Session) -> bool:
    """The selected mailbox of a shared box, with the rights as they are now; whether they changed. Blocking.

    Raises NotFound("mailbox") when it may not be read any more.
    """
    selected = session.open_mailbox()
    before, mailbox_id = selected.account, selected.info.mailbox_id
    selected.account = session.open_names().open_box(before.account_id)
    if Right.READ not in selected.account.rights_in(mailbox_id):
        raise NotFound("mailbox")
    return selected.account.rights_in(mailbox_id) != before.rights_in(mailbox_id)


async def tell_access(session: Session) -> None:
    """Before each command in a shared box: go on with the rights of now, and say so when they changed (RFC 4314 §5.1.1)."""
    selected = session.selected
    if selected is None or selected.account.member is None:
        return
    if await session.wire.call(keep_access, session) and not selected.is_read_only:
        session.wire.send(format_known_flags(selected.account, selected.info))


async def look(session: Session, *, hold_expunges: bool, with_uid: bool = False) -> None:
    """Ask the store for news of the selected mailbox and tell them."""
    session.has_news = False
    news = await session.wire.call(find_changes, session)
    if session.selected is not None:
        tell_changes(session, news, hold_expunges=hold_expunges, with_uid=with_uid)
