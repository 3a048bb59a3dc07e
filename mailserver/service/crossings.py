"""COPY and MOVE from one account to another: between a person's own box and a shared one, or two shared ones.

What crosses is sealed anew for the target: a message of a row gets a data key and octets of its own there, a file is
named by both accounts (security.md, "What keeps which size"). Rights and quota are the target's.

Two accounts are two Units, so a crash stands between them: the copies are committed first, and only then does a MOVE
expunge its sources. A crash, or a source whose expunge fails, leaves a message in both places, never in none. COPY is
all or nothing as within one account (``transfers``). Messages taken out of a shared box are in its log before their
copies exist, one entry each.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from mailserver.audit.events import EventKind
from mailserver.crypto.secret import random_id
from mailserver.mime.summary_wire import SummaryView
from mailserver.model.errors import Corrupt, Malformed
from mailserver.model.ids import AccountId, EmailId, ItemId, MailboxId
from mailserver.service.access_log import add_entries
from mailserver.service.box_log import BoxLog, describe_message
from mailserver.service.keys import OpenAccount
from mailserver.service.quotas import Amount, Quotas
from mailserver.service.sealing import Place, PlaceStamp, SealedBlob, open_small, seal_octets
from mailserver.service.transfers import (
    UNIT_ITEMS,
    Opened,
    OpenParts,
    Pairs,
    Transfer,
    arrivals_of,
    expunge_part,
    undo_copies,
)
from mailserver.store import items, mailboxes
from mailserver.store.database import Connection
from mailserver.store.items import NewItem, UidRange, uid_ranges
from mailserver.store.store import Store
from mailserver.store.writer import Unit

PART_ITEMS = 50
"""Messages in memory at once: each row holds at most 64 KiB."""


@dataclass(frozen=True, slots=True)
class _Ends:
    """The two accounts of one transfer."""

    source: OpenAccount
    target: OpenAccount
    transfer: Transfer

    @property
    def here(self) -> tuple[AccountId, MailboxId]:
        return self.source.account_id, self.transfer.source

    @property
    def there(self) -> tuple[AccountId, MailboxId]:
        return self.target.account_id, self.transfer.target


class Crossings:
    """``quotas`` is asked about the target. One crossing's Unit waits at a time in a process."""

    def __init__(self, store: Store, open_parts: OpenParts, log: BoxLog, quotas: Quotas) -> None:
        self._store = store
        self._open_parts = open_parts
        self._log = log
        self._quotas = quotas
        self._turn = threading.Lock()

    def run(
        self, source: OpenAccount, target: OpenAccount, transfer: Transfer, ranges: Sequence[UidRange]
    ) -> tuple[int, Pairs]:
        """(target's UIDVALIDITY, [(source UID, new UID)]). Rights are the caller's to judge. Raises
        NotFound("mailbox"), OverLimit("quota"), Unavailable when the log cannot be written.
        """
        ends = _Ends(source, target, transfer)
        with self._store.database.read() as connection:
            row = mailboxes.load_mailbox(connection, *ends.there)
            uids = [uid for uid, _flags in items.list_flags_within(connection, *ends.here, ranges)]
            padded = items.sum_padded(connection, ends.here, ranges)
        self._quotas.demand_room(target.account_id, Amount(len(uids), padded))
        pairs: Pairs = []
        try:
            for start in range(0, len(uids), UNIT_ITEMS):
                part = uids[start : start + UNIT_ITEMS]
                self._log_copies(ends, part)
                for at in range(0, len(part), PART_ITEMS):
                    pairs += self._run_part(ends, uid_ranges(part[at : at + PART_ITEMS]))
        except BaseException:
            if not transfer.is_move:
                undo_copies(self._store, ends.there, [new for _old, new in pairs])
            raise
        return row.uidvalidity, pairs

    def _log_copies(self, ends: _Ends, uids: Sequence[int]) -> None:
        """Out of a shared box: who takes a copy is in its log before there is one (L4)."""
        if ends.source.member is None:
            return
        opened = self._open_parts(ends.source, ends.transfer.source, uid_ranges(uids))
        objects = [describe_message(each.summary) for each in opened]
        entries = self._log.prepare(ends.source, EventKind.EXPORTED, objects)

        def run(connection: Connection) -> None:
            add_entries(connection, self._store.macs, entries)

        self._store.writer.commit(Unit(ends.source.account_id, run))

    def _run_part(self, ends: _Ends, ranges: Sequence[UidRange]) -> Pairs:
        """Copies first, in the target's Unit; then for MOVE the sources leave, in theirs."""
        opened = self._open_parts(ends.source, ends.transfer.source, ranges)
        carried = [(each, self._seal_for_target(ends.source.account_id, each)) for each in opened]

        def run(connection: Connection) -> Pairs:
            return self._place(connection, ends, carried, ranges)

        with self._turn:
            pairs = self._store.writer.commit(Unit(ends.target.account_id, run))
        if ends.transfer.is_move and pairs:
            moved = [old for old, _new in pairs]
            summaries: dict[int, bytes | None] = {each.row.uid: each.summary for each in opened}
            add = self._log.prepare_by_uid(ends.source, EventKind.DELETED, summaries)
            expunge_part(self._store, ends.here, uid_ranges(moved), add_entries=add)
        return pairs

    def _seal_for_target(self, source_id: AccountId, each: Opened) -> SealedBlob:
        """A row is opened and sealed under a data key of its own; of a file, only the mark that it is one."""
        with self._store.database.read() as connection:
            blob = items.find_blob(connection, source_id, each.row.blob_id)
        if blob is None:
            raise Corrupt("blob-missing")
        if blob.octets is None:
            return SealedBlob(each.data_key, blob, each.row.padded_bytes)
        try:
            size_bytes = SummaryView(each.summary).size_bytes
        except Malformed:
            raise Corrupt("summary") from None
        return seal_octets(open_small(each.data_key, blob.blob_id, blob.octets, size_bytes))

    def _place(
        self,
        connection: Connection,
        ends: _Ends,
        carried: Sequence[tuple[Opened, SealedBlob]],
        ranges: Sequence[UidRange],
    ) -> Pairs:
        """In the target's Unit: what is still in the source is placed, with its flags of this moment."""
        flags = dict(items.list_flags_within(connection, *ends.here, ranges))
        present = [
            (each, blob)
            for each, blob in carried
            if each.row.uid in flags and self._is_held(connection, ends, blob)
        ]
        if not present:
            return []
        marks = [ends.transfer.flags_there(flags[each.row.uid]) for each, _blob in present]
        modseq = mailboxes.next_modseq(connection, ends.target.account_id)
        sizes = [blob.padded_bytes for _each, blob in present]
        first = mailboxes.place(
            connection, *ends.there, modseq, arrivals_of(list(zip(marks, sizes, strict=True)))
        )
        placed: list[NewItem] = []
        for uid, (each, blob) in enumerate(present, first):
            place = Place(*ends.there, uid, ItemId(random_id()))
            stamp = PlaceStamp(marks[uid - first], modseq, each.row.received_at, ends.transfer.now)
            email_id = EmailId(random_id())  # an id of the source would tie the two accounts together at rest
            placed.append(ends.target.mail_keys().seal_item(place, blob, each.summary, stamp, email_id))
            if items.find_blob(connection, ends.target.account_id, blob.row.blob_id) is None:
                items.add_blob(connection, ends.target.account_id, blob.row)
        items.add_items(connection, placed)
        return [(each.row.uid, new.uid) for (each, _blob), new in zip(present, placed, strict=True)]

    @staticmethod
    def _is_held(connection: Connection, ends: _Ends, blob: SealedBlob) -> bool:
        """A file that its source let go of meanwhile may be deleted any moment: it is not named again."""
        return blob.row.octets is not None or items.lock_blob(
            connection, ends.source.account_id, blob.row.blob_id
        )
