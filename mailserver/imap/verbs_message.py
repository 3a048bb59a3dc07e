"""Verbs about messages of the selected mailbox: FETCH, STORE, COPY, MOVE, EXPUNGE (RFC 9051 §6.4).

A set of message numbers that names one that does not exist is BAD (RFC 9051 §9); unknown UIDs are passed over
(§6.4.9), so a MOVE repeated for what has moved already is OK and no client loops.
"""

import contextlib
from collections.abc import Callable, Sequence
from functools import partial

from mailserver.imap.commands import Copy, Expunge, Fetch, FetchItem, Move, Store, StoreMode
from mailserver.imap.encode import Status as Word
from mailserver.imap.encode import code_copy_uid, code_modified, format_untagged
from mailserver.imap.fetching import FetchStream, pull_blocks
from mailserver.imap.flags import find_flag_bit, split_flags
from mailserver.imap.news import all_bits, tell_keywords
from mailserver.imap.replies import NEEDS_QRESYNC, READ_ONLY, TRY_CREATE
from mailserver.imap.resync import tell_vanished
from mailserver.imap.sequence_set import SequenceSet, compact
from mailserver.imap.session import Reply, Session, done, now_seconds
from mailserver.imap.states import Feature
from mailserver.imap.view import MailboxView
from mailserver.model.errors import Corrupt, NotFound, OverLimit
from mailserver.service.mailboxes import MailboxInfo
from mailserver.service.named_mailboxes import NamedMailbox
from mailserver.service.transfers import COMMAND_ITEMS, Transfer
from mailserver.store.item_changes import FlagChange, Marked
from mailserver.store.items import uid_ranges

TOLD_AT_ONCE = 4000
_GONE = b"EXPUNGEISSUED"
_NOT_HERE = Reply(Word.BAD, "No such message number")
_CHANGES = {
    StoreMode.REPLACE: FlagChange.REPLACE,
    StoreMode.ADD: FlagChange.ADD,
    StoreMode.REMOVE: FlagChange.REMOVE,
}


def is_here(session: Session, messages: SequenceSet, *, uid: bool) -> bool:
    """Whether a client's set may be used as it is."""
    return uid or messages.is_within(session.open_mailbox().view.exists)


async def run_fetch(session: Session, command: Fetch) -> Reply:
    """RFC 9051 §6.4.5. Made in the pool block by block; the next block waits until the peer took the last."""
    if command.wants_vanished and Feature.QRESYNC not in session.enabled:
        return NEEDS_QRESYNC
    if command.changed_since is not None or FetchItem.MODSEQ in command.items:
        session.enable_condstore()
    if not is_here(session, command.messages, uid=command.uid):
        return _NOT_HERE
    if command.wants_vanished:
        await tell_vanished(session, command)
    stream = FetchStream(session, command)
    blocks = stream.blocks()
    is_done = False
    while not is_done:
        octets, is_done = await session.wire.call(pull_blocks, blocks)
        session.wire.send(octets)
        await session.wire.drain()
    if stream.failure is not None:
        raise stream.failure
    return done("FETCH", _GONE if stream.has_gone and not command.uid else b"")


async def run_store(session: Session, command: Store) -> Reply:
    """RFC 9051 §6.4.6."""
    selected = session.open_mailbox()
    if command.unchanged_since is not None:
        session.enable_condstore()
    if selected.is_read_only:
        return READ_ONLY
    if not is_here(session, command.messages, uid=command.uid):
        return _NOT_HERE
    view = selected.view
    uids = view.uids_of(command.messages, uid=command.uid)
    if not len(uids):
        return done("STORE")
    marked, info = await session.wire.call(_store, session, command, uids)
    if info is not None:
        tell_keywords(session, selected, info)
    bits, _missing = split_flags(command.flags, selected.info.keywords)
    foresee = partial(_CHANGES[command.mode].applied, bits=bits)
    surprising = view.note_flags(marked.changed, marked.modseq, foresee if command.is_silent else None)
    if marked.changed and marked.modseq_before == selected.modseq:
        selected.modseq = marked.modseq  # nothing else happened: there is nothing more to look for
        if not view.vanished:
            selected.told_modseq = selected.modseq
    refused = frozenset(marked.refused)
    told = [uid for uid in uids if uid not in refused] if refused else uids
    dialect = session.dialect(with_uid=command.uid)
    if command.is_silent and dialect.with_modseq:  # RFC 7162 §3.1.3
        await _tell(session, told, partial(view.format_modseqs_of, with_uid=dialect.with_uid))
    # RFC 9051 §6.4.6: .SILENT keeps back what the client works out itself, not what others changed just before
    shown = surprising if command.is_silent else told
    await _tell(session, shown, partial(view.format_flags_of, dialect=dialect))
    return Reply(Word.OK, "STORE completed", _code_modified(view, marked, uid=command.uid))


def _code_modified(view: MailboxView, marked: Marked, *, uid: bool) -> bytes:
    """RFC 7162 §3.1.3; no code when every message passed the test."""
    numbers = marked.refused if uid else [view.find_number(each) for each in marked.refused]
    known = [number for number in numbers if number is not None]
    return code_modified(compact(known)) if known else b""


