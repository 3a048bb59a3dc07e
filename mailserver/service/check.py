"""``pli check``: is what is stored whole, untouched and consistent? Opens nothing unless given a person's keys."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from mailserver.audit.checkpoint import LogPublics
from mailserver.audit.events import Origin
from mailserver.audit.sign_request import format_sign_request, parse_signer_head
from mailserver.crypto.ctx import ctx
from mailserver.crypto.seal import KeyPair
from mailserver.mime.summary_wire import parse_summary
from mailserver.model.account import AccountKind
from mailserver.model.errors import NotFound, PliError
from mailserver.model.ids import AccountId, MailboxId
from mailserver.service.access_log import read_log
from mailserver.service.history import permit_reading
from mailserver.service.keys import OpenAccount
from mailserver.service.log_check import find_log_problems
from mailserver.service.mail_permit import MailPermit, MailPermits
from mailserver.service.mailboxes import Mailboxes
from mailserver.service.messages import PAGE_ITEMS, Messages
from mailserver.service.search_index import SearchIndex
from mailserver.service.sequencer import SignLog
from mailserver.service.space_documents import SpaceDocuments
from mailserver.store import inspection, mailboxes
from mailserver.store.database import Connection
from mailserver.store.store import Store

R = TypeVar("R")
Problem = inspection.Problem
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Report:
    problems: tuple[Problem, ...]
    counted: dict[str, int]


def check_store(store: Store, publics: LogPublics, origin: str, sign: SignLog) -> Report:
    """Row MACs, ciphertext digests and lengths, names both ways, counters, the index, log chains and tree.

    ``sign`` is asked where the log's signer stands, and for no signature.
    """
    signed = parse_signer_head(sign(format_sign_request(0, [])))
    with store.database.read() as connection:
        problems = [
            *inspection.find_mac_problems(connection, store.macs),
            *inspection.find_blob_problems(connection, store.blobs),
            *inspection.find_counter_problems(connection),
            *inspection.find_owner_problems(connection),
            *inspection.find_segment_problems(connection),
            *find_log_problems(connection, store.macs, publics, origin, signed),
        ]
        unnamed = inspection.count_unnamed_files(connection, store.blobs)
        return Report(tuple(problems), inspection.count_rows(connection) | {"unnamed_files": unnamed})


def check_account(store: Store, account: OpenAccount) -> Report:
    """With a person's own keys: what is theirs opens, to the last octet. Each reading is logged first."""
    origin, now = Origin(client="pli check"), datetime.now(UTC)
    permit = MailPermits(store).permit(account, origin, now)
    problems: list[Problem] = []
    opened = 0
    for mailbox_id, first, last in _pages(store, account, problems):
        try:
            opened += _open_page(store, account, (mailbox_id, first, last), permit)
        except PliError as error:
            problems.append((f"does not open ({error.code})", f"{mailbox_id.hex()} {first}:{last}"))
    counted = {
        "messages_opened": opened,
        "text_segments_opened": _open_index(store, account, permit, problems),
    }
    if account.space is not None:
        counted |= _check_space(store, account, (origin, now), problems)
    return Report(tuple(problems), counted)


def _open_index(store: Store, account: OpenAccount, permit: MailPermit, problems: list[Problem]) -> int:
    """How many text segments open; none may hold a message that left."""
    index, messages = SearchIndex(store), Messages(store)
    with store.database.read() as connection:
        boxes = mailboxes.list_mailboxes(connection, account.account_id)
    count = 0
    for box in boxes:
        rows = messages.select(account, box.mailbox_id, claims_recent=False).rows
        uids = {uid for uid, _flags, _modseq in rows}
        for span in index.list_spans(account, box.mailbox_id):
            opened = index.open_segments(account, box.mailbox_id, [span], permit)
            count += len(opened)
            where = f"{box.mailbox_id.hex()} {span.first_uid}:{span.last_uid}"
            if not opened:
                problems.append(("text segment does not open", where))
            elif not uids.issuperset(opened[0].uids):
                problems.append(("text segment holds a message that left", where))
    return count


