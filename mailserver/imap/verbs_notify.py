"""NOTIFY (RFC 5465): SET and NONE, and the telling between commands."""

from mailserver.imap.commands import (
    Command,
    Create,
    Delete,
    Fetch,
    Notify,
    NotifyEvent,
    Rename,
    SetMetadata,
    Subscribe,
    Unsubscribe,
)
from mailserver.imap.encode import Status as Word
from mailserver.imap.fetching import FetchStream, pull_blocks
from mailserver.imap.news import look
from mailserver.imap.notifier import Notifier
from mailserver.imap.sequence_set import compact
from mailserver.imap.session import Reply, Session, done
from mailserver.service.mailboxes import normal_name


async def run_notify(session: Session, command: Notify) -> Reply:
    """What was asked before is forgotten (RFC 5465 §3.1)."""
    if command.unknown:
        events = " ".join(event.value for event in NotifyEvent)
        return Reply(Word.NO, "This server does not have that event", f"BADEVENT ({events})".encode("ascii"))
    session.notifier = Notifier(command)
    mailboxes = await session.wire.call(session.open_names().list_mailboxes)
    session.notifier.learn(mailboxes)
    for response in session.notifier.format_refusals(mailboxes, is_utf8=session.is_utf8):
        session.wire.send(response)
    if command.wants_status:
        selected = session.selected.info.mailbox_id if session.selected is not None else None
        for response in session.notifier.format_states(mailboxes, selected, session.enabled):
            session.wire.send(response)
    return done("NOTIFY")


async def learn_own_doing(session: Session, command: Command) -> None:
    """Nobody is told what they did themselves to names, subscriptions and annotations (RFC 5465 §5)."""
    if session.notifier is None or not session.notifier.watches_others:
        return
    match command:
        case Create() | Delete() | Subscribe() | Unsubscribe() | SetMetadata():
            name = command.mailbox or "INBOX"
        case Rename():
            name = command.new_name
        case _:
            return
    mailboxes = await session.wire.call(session.open_names().list_mailboxes)
    session.notifier.learn_own(mailboxes, normal_name(name))


async def tell_notified(session: Session, *, is_idling: bool) -> None:
    """What the client asked to be told, between two commands or while it idles. Raises NotFound when the selected
    mailbox was deleted.
    """
    notifier = session.notifier
    assert notifier is not None
    session.has_news = False
    selected = session.selected
    if selected is not None and notifier.tells_selected:
        newest = selected.view.uids[-1] if selected.view.exists else 0
        await look(session, hold_expunges=notifier.delays_expunges and not is_idling, with_uid=True)
        await _fetch_new(session, newest)
    else:
        # told by the next command, as to a client that never asked
        session.has_untold = selected is not None
    if notifier.watches_others:
        mailboxes = await session.wire.call(session.open_names().list_mailboxes)
        chosen = session.selected.info.mailbox_id if session.selected is not None else None
        for response in notifier.format_news(mailboxes, chosen, session.enabled):
            session.wire.send(response)


async def _fetch_new(session: Session, newest: int) -> None:
    """The items wanted of each message that has just been told (RFC 5465 §5.2)."""
    selected, notifier = session.selected, session.notifier
    if selected is None or notifier is None or notifier.selected is None or not notifier.selected.items:
        return
    uids = [uid for uid in selected.view.uids if uid > newest]
    if not uids:
        return
    stream = FetchStream(session, Fetch(compact(uids), notifier.selected.items, uid=True))
    blocks, is_done = stream.blocks(), False
    while not is_done:
        octets, is_done = await session.wire.call(pull_blocks, blocks)
        session.wire.send(octets)
        await session.wire.drain()
