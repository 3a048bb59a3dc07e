"""LIST, LSUB, XLIST and STATUS: which mailboxes there are and what they hold (RFC 9051 §6.3.9, §6.3.11)."""

from collections.abc import Iterable, Sequence

from mailserver.imap.commands import List, Lsub, Status, StatusItem, Xlist
from mailserver.imap.encode import format_child_info, format_list, format_status
from mailserver.imap.listing import Listed, Named, list_names, list_subscribed, xlist_attributes
from mailserver.imap.object_ids import format_mailbox_id
from mailserver.imap.session import Reply, Session, done
from mailserver.model.account import Flag
from mailserver.model.rights import Right
from mailserver.service.named_mailboxes import NamedMailbox
from mailserver.store.items import EVERY_UID


async def run_list(session: Session, command: List) -> Reply:
    """RFC 9051 §6.3.9; an empty pattern asks for the separator, which some clients cannot do without."""
    if command.patterns == ("",) and not command.is_extended:
        session.wire.send(format_list(["\\Noselect"], ""))
        return done("LIST")
    if StatusItem.HIGHESTMODSEQ in command.status:
        session.enable_condstore()
    session.wire.send(b"".join(await session.wire.call(_list, session, command)))
    return done("LIST")


def _list(session: Session, command: List) -> list[bytes]:
    """Every LIST response, each followed by the STATUS that was asked for with it (RFC 5819 §2). Of what
    is listed and may not be read there is none, and that is said.
    """
    mailboxes, names = _load_names(session)
    by_name = {each.name: each for each in mailboxes}
    lines = []
    for listed in list_names(names, command):
        more = format_child_info(listed.child_info) if listed.child_info else b""
        wants_status = bool(command.status) and listed.is_selectable
        may_tell = wants_status and by_name[listed.name].may_read
        hidden = ("\\NoSelect",) if wants_status and not may_tell else ()
        lines.append(
            format_list((*hidden, *listed.attributes), listed.name, is_utf8=session.is_utf8, more=more)
        )
        if may_tell:
            lines.append(_format_status(session, by_name[listed.name], command.status))
    return lines


async def run_lsub(session: Session, command: Lsub) -> Reply:
    """RFC 3501 §6.3.9."""
    if not command.pattern:
        session.wire.send(format_list(["\\Noselect"], "", verb="LSUB"))
        return done("LSUB")
    _mailboxes, names = await session.wire.call(_load_names, session)
    for attributes, name in list_subscribed(names, command.reference, command.pattern):
        session.wire.send(format_list(attributes, name, is_utf8=session.is_utf8, verb="LSUB"))
    return done("LSUB")


async def run_xlist(session: Session, command: Xlist) -> Reply:
    """As LIST, in the spelling that stood before RFC 6154."""
    _mailboxes, names = await session.wire.call(_load_names, session)
    for listed in list_names(names, List(command.reference, (command.pattern,))):
        session.wire.send(_format_xlist(session, listed))
    return done("XLIST")


def _format_xlist(session: Session, listed: Listed) -> bytes:
    return format_list(xlist_attributes(listed), listed.name, is_utf8=session.is_utf8, verb="XLIST")


def _load_names(session: Session) -> tuple[list[NamedMailbox], list[Named]]:
    """The mailboxes, and all names: those of mailboxes, then those of one's own that are only subscribed."""
    mailboxes = session.open_names().list_mailboxes()
    names = [Named(each.name, each.role, each.info.is_subscribed) for each in mailboxes]
    own = [each.info for each in mailboxes if each.account is session.account]
    names += [Named(name, exists=False) for info in own for name in info.lost_names]
    return mailboxes, names


async def run_status(session: Session, command: Status) -> Reply:
    """RFC 9051 §6.3.11."""
    if StatusItem.HIGHESTMODSEQ in command.items:
        session.enable_condstore()
    session.wire.send(await session.wire.call(_status, session, command))
    return done("STATUS")


def _status(session: Session, command: Status) -> bytes:
    found = session.open_names().load_mailbox(command.mailbox)
    found.account.demand(found.mailbox_id, Right.READ)
    return _format_status(session, found, command.items)


def _format_status(session: Session, mailbox: NamedMailbox, items: Sequence[StatusItem]) -> bytes:
    values = _status_values(session, mailbox, items)
    return format_status(mailbox.name, [(item, values[item]) for item in items], is_utf8=session.is_utf8)


def _status_values(
    session: Session, mailbox: NamedMailbox, items: Iterable[StatusItem]
) -> dict[StatusItem, int | str]:
    """Counters are kept, never counted; what is not kept is counted only for who asks."""
    row = mailbox.info.row
    values: dict[StatusItem, int | str] = {
        StatusItem.MESSAGES: row.exists_count,
        StatusItem.UIDNEXT: row.uidnext,
        StatusItem.UIDVALIDITY: row.uidvalidity,
        StatusItem.UNSEEN: row.unseen_count,
        StatusItem.DELETED: row.deleted_count,
        StatusItem.SIZE: row.padded_bytes,  # RFC 8438 §2: never less than the sum of RFC822.SIZE, which suffices
        StatusItem.HIGHESTMODSEQ: row.highestmodseq,
        StatusItem.MAILBOXID: format_mailbox_id(row.mailbox_id).decode("ascii"),
        StatusItem.APPENDLIMIT: session.services.limit_bytes,
    }
    if StatusItem.RECENT in items:
        values[StatusItem.RECENT] = session.services.messages.count_recent(mailbox.account, row)
    if StatusItem.DELETED_STORAGE in items:
        messages = session.services.messages
        values[StatusItem.DELETED_STORAGE] = messages.sum_padded(
            mailbox.account, row.mailbox_id, EVERY_UID, only=Flag.DELETED
        )
    return values
