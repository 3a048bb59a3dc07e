"""What became of a message, for who sent it: each recipient with its attempts, opened with the sender's own key.

The queue forgets an address at a job's final state (K20); a sealed record that only the sender opens remembers which
job was whose, as long as the queue keeps its timelines.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from mailserver.crypto.ctx import ctx
from mailserver.model.address import Address, parse_address
from mailserver.model.errors import NotFound
from mailserver.model.ids import AccountId, JobId
from mailserver.model.notice import NoticeState
from mailserver.service.filing import seal_space_record
from mailserver.service.keys import OpenAccount
from mailserver.store import jobs
from mailserver.store.accounts import AccountRow
from mailserver.store.database import Connection
from mailserver.store.jobs import AttemptRow, JobRow, JobState
from mailserver.store.sent_rows import SentPlace, SentRow
from mailserver.store.store import Store

_LABEL = "sent"
MOST_SENDINGS = 50
"""Of one Message-ID."""
PAGE_BYTES = 64 * 1024
"""Of sealed records in one page: some hundreds of recipients, however many each sending has."""


class DeliveryState(StrEnum):
    HERE = "here"
    """In a mailbox of this operator."""
    WAITING = "waiting"
    HELD = "held"
    HANDED_OVER = "handed-over"
    """Taken by the recipient's server."""
    RETURNED = "returned"
    FORGOTTEN = "forgotten"
    """Over for so long that the queue has dropped its timeline."""


_STATES = {
    JobState.WAITING: DeliveryState.WAITING,
    JobState.HELD: DeliveryState.HELD,
    JobState.DONE: DeliveryState.HANDED_OVER,
    JobState.FAILED: DeliveryState.RETURNED,
}


@dataclass(frozen=True, slots=True)
class HeardState:
    """What notices said of a recipient, when, with the code of a failed integration (0: none)."""

    state: NoticeState
    at: int
    code: int = 0


@dataclass(frozen=True, slots=True)
class RecipientTimeline:
    """``next_try_at`` is None unless the message waits for it; ``heard`` unless a notice came, or is missing."""

    recipient: Address
    state: DeliveryState
    attempts: Sequence[AttemptRow] = ()
    next_try_at: int | None = None
    heard: HeardState | None = None

    def __repr__(self) -> str:
        return f"RecipientTimeline({self.state})"


@dataclass(frozen=True, slots=True)
class MessageTimeline:
    """One sending. ``message_id`` may be empty."""

    sent_id: bytes
    message_id: str
    sent_at: int
    recipients: Sequence[RecipientTimeline]

    def __repr__(self) -> str:
        return "MessageTimeline(…)"


def seal_sent(
    store: Store,
    account: AccountRow,
    message_id: str,
    recipients: Sequence[tuple[Address, JobId | None]],
    now: datetime,
) -> SentRow:
    """The record of a sending: its recipients, each with its job, None for one of this operator."""
    fields = {
        "message_id": message_id,
        "recipients": [
            [str(address), "" if job_id is None else job_id.hex()] for address, job_id in recipients
        ],
    }
    sealed = seal_space_record(account, _LABEL, fields, now)
    index = store.sent.index_of(account.account_id, message_id)
    return SentRow(account.account_id, sealed.record_id, index, sealed.created_at, sealed.record)


