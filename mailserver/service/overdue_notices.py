"""Who is told that no notice came: one letter a sending into its sender's own INBOX, in the Unit that says so in the rows;
and one more when what was missed comes after all. Never about a notice: those are not followed.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mailserver.mime.header_writer import check_message_id
from mailserver.model.errors import Corrupt, Malformed, NotFound
from mailserver.model.ids import NOBODY, AccountId
from mailserver.model.notice import NoticeState
from mailserver.policy.notice_states import DueAct, DueFacts, Transport, decide_due
from mailserver.service.awaited_notices import Awaited, AwaitedNotices
from mailserver.service.notice_words import STATE_WORDS, explain_code
from mailserver.service.sender_reports import NoticeDraft, Place, SenderReports
from mailserver.store import jobs
from mailserver.store.database import Connection
from mailserver.store.jobs import JobState
from mailserver.store.leases import take_lease
from mailserver.store.sent_recipients import PlaceOfRow, SentRecipientRow, end_altered
from mailserver.store.store import Store
from mailserver.store.writer import Unit

ROUND_ROWS = 200
LEASE_NAME = "overdue notices"
LEASE_SECONDS = 120
WAIT_SECONDS = 3600
_TRANSPORT = {
    JobState.WAITING: Transport.WAITING,
    JobState.HELD: Transport.WAITING,
    JobState.DONE: Transport.HANDED_OVER,
    JobState.FAILED: Transport.RETURNED,
}
_Group = tuple[AccountId, bytes, DueAct]
logger = logging.getLogger("pli.notices")


@dataclass(frozen=True, slots=True)
class _Due:
    """A row whose time is over, and when its recipient's server took the message (0: at once, or not yet)."""

    row: SentRecipientRow
    transport: Transport
    handed_at: int = 0


