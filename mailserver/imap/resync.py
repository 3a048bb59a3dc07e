"""Quick resynchronisation (RFC 7162 §3.2): what changed and what left while a client was away, by UID.

Tombstones are kept as long as their mailbox, so that what left is always known exactly; the client's sample of message
numbers and UIDs, meant for servers that forget, is read and not needed.
"""

from collections.abc import Sequence

from mailserver.imap.commands import Fetch, Resync
from mailserver.imap.encode import format_vanished
from mailserver.imap.sequence_set import SequenceSet, compact
from mailserver.imap.session import Selected, Session
from mailserver.imap.view import MailboxView

TOLD_AT_ONCE = 4000


async def tell_vanished(session: Session, command: Fetch) -> None:
    """VANISHED (EARLIER) of a UID FETCH with CHANGEDSINCE and VANISHED (RFC 7162 §3.2.6). None left: nothing is said."""
    assert command.changed_since is not None
    selected = session.open_mailbox()
    gone = await session.wire.call(_find_vanished, session, command.changed_since)
    _send_vanished(session, _among(gone, command.messages, _highest(selected.view, gone)))


async def tell_resync(session: Session, resync: Resync) -> None:
    """What the client missed, after the other responses of a SELECT (RFC 7162 §3.2.5.1). Nothing when its UIDVALIDITY
    is an older one: it must forget what it knows.
    """
    selected = session.open_mailbox()
    if resync.uidvalidity != selected.info.row.uidvalidity:
        return
    gone: Sequence[int] = await session.wire.call(_find_vanished, session, resync.modseq)
    view = selected.view
    changed: Sequence[int] = [
        uid for uid, modseq in zip(view.uids, view.modseqs, strict=True) if modseq > resync.modseq
    ]
    if resync.known_uids is not None:
        highest = _highest(view, gone)
        gone, changed = (_among(uids, resync.known_uids, highest) for uids in (gone, changed))
    _send_vanished(session, gone)
    for start in range(0, len(changed), TOLD_AT_ONCE):
        part = changed[start : start + TOLD_AT_ONCE]
        session.wire.send(b"".join(view.format_flags_of(part, session.dialect())))
        await session.wire.drain()


def _find_vanished(session: Session, since_modseq: int) -> list[int]:
    """Blocking: for the pool. What left after the view was last brought up to date is told by an untagged VANISHED."""
    selected: Selected = session.open_mailbox()
    messages = session.services.messages
    gone = messages.vanished_since(selected.account, selected.info.mailbox_id, since_modseq)
    return [uid for uid in gone if selected.view.find_number(uid) is None]


def _send_vanished(session: Session, uids: Sequence[int]) -> None:
    if uids:
        session.wire.send(format_vanished(compact(uids), is_earlier=True))


def _highest(view: MailboxView, gone: Sequence[int]) -> int:
    """What ``*`` stands for in a set that may name UIDs which are gone."""
    return max(view.uids[-1] if len(view.uids) else 0, gone[-1] if gone else 0)


def _among(uids: Sequence[int], named: SequenceSet, highest: int) -> list[int]:
    """Those of ascending ``uids`` that a client's set names."""
    found: list[int] = []
    at = 0
    for first, last in named.resolved(highest):
        while at < len(uids) and uids[at] < first:
            at += 1
        while at < len(uids) and uids[at] <= last:
            found.append(uids[at])
            at += 1
    return found