def _check_space(
    store: Store, account: OpenAccount, reading: tuple[Origin, datetime], problems: list[Problem]
) -> dict[str, int]:
    """What the space root opens: documents, contacts, cases that were set aside, the log."""
    origin, now = reading
    pair = account.space_root().pair(account.account.epoch)
    counted: dict[str, int] = {}
    for label, load in (("contact", store.space.list_contacts), ("set-aside", store.space.list_set_aside)):
        records = [(row.record_id, row.record) for row in _rows(store, account, load, problems)]
        counted |= _open_records(pair, account, label, records, problems)
    sent = [(row.sent_id, row.record) for row in _rows(store, account, store.sent.list_sent, problems)]
    counted |= _open_records(pair, account, "sent", sent, problems)
    counted["sent_recipients"] = len(_rows(store, account, store.sent_recipients.list_recipients, problems))
    counted["documents_opened"] = _open_documents(store, account, reading, problems)
    try:
        permit = permit_reading(store, account, origin, now, logs_in=True)
        counted["entries_opened"] = len(read_log(store, account.account, account.space_root(), permit))
    except PliError as error:
        problems.append((f"log does not open ({error.code})", ""))
    return counted


def _open_records(
    pair: KeyPair,
    account: OpenAccount,
    label: str,
    records: Sequence[tuple[bytes, bytes]],
    problems: list[Problem],
) -> dict[str, int]:
    """Small records of one family, (id, sealed); how many there are."""
    for record_id, sealed in records:
        try:
            pair.open(sealed, ctx(label, account.account_id, record_id))
        except PliError as error:
            problems.append((f"does not open ({error.code})", record_id.hex()))
    return {f"{label.replace('-', '_')}_records_opened": len(records)}


def _rows(
    store: Store,
    account: OpenAccount,
    load: Callable[[Connection, AccountId], Sequence[R]],
    problems: list[Problem],
) -> Sequence[R]:
    """Rows of one family; none, and a problem, when one of them was altered."""
    try:
        with store.database.read() as connection:
            return load(connection, account.account_id)
    except PliError as error:
        problems.append((f"does not open ({error.code})", error.detail))
        return ()


def _open_documents(
    store: Store, account: OpenAccount, reading: tuple[Origin, datetime], problems: list[Problem]
) -> int:
    if account.account.kind is not AccountKind.PATIENT:
        return 0
    documents, opened = SpaceDocuments(store), 0
    for row in _rows(store, account, store.space.list_documents, problems):
        try:
            for _piece in documents.open_document(account, row.document_id, *reading).pieces():
                pass
            opened += 1
        except NotFound:
            continue  # not for the patient to see
        except PliError as error:
            problems.append((f"does not open ({error.code})", row.document_id.hex()))
    return opened


def _pages(
    store: Store, account: OpenAccount, problems: list[Problem]
) -> Iterator[tuple[MailboxId, int, int]]:
    """Mailbox, first and last UID of each page of everything; a mailbox whose name does not open is walked too."""
    messages, names = Messages(store), Mailboxes(store)
    with store.database.read() as connection:
        boxes = mailboxes.list_mailboxes(connection, account.account_id)
    for box in boxes:
        try:
            names.open_mailbox(account, box)
        except PliError as error:
            problems.append((f"mailbox's record does not open ({error.code})", box.mailbox_id.hex()))
        rows = messages.select(account, box.mailbox_id, claims_recent=False).rows
        for start in range(0, len(rows), PAGE_ITEMS):
            part = rows[start : start + PAGE_ITEMS]
            yield box.mailbox_id, part[0][0], part[-1][0]


def _open_page(
    store: Store, account: OpenAccount, page: tuple[MailboxId, int, int], permit: MailPermit
) -> int:
    """Open summaries and every octet of one page; how many messages. Raises Corrupt at the first that fails."""
    messages = Messages(store)
    mailbox_id, first, last = page
    items = messages.page(account, mailbox_id, [(first, last)])
    for item in items:
        size = parse_summary(item.summary).size_bytes
        reader = messages.reader(account, item, size, permit)
        for at in range(0, size, _READ_BYTES):
            reader.read(at, at + _READ_BYTES)
    return len(items)
