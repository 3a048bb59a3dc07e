"""Verbs about mailboxes: SELECT to UNSUBSCRIBE, CLOSE and UNSELECT (RFC 9051 §6.3, §6.4.1, §6.4.2)."""

from dataclasses import replace

from mailserver.imap.commands import (
    Close,
    Create,
    Delete,
    Rename,
    Select,
    Subscribe,
    Unselect,
    Unsubscribe,
)
from mailserver.imap.encode import (
    DELIMITER,
    code_number,
    format_exists,
    format_list,
    format_old_name,
    format_recent,
    format_untagged,
)
from mailserver.imap.encode import Status as Word
from mailserver.imap.listing import find_role
from mailserver.imap.news import format_known_flags
from mailserver.imap.object_ids import code_mailbox_id
from mailserver.imap.replies import HAS_INFERIORS, NEEDS_QRESYNC, UNKNOWN_ROLE
from mailserver.imap.resync import tell_resync
from mailserver.imap.session import Reply, Selected, Session, done, now_seconds
from mailserver.imap.states import Feature
from mailserver.imap.view import MailboxView
from mailserver.model.account import Flag, Role
from mailserver.model.errors import Denied, NotFound
from mailserver.model.ids import MailboxId
from mailserver.model.rights import CHANGING_RIGHTS, Right
from mailserver.service.mailboxes import MailboxInfo, normal_name
from mailserver.store.items import EVERY_UID


async def run_select(session: Session, command: Select) -> Reply:
    """SELECT and EXAMINE. The mailbox that was selected is closed, whatever comes of it (RFC 9051 §6.3.2)."""
    if command.resync is not None and Feature.QRESYNC not in session.enabled:
        return NEEDS_QRESYNC
    if session.selected is not None:  # RFC 7162 §3.2.11, RFC 9051 §7.1: whatever the client enabled
        session.wire.send(format_untagged(Word.OK, "The previous mailbox is closed", b"CLOSED"))
    session.selected = None
    if command.wants_modseq:
        session.enable_condstore()
    # what comes while it is read is news; what NOTIFY has yet to tell of other mailboxes stays so
    session.has_news &= session.notifier is not None
    selected = await session.wire.call(_load_selected, session, command)
    session.selected = selected
    view, row = selected.view, selected.info.row
    send = session.wire.send
    if command.is_read_only:
        send(_format_flags_only(selected))
    else:
        send(format_known_flags(selected.account, selected.info))
    send(format_exists(view.exists))
    if Feature.REV2 in session.enabled:
        view.forget_recent()
        send(_format_own_name(session, command.mailbox))
    else:
        send(format_recent(view.recent))
        unseen = view.first_unseen(int(Flag.SEEN))
        if unseen is not None:
            send(format_untagged(Word.OK, "First unseen", code_number("UNSEEN", unseen)))
    send(format_untagged(Word.OK, "Its name may change", code_mailbox_id(row.mailbox_id)))
    send(format_untagged(Word.OK, "UIDs stay", code_number("UIDVALIDITY", row.uidvalidity)))
    send(format_untagged(Word.OK, "Next UID", code_number("UIDNEXT", row.uidnext)))
    # RFC 7162 §3.1.2.1: told to every client
    send(format_untagged(Word.OK, "Changes so far", code_number("HIGHESTMODSEQ", row.highestmodseq)))
    if command.resync is not None:
        await tell_resync(session, command.resync)
    if command.is_read_only:
        return done("EXAMINE", b"READ-ONLY")
    may_change = not CHANGING_RIGHTS.isdisjoint(selected.account.rights_in(selected.info.mailbox_id))
    return done("SELECT", b"READ-WRITE" if may_change else b"READ-ONLY")  # RFC 4314 §5.2


def _format_own_name(session: Session, asked: str) -> bytes:
    """The LIST response of a SELECT (RFC 9051 §6.3.2), with the name that the client used when it is another."""
    name = normal_name(asked)
    more = format_old_name(asked, is_utf8=session.is_utf8) if name != asked else b""
    return format_list([], name, is_utf8=session.is_utf8, more=more)


def _load_selected(session: Session, command: Select) -> Selected:
    named, services = session.open_names().load_mailbox(command.mailbox), session.services
    account, info = named.account, named.info
    claims_recent = not command.is_read_only
    found = services.messages.select(account, info.mailbox_id, claims_recent=claims_recent, known=info.row)
    if found.row.record != info.row.record:
        info = services.mailboxes.open_mailbox(account, found.row)
    view = MailboxView.of_columns(found.columns, info.keywords, found.row.first_recent_uid)
    fresh = replace(info, row=found.row)
    return Selected(account, fresh, view, found.row.highestmodseq, command.is_read_only)


def _format_flags_only(selected: Selected) -> bytes:
    """EXAMINE: no flag can be changed (RFC 9051 §6.3.3)."""
    return (
        format_known_flags(selected.account, selected.info).split(b"\r\n")[0]
        + b"\r\n* OK [PERMANENTFLAGS ()] Read-only\r\n"
    )


async def run_unselect(session: Session, _command: Unselect) -> Reply:
    """RFC 3691 §2: nothing is expunged."""
    session.selected = None
    return done("UNSELECT")