class OverdueNotices:
    """``holder`` is this process's random id (16 bytes). Blocks: pool threads only."""

    def __init__(self, store: Store, awaited: AwaitedNotices, reports: SenderReports, holder: bytes) -> None:
        self._store = store
        self._awaited = awaited
        self._reports = reports
        self._holder = holder

    def tell_once(self, now: datetime) -> int:
        """One round: how many letters were written. Another process's turn, or nothing due: 0. Raises Unavailable."""
        at = int(now.timestamp())
        due = self._list_due(at)
        if not due or not self._take_turn(at):
            return 0
        groups: dict[_Group, list[SentRecipientRow]] = {}
        for each in due:
            groups.setdefault((each.row.account_id, each.row.sent_id, self._decide(each, at)), []).append(
                each.row
            )
        return sum(self._settle(act, rows, now) for (_account, _sent, act), rows in groups.items())

    def _take_turn(self, at: int) -> bool:
        def run(connection: Connection) -> bool:
            return take_lease(connection, self._store.macs, LEASE_NAME, self._holder, (at, LEASE_SECONDS))

        return self._store.writer.commit(Unit(NOBODY, run))

    def _list_due(self, at: int) -> list[_Due]:
        with self._store.database.read() as connection:
            rows, altered = self._store.sent_recipients.list_due(connection, at, ROUND_ROWS)
            due = [self._place(connection, row) for row in rows]
        if altered:
            self._end_altered(altered)
        return due

    def _end_altered(self, places: Sequence[PlaceOfRow]) -> None:
        logger.error("followed recipients were altered, no time runs for them", extra={"count": len(places)})

        def run(connection: Connection) -> None:
            for place in places:
                end_altered(connection, place)

        self._store.writer.commit(Unit(NOBODY, run))

    def _place(self, connection: Connection, row: SentRecipientRow) -> _Due:
        if row.job_id is None:
            return _Due(row, Transport.HERE)
        try:
            job = self._store.jobs.load_job(connection, row.job_id)
        except (NotFound, Corrupt):
            return _Due(
                row, Transport.HANDED_OVER
            )  # nothing is known of it any more: the sender is rather told
        attempts = jobs.list_attempts(connection, [row.job_id])
        return _Due(row, _TRANSPORT[job.state], attempts[-1].at if attempts else 0)

    def _decide(self, due: _Due, at: int) -> DueAct:
        row = due.row
        facts = DueFacts(row.state, row.expected, due.transport, row.told_at is not None)
        act = decide_due(facts)
        if act is DueAct.TELL_OVERDUE and at < due.handed_at + self._awaited.wait_seconds:
            return DueAct.WAIT  # its server has not had it for that long
        return act

    def _settle(self, act: DueAct, rows: Sequence[SentRecipientRow], now: datetime) -> int:
        """1 when a letter was placed."""
        at = int(now.timestamp())
        place = None
        if act in {DueAct.TELL_OVERDUE, DueAct.TELL_LATE}:
            place = self._letter(act, rows, now)
            act = DueAct.END if place is None else act
        after = [_after(act, row, at) for row in rows]

        def run(connection: Connection) -> int:
            known = self._store.sent_recipients
            if not all(known.is_unchanged(connection, row) for row in rows):
                return 0  # another was first, or a notice has just come: the next round sees
            if place is not None:
                place(connection)
            for row in after:
                known.mark(connection, row)
            return int(place is not None)

        return self._store.writer.commit(Unit(rows[0].account_id, run))

    def _letter(self, act: DueAct, rows: Sequence[SentRecipientRow], now: datetime) -> Place | None:
        """None when nobody can be told."""
        try:
            named = [(row, self._awaited.open(row)) for row in rows]
            first = named[0][1]
            draft = NoticeDraft(first.sender, *self._words(act, named), _writable(first.message_id))
            return self._reports.prepare_letter(rows[0].account_id, draft, now)
        except (Corrupt, Malformed, NotFound) as error:
            logger.error("a sender was not told of a missing notice", extra={"code": error.code})  # noqa: TRY400 # no trace of use
            return None

    def _words(self, act: DueAct, named: Sequence[tuple[SentRecipientRow, Awaited]]) -> tuple[str, str]:
        clock, at = self._reports.clock, named[0][1].sent_at
        sent = (clock.in_french(at), clock.in_english(at))
        if act is DueAct.TELL_LATE:
            return _late_words(sent, named)
        return _overdue_words(sent, named, self._awaited.wait_seconds // 3600)


def _after(act: DueAct, row: SentRecipientRow, at: int) -> SentRecipientRow:
    match act:
        case DueAct.WAIT:
            return replace(row, due_at=at + WAIT_SECONDS)
        case DueAct.TELL_OVERDUE:
            return replace(row, state=NoticeState.OVERDUE, changed_at=at, due_at=None, told_at=at)
        case DueAct.TELL_LATE | DueAct.END:
            return row.ended()


def _writable(message_id: str) -> str | None:
    try:
        return check_message_id(message_id)
    except Malformed:
        return None


def _overdue_words(
    sent: tuple[str, str], named: Sequence[tuple[SentRecipientRow, Awaited]], hours: int
) -> tuple[str, str]:
    people = "\n".join(f"    {each.recipient}" for _row, each in named)
    text = (
        f"Vous avez demandé un accusé pour votre message du {sent[0]}. Rien n'est revenu {hours} h après sa remise pour :\n\n"
        f"{people}\n\n"
        "Pourquoi : le message a bien été remis, mais le logiciel du destinataire n'a peut-être rien intégré, ne sait pas "
        "envoyer d'accusé, ou personne n'a encore ouvert le message.\n\n"
        "Que faire : si les soins en dépendent, appelez le destinataire. Ne renvoyez pas le message avant de l'avoir joint. "
        "Si un avis arrive plus tard, vous en serez prévenu une fois.\n\n--\n"
        f"You asked for a receipt of your message of {sent[1]}. Nothing came back {hours} h after it was handed over for:\n\n"
        f"{people}\n\n"
        "Why: the message was handed over, but the recipient's software may not have taken it, may send no receipts, or "
        "nobody has opened it yet.\n\n"
        "What to do: if care depends on it, call the recipient. Do not send it again before you reached them. If a notice "
        "comes later, you will be told once.\n"
    )
    return "Aucun accusé reçu (no receipt came)", text


def _late_words(sent: tuple[str, str], named: Sequence[tuple[SentRecipientRow, Awaited]]) -> tuple[str, str]:
    french, english = [], []
    for row, each in named:
        state_fr, state_en = STATE_WORDS[row.state]
        french.append(f"    {each.recipient} : {state_fr}")
        english.append(f"    {each.recipient}: {state_en}")
        if row.state is NoticeState.FAILED:
            why = explain_code(row.code)
            french += [f"    Pourquoi : {why.why_fr}", f"    Que faire : {why.todo_fr}"]
            english += [f"    Why: {why.why_en}", f"    What to do: {why.todo_en}"]
    text = (
        f"L'avis attendu pour votre message du {sent[0]} est arrivé après notre alerte :\n\n"
        + "\n".join(french)
        + f"\n\n--\nThe notice about your message of {sent[1]} came after our warning:\n\n"
        + "\n".join(english)
        + "\n"
    )
    return "Accusé arrivé en retard (a late receipt)", text