def _store(session: Session, command: Store, uids: Sequence[int]) -> tuple[Marked, MailboxInfo | None]:
    services, selected = session.services, session.open_mailbox()
    account, info = selected.account, selected.info
    bits, missing = split_flags(command.flags, info.keywords)
    if missing and command.mode is not StoreMode.REMOVE:
        info = services.mailboxes.add_keywords(account, info, missing)
        bits, _missing = split_flags(command.flags, info.keywords)
    change = (_CHANGES[command.mode], bits)
    marked = services.messages.mark_flags(
        account, info.mailbox_id, uid_ranges(uids), change, unchanged_since=command.unchanged_since
    )
    known = all_bits(info)
    if any(flags & ~known for flags in {flags for _uid, flags in marked.changed}):
        info = services.mailboxes.reload(account, info)  # another session's keyword, not known here yet
    return marked, info if info is not selected.info else None


async def _tell(
    session: Session, uids: Sequence[int], format_of: Callable[[Sequence[int]], list[bytes]]
) -> None:
    """A response for each message that was named, changed or not."""
    for start in range(0, len(uids), TOLD_AT_ONCE):
        session.wire.send(b"".join(format_of(uids[start : start + TOLD_AT_ONCE])))
        await session.wire.drain()


async def run_copy(session: Session, command: Copy) -> Reply:
    """RFC 9051 §6.4.7 with COPYUID (RFC 4315 §3); all or nothing."""
    return await _transfer(session, command, is_move=False)


async def run_move(session: Session, command: Move) -> Reply:
    """RFC 6851 §3: COPYUID untagged, before the EXPUNGEs (§4.3)."""
    if session.open_mailbox().is_read_only:
        return READ_ONLY
    return await _transfer(session, command, is_move=True)


async def _transfer(session: Session, command: Copy | Move, *, is_move: bool) -> Reply:
    verb = "MOVE" if is_move else "COPY"
    if not is_here(session, command.messages, uid=command.uid):
        return _NOT_HERE
    view = session.open_mailbox().view
    uids = view.uids_of(command.messages, uid=command.uid)
    try:
        code = await session.wire.call(_place, session, command, uids)
    except NotFound:
        return TRY_CREATE
    except Corrupt:
        session.has_news = True  # a MOVE took the messages that are sound
        raise
    if code is None:
        return done(verb)
    session.has_news = True
    if not is_move:
        return done(verb, code)
    if code:
        session.wire.send(format_untagged(Word.OK, "Moved", code))
    return done(verb)


def _place(session: Session, command: Copy | Move, uids: Sequence[int]) -> bytes | None:
    """The COPYUID code: empty for who may not read there (RFC 4315 §3), None when there was nothing to place."""
    if len(uids) > COMMAND_ITEMS:
        raise OverLimit("too-many-messages")
    services, selected = session.services, session.open_mailbox()
    source, target = selected.info, session.open_names().load_mailbox(command.mailbox)
    if not len(uids):
        return None
    bits = _match_keywords(session, source, target) if source.keywords else None
    place, is_move = (source.mailbox_id, target.mailbox_id), isinstance(command, Move)
    if target.account.account_id != selected.account.account_id:
        transfer = Transfer(*place, now_seconds(), bits, is_move=is_move)
        validity, pairs = services.messages.carry(
            selected.account, target.account, transfer, uid_ranges(uids)
        )
    else:
        run = services.messages.move if is_move else services.messages.copy
        validity, pairs = run(selected.account, place, uid_ranges(uids), now_seconds(), keyword_bits=bits)
    if not pairs:
        return None
    if not target.may_read:
        return b""
    return code_copy_uid(validity, [old for old, _new in pairs], [new for _old, new in pairs])


def _match_keywords(session: Session, source: MailboxInfo, target: NamedMailbox) -> list[tuple[int, int]]:
    """Own keywords are bits of their mailbox: (bit here, bit there) of each that the target can take."""
    info = target.info
    with contextlib.suppress(OverLimit):  # the copy keeps the keywords that the target knows already
        info = session.services.mailboxes.add_keywords(target.account, info, source.keywords)
    pairs = []
    for name in source.keywords:
        here, there = find_flag_bit(name, source.keywords), find_flag_bit(name, info.keywords)
        if here is not None and there is not None:
            pairs.append((here, there))
    return pairs


async def run_expunge(session: Session, command: Expunge) -> Reply:
    """RFC 9051 §6.4.3; with UIDs, RFC 4315 §2.1. The EXPUNGEs are told by the connection, after the verb."""
    selected = session.open_mailbox()
    if selected.is_read_only:
        return READ_ONLY
    await session.wire.call(_expunge, session, command)
    session.has_news = True
    return done("EXPUNGE")


def _expunge(session: Session, command: Expunge) -> None:
    selected = session.open_mailbox()
    within = None
    if command.uids is not None:
        within = selected.view.uid_ranges_of(command.uids)
    known = selected.deleted_uids(), selected.modseq
    session.services.messages.expunge_deleted(selected.account, selected.info.mailbox_id, known, within)