async def run_close(session: Session, _command: Close) -> Reply:
    r"""RFC 9051 §6.4.1: what is \Deleted leaves without a word; not after EXAMINE, nor without the right to (RFC 4314 §4)."""
    selected = session.open_mailbox()
    session.selected = None
    may_expunge = Right.EXPUNGE in selected.account.rights_in(selected.info.mailbox_id)
    if may_expunge and not selected.is_read_only:
        messages, known = session.services.messages, (selected.deleted_uids(), selected.modseq)
        await session.wire.call(messages.expunge_deleted, selected.account, selected.info.mailbox_id, known)
    return done("CLOSE")


async def run_create(session: Session, command: Create) -> Reply:
    """RFC 9051 §6.3.4; one special use at most (RFC 6154 §3); the answer says the id (RFC 8474 §4.1)."""
    roles = [find_role(attribute) for attribute in command.roles]
    if len(roles) > 1 or None in roles:
        return UNKNOWN_ROLE
    role = (roles[0] if roles else None) or Role.NONE
    made = await session.wire.call(_create, session, command.mailbox, role)
    tell_true_name(session, command.mailbox, command.mailbox, *_subscribed(made))
    return done("CREATE", code_mailbox_id(made.mailbox_id))


def _create(session: Session, name: str, role: Role) -> MailboxInfo:
    account, local = session.open_names().load_new(name)
    return session.services.mailboxes.add_mailbox(account, local, now_seconds(), role)


def tell_true_name(session: Session, asked: str, old_name: str, *attributes: str) -> None:
    """RFC 9051 §6.3.9.7: a name that is kept in another spelling than was asked for is listed as it is kept."""
    name = normal_name(asked)
    if Feature.REV2 in session.enabled and (name != asked or normal_name(old_name) != old_name):
        more = format_old_name(old_name, is_utf8=session.is_utf8)
        session.wire.send(format_list(attributes, name, is_utf8=session.is_utf8, more=more))


async def run_delete(session: Session, command: Delete) -> Reply:
    """RFC 9051 §6.3.5. Inferiors stay, and the name then only holds them."""
    gone = await session.wire.call(_delete, session, command.mailbox)
    if gone is None:
        return HAS_INFERIORS
    if session.selected is not None and session.selected.info.mailbox_id == gone:
        session.selected = None
    tell_true_name(session, command.mailbox, command.mailbox, "\\NonExistent")
    return done("DELETE")


def _delete(session: Session, name: str) -> MailboxId | None:
    """The mailbox that is gone; None when the name is no mailbox but has inferiors. Raises NotFound."""
    names = session.open_names()
    found = names.find_mailbox(name)
    if found is None:
        below = normal_name(name) + DELIMITER
        if any(each.name.startswith(below) for each in names.list_mailboxes()):
            return None
        raise NotFound("mailbox")
    session.services.mailboxes.delete_mailbox(found.account, found.info.name)
    return found.mailbox_id


async def run_rename(session: Session, command: Rename) -> Reply:
    """RFC 9051 §6.3.6. Renaming INBOX moves its messages to a new mailbox and leaves it empty."""
    renamed = await session.wire.call(_rename, session, command)
    tell_true_name(session, command.new_name, command.mailbox, *_subscribed(renamed))
    return done("RENAME")


def _subscribed(info: MailboxInfo | None) -> tuple[str, ...]:
    """RFC 9051 §6.3.4, §6.3.6: told of what the server subscribed by itself."""
    return ("\\Subscribed",) if info is not None and info.is_subscribed else ()


def _rename(session: Session, command: Rename) -> MailboxInfo | None:
    """The mailbox under its new name; None when the name only held others."""
    names, services = session.open_names(), session.services
    account, old = names.load_account(command.mailbox)
    other, new = names.load_new(command.new_name)
    if other.account_id != account.account_id:
        raise Denied("mailbox-elsewhere")
    if normal_name(old) != "INBOX":
        services.mailboxes.rename_mailbox(account, old, new, now_seconds())
        found = names.find_mailbox(command.new_name)
        return None if found is None else found.info
    inbox = services.mailboxes.load_mailbox(account, old)
    made = services.mailboxes.add_mailbox(account, new, now_seconds())
    if inbox.keywords:
        made = services.mailboxes.add_keywords(account, made, inbox.keywords)
    if inbox.entries:  # RFC 5464 §4.1: copied, and kept by INBOX
        services.mailboxes.change(account, made.mailbox_id, lambda now: replace(now, entries=inbox.entries))
    services.messages.move(account, (inbox.mailbox_id, made.mailbox_id), EVERY_UID, now_seconds())
    return made


async def run_subscribe(session: Session, command: Subscribe) -> Reply:
    await _mark_subscribed(session, command.mailbox, is_subscribed=True)
    return done("SUBSCRIBE")


async def run_unsubscribe(session: Session, command: Unsubscribe) -> Reply:
    await _mark_subscribed(session, command.mailbox, is_subscribed=False)
    return done("UNSUBSCRIBE")


async def _mark_subscribed(session: Session, name: str, *, is_subscribed: bool) -> None:
    await session.wire.call(session.open_names().mark_subscribed, name, is_subscribed=is_subscribed)