class Timelines:
    def __init__(self, store: Store) -> None:
        self._store = store

    def list_sent(self, account: OpenAccount) -> list[MessageTimeline]:
        """Everything that is remembered, oldest first. Raises Denied("scope") without the space's key, Corrupt."""
        sent, account_id = self._store.sent, account.account_id
        return self._open(account, lambda connection: sent.list_sent(connection, account_id))

    def find_sent(self, account: OpenAccount, message_id: str) -> list[MessageTimeline]:
        """The sendings of one Message-ID, oldest first: more than one when it was sent on to others. The newest
        MOST_SENDINGS, fewer when they have many recipients.
        """
        index = self._store.sent.index_of(account.account_id, message_id)

        def list_rows(connection: Connection) -> list[SentRow]:
            rows = self._store.sent.list_page(
                connection, account.account_id, MOST_SENDINGS, message_mac=index
            )
            return _cut_page(rows)[::-1]

        return self._open(account, list_rows)

    def list_page(
        self, account: OpenAccount, limit: int, before: SentPlace | None = None
    ) -> tuple[list[MessageTimeline], SentPlace | None]:
        """The newest older than ``before``, newest first, and where the next page begins: None at the end. At most
        ``limit``, fewer when they have many recipients, at least one when there is one.
        """
        next_place: SentPlace | None = None

        def list_rows(connection: Connection) -> list[SentRow]:
            nonlocal next_place
            rows = self._store.sent.list_page(connection, account.account_id, limit + 1, before)
            kept = _cut_page(rows[:limit])
            if len(kept) < len(rows):
                next_place = (kept[-1].created_at, kept[-1].sent_id)
            return kept

        return self._open(account, list_rows), next_place

    def load_sent(self, account: OpenAccount, sent_id: bytes) -> MessageTimeline:
        """One sending of the account. Raises NotFound("sent"), Denied("scope"), Corrupt."""

        def list_rows(connection: Connection) -> list[SentRow]:
            row = self._store.sent.find_sent(connection, account.account_id, sent_id)
            if row is None:
                raise NotFound("sent")
            return [row]

        (found,) = self._open(account, list_rows)
        return found

    def _open(
        self, account: OpenAccount, list_rows: Callable[[Connection], list[SentRow]]
    ) -> list[MessageTimeline]:
        pair = account.space_root().pair(account.account.epoch)
        with self._store.database.read() as connection:
            rows = list_rows(connection)
            opened = [
                json.loads(pair.open(row.record, ctx(_LABEL, account.account_id, row.sent_id)))
                for row in rows
            ]
            named = [
                JobId(bytes.fromhex(job_id)) for fields in opened for _to, job_id in fields["recipients"]
            ]
            queue = _Queue(self._store, connection, account.account_id, [each for each in named if each])
            return [
                MessageTimeline(
                    row.sent_id,
                    fields["message_id"],
                    row.created_at,
                    [
                        replace(queue.find(parse_address(address), job_id), heard=heard.get(position))
                        for position, (address, job_id) in enumerate(fields["recipients"])
                    ],
                )
                for row, fields in zip(rows, opened, strict=True)
                for heard in [self._heard(connection, row)]
            ]

    def _heard(self, connection: Connection, sent: SentRow) -> dict[int, HeardState]:
        """By the recipient's place in the sending."""
        rows = self._store.sent_recipients.list_recipients(connection, sent.account_id, sent.sent_id)
        return {
            row.position: HeardState(row.state, row.changed_at, row.code)
            for row in rows
            if row.state is not (NoticeState.DELIVERED if row.job_id is None else NoticeState.SENT)
        }


def _cut_page(rows: list[SentRow]) -> list[SentRow]:
    """The first rows whose sealed records are together within PAGE_BYTES: the first one in any case."""
    total_bytes = 0
    for count, row in enumerate(rows):
        total_bytes += len(row.record)
        if count and total_bytes > PAGE_BYTES:
            return rows[:count]
    return rows


class _Queue:
    """Some jobs of one account, with their attempts."""

    def __init__(
        self, store: Store, connection: Connection, account_id: AccountId, job_ids: Sequence[JobId]
    ) -> None:
        rows = store.jobs.list_named(connection, account_id, job_ids)
        self._jobs: dict[str, JobRow] = {row.job_id.hex(): row for row in rows}
        self._attempts: dict[JobId, list[AttemptRow]] = defaultdict(list)
        for each in jobs.list_attempts(connection, job_ids):
            self._attempts[each.job_id].append(each)

    def find(self, recipient: Address, job_id: str) -> RecipientTimeline:
        if not job_id:
            return RecipientTimeline(recipient, DeliveryState.HERE)
        row = self._jobs.get(job_id)
        if row is None:
            return RecipientTimeline(recipient, DeliveryState.FORGOTTEN)
        due = row.next_try_at if row.state is JobState.WAITING else None
        return RecipientTimeline(recipient, _STATES[row.state], self._attempts[row.job_id], due)
