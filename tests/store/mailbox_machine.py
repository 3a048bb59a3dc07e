"""Mailboxes against a plain dict: after any operations the kept counters equal a recount, mod-sequences only grow,
and what changed or left since any moment is told exactly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from store.store_rows import account_row, mailbox_row, new_item, place_item

from mailserver.crypto.secret import random_id
from mailserver.model.account import Flag, Role
from mailserver.model.ids import BlobId
from mailserver.store import changes, inspection, item_changes, item_columns, items, mailboxes
from mailserver.store.database import Connection
from mailserver.store.item_changes import FlagChange
from mailserver.store.items import BlobRow, Resealed, UidRange
from mailserver.store.mailboxes import Arrivals, MailboxRow
from mailserver.store.store import Store

FLAGS = st.sampled_from(
    [0, Flag.SEEN, Flag.DELETED, Flag.SEEN | Flag.DELETED, Flag.FLAGGED, 1 << 16, 1 << 31, 1 << 61]
).map(int)
BOXES = st.sampled_from([0, 1])
RANGES = st.lists(
    st.tuples(st.integers(1, 12), st.integers(0, 4)).map(lambda pair: (pair[0], pair[0] + pair[1])),
    max_size=3,
)


@dataclass
class Message:
    flags: int
    modseq: int
    adopted: bool
    blob_id: bytes


@dataclass
class Box:
    """What a mailbox should be."""

    row: MailboxRow
    messages: dict[int, Message] = field(default_factory=dict)
    stones: dict[int, int] = field(default_factory=dict)
    uidnext: int = 1
    highestmodseq: int = 1
    first_recent: int = 1

    def within(self, ranges: Sequence[UidRange]) -> list[int]:
        return sorted(uid for uid in self.messages if any(lo <= uid <= hi for lo, hi in ranges))


class MailboxMachine(RuleBasedStateMachine):
    """``store`` is set by the test; each example takes an account of its own."""

    store: Store

    @initialize()
    def open_account(self) -> None:
        self.account = account_row()
        self.boxes = [Box(mailbox_row(self.account.account_id, role)) for role in (Role.INBOX, Role.NONE)]
        self.modseq = 1

        def run(connection: Connection) -> None:
            self.store.accounts.add_account(connection, self.account)
            for box in self.boxes:
                mailboxes.add_mailbox(connection, box.row)

        self._write(run)

    def _write(self, run: Callable[[Connection], object]) -> None:
        with self.store.database.write() as connection:
            run(connection)

    def _next(self, connection: Connection) -> int:
        modseq = mailboxes.next_modseq(connection, self.account.account_id)
        assert modseq > self.modseq
        self.modseq = modseq
        return modseq

    @rule(index=BOXES, flags=FLAGS, adopted=st.booleans(), is_file=st.booleans())
    def place(self, index: int, flags: int, adopted: bool, is_file: bool) -> None:
        box = self.boxes[index]

        def run(connection: Connection) -> None:
            blob = BlobRow(BlobId(random_id()), 9, bytes(32), None if is_file else b"sealed")
            new = place_item(connection, box.row, flags=flags, adopted=adopted, blob=blob)
            assert new.uid == box.uidnext
            assert new.modseq > self.modseq
            box.messages[new.uid] = Message(flags, new.modseq, adopted, new.blob_id)
            box.uidnext, box.highestmodseq, self.modseq = new.uid + 1, new.modseq, new.modseq

        self._write(run)

    @rule(
        index=BOXES,
        ranges=RANGES,
        mode=st.sampled_from(FlagChange),
        bits=FLAGS,
        age=st.none() | st.integers(0, 6),
    )
    def mark_flags(
        self, index: int, ranges: list[UidRange], mode: FlagChange, bits: int, age: int | None
    ) -> None:
        box = self.boxes[index]
        since = None if age is None else self.modseq - age

        def run(connection: Connection) -> None:
            modseq = self._next(connection)
            marked = item_changes.mark_flags(
                connection, _place(box), ranges, (mode, bits), modseq, unchanged_since=since
            )
            expected, refused = [], []
            for uid in box.within(ranges):
                message = box.messages[uid]
                if since is not None and message.modseq > since:
                    refused.append(uid)
                    continue
                flags = {
                    FlagChange.ADD: message.flags | bits,
                    FlagChange.REMOVE: message.flags & ~bits,
                    FlagChange.REPLACE: bits,
                }[mode]
                if flags != message.flags:
                    message.flags, message.modseq = flags, modseq
                    expected.append((uid, flags))
            assert marked == item_changes.Marked(expected, modseq, refused)
            if expected:
                box.highestmodseq = modseq

        self._write(run)

    @rule(left=BOXES, entered=BOXES, ranges=RANGES, is_move=st.booleans())
    def transfer(self, left: int, entered: int, ranges: list[UidRange], is_move: bool) -> None:
        here, there = self.boxes[left], self.boxes[entered]

        def run(connection: Connection) -> None:
            modseq = self._next(connection)
            rows = items.list_items(connection, *_place(here), ranges)
            assert [row.uid for row in rows] == here.within(ranges)
            if not rows:
                return
            unseen = sum(not row.flags & Flag.SEEN for row in rows)
            deleted = sum(bool(row.flags & Flag.DELETED) for row in rows)
            arrivals = Arrivals(len(rows), unseen, deleted, 0, 100 * len(rows))
            first = mailboxes.place(connection, *_place(there), modseq, arrivals)
            assert first == there.uidnext
            items.add_items(
                connection,
                [
                    new_item(there.row, first + rank, modseq, row.blob_id, flags=row.flags, adopted=True)
                    for rank, row in enumerate(rows)
                ],
            )
            for rank, row in enumerate(rows):
                there.messages[first + rank] = Message(row.flags, modseq, True, row.blob_id)
            there.uidnext, there.highestmodseq = first + len(rows), modseq
            if is_move:
                self._leave(connection, here, [(row.uid, row.uid) for row in rows], modseq)

        self._write(run)

    @rule(index=BOXES, ranges=RANGES)
    def expunge(self, index: int, ranges: list[UidRange]) -> None:
        self._write(lambda c: self._leave(c, self.boxes[index], ranges, self._next(c)))

    def _leave(self, connection: Connection, box: Box, ranges: list[UidRange], modseq: int) -> None:
        gone = item_changes.expunge(connection, _place(box), ranges, modseq)
        assert gone.uids == box.within(ranges)
        for uid in gone.uids:
            del box.messages[uid]
            box.stones[uid] = modseq
            box.highestmodseq = modseq
        assert not self._held() & set(gone.orphans)

    def _held(self) -> set[bytes]:
        return {message.blob_id for box in self.boxes for message in box.messages.values()}

    @rule(index=BOXES, limit=st.integers(1, 3))
    def adopt(self, index: int, limit: int) -> None:
        box = self.boxes[index]

        def run(connection: Connection) -> None:
            rows = items.list_unadopted(connection, *_place(box), limit)
            assert [row.uid for row in rows] == sorted(
                uid for uid, message in box.messages.items() if not message.adopted
            )[:limit]
            fresh = [Resealed(row.uid, b"new wrap", bytes(32), b"new summary") for row in rows]
            # a message that left meanwhile, and one that another connection adopted first
            stale = [
                Resealed(uid, b"late", bytes(32), b"late")
                for uid, each in box.messages.items()
                if each.adopted
            ]
            items.mark_adopted(connection, *_place(box), [*fresh, *stale, Resealed(999, b"", b"", b"")])
            for row in rows:
                box.messages[row.uid].adopted = True

        self._write(run)

    @rule(index=BOXES)
    def claim_recent(self, index: int) -> None:
        self._write(lambda c: mailboxes.claim_recent(c, *_place(self.boxes[index])))
        self.boxes[index].first_recent = self.boxes[index].uidnext

    @precondition(lambda self: self.modseq > 1)
    @rule(data=st.data(), index=BOXES)
    def news(self, data: st.DataObject, index: int) -> None:
        since, box = data.draw(st.integers(0, self.modseq)), self.boxes[index]
        with self.store.database.read() as connection:
            changed, gone = changes.list_changes(connection, *_place(box), since)
        expected = sorted((uid, m.flags, m.modseq) for uid, m in box.messages.items() if m.modseq > since)
        assert list(map(tuple, changed)) == expected
        assert gone == sorted(uid for uid, modseq in box.stones.items() if modseq > since)

    @invariant()
    def the_store_is_the_dict(self) -> None:
        with self.store.database.read() as connection:
            assert list(inspection.find_counter_problems(connection)) == []
            for box in self.boxes:
                row = mailboxes.load_mailbox(connection, *_place(box))
                messages = box.messages
                assert (row.uidnext, row.highestmodseq) == (box.uidnext, box.highestmodseq)
                assert row.first_recent_uid == box.first_recent
                assert row.exists_count == len(messages)
                assert row.unseen_count == sum(not m.flags & Flag.SEEN for m in messages.values())
                assert row.deleted_count == sum(bool(m.flags & Flag.DELETED) for m in messages.values())
                assert row.unadopted_count == sum(not m.adopted for m in messages.values())
                assert row.padded_bytes == 100 * len(messages)
                flags = item_columns.load_columns(connection, *_place(box)).rows()
                assert list(map(tuple, flags)) == [
                    (uid, m.flags, m.modseq) for uid, m in sorted(messages.items())
                ]
            for blob_id in self._held():
                assert items.find_blob(connection, self.account.account_id, BlobId(blob_id)) is not None


def _place(box: Box) -> tuple:
    return box.row.account_id, box.row.mailbox_id
