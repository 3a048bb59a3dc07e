"""``pli check``: is what is stored whole, untouched and consistent? Opens nothing unless given a person's keys."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from mailserver.audit.checkpoint import LogPublics, verify_checkpoint
from mailserver.audit.entry import NO_PREVIOUS, AccountHead, parse_leaf
from mailserver.audit.events import Origin
from mailserver.audit.merkle import Frontier
from mailserver.mime.summary_wire import parse_summary
from mailserver.model.errors import Corrupt, PliError
from mailserver.model.ids import AccountId, MailboxId
from mailserver.service.access_log import read_log
from mailserver.service.history import permit_reading
from mailserver.service.keys import OpenAccount
from mailserver.service.mail_permit import MailPermit, MailPermits
from mailserver.service.mailboxes import Mailboxes
from mailserver.service.messages import PAGE_ITEMS, Messages
from mailserver.store import inspection, leases, log_rows
from mailserver.store.database import Connection
from mailserver.store.row_macs import RowMacs
from mailserver.store.store import Store

Problem = inspection.Problem
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Report:
    problems: tuple[Problem, ...]
    counted: dict[str, int]


def check_store(store: Store, publics: LogPublics, origin: str) -> Report:
    """Row MACs, ciphertext digests and lengths, names both ways, counters, log chains and tree."""
    with store.database.read() as connection:
        problems = [
            *inspection.find_mac_problems(connection, store.macs),
            *inspection.find_blob_problems(connection, store.blobs),
            *inspection.find_counter_problems(connection),
            *_head_problems(connection, store.macs),
            *_chain_problems(connection),
            *_tree_problems(connection, publics, origin),
        ]
        unnamed = inspection.count_unnamed_files(connection, store.blobs)
        return Report(tuple(problems), inspection.count_rows(connection) | {"unnamed_files": unnamed})


def _head_problems(connection: Connection, macs: RowMacs) -> Iterator[Problem]:
    for account_id in log_rows.list_altered_heads(connection, macs):
        yield "row MAC does not fit (log_head)", account_id.hex()
    try:
        leases.list_leases(connection, macs)
    except Corrupt:
        yield "row MAC does not fit (lease)", ""


def _chain_problems(connection: Connection) -> Iterator[Problem]:
    """Each account's chain: sequence and previous hash follow, and the head is its end."""
    heads: dict[AccountId, AccountHead] = {}
    for account_id, _sequence, raw, _index in inspection.list_log_rows(connection):
        leaf = parse_leaf(raw)
        head = heads.get(account_id) or AccountHead(leaf.pseudonym)
        try:
            heads[account_id] = head.accept(leaf)
        except PliError:
            yield "log chain is broken", account_id.hex()
            return
    kept = inspection.list_log_heads(connection)
    for account_id in kept.keys() | heads.keys():
        head = heads.get(account_id) or AccountHead(account_id)
        if kept.get(account_id, (0, NO_PREVIOUS)) != (head.count, head.last):
            yield "log head is not the end of its chain", account_id.hex()


def _tree_problems(connection: Connection, publics: LogPublics, origin: str) -> Iterator[Problem]:
    """The signed checkpoint holds exactly the leaves that the entries name."""
    found = log_rows.find_checkpoint(connection)
    if found is None:
        return
    size, note = found
    placed = {
        index: parse_leaf(raw).leaf_hash()
        for _account, _sequence, raw, index in inspection.list_log_rows(connection)
        if index is not None
    }
    if sorted(placed) != list(range(size)):
        yield "log tree has gaps or leaves that no entry names", ""
        return
    frontier = Frontier().extend([placed[index] for index in range(size)])
    try:
        checkpoint = verify_checkpoint(publics, origin, note)
    except PliError:
        yield "log checkpoint is not signed by this server's keys", ""
        return
    if (checkpoint.size, checkpoint.root) != (size, frontier.root()):
        yield "log tree is not the signed one", ""


def check_account(store: Store, account: OpenAccount) -> Report:
    """With a person's own keys: every summary, body and entry of theirs opens. Each reading is logged first."""
    origin, now = Origin(client="pli check"), datetime.now(UTC)
    permit = MailPermits(store).permit(account, origin, now)
    problems: list[Problem] = []
    opened = 0
    for mailbox_id, first, last in _pages(store, account):
        try:
            opened += _open_page(store, account, (mailbox_id, first, last), permit)
        except PliError as error:
            problems.append((f"does not open ({error.code})", f"{mailbox_id.hex()} {first}:{last}"))
    entries = 0
    if account.space is not None:
        try:
            reading = permit_reading(store, account, origin, now, logs_in=True)
            entries = len(read_log(store, account.account, account.space, reading))
        except PliError as error:
            problems.append((f"log does not open ({error.code})", ""))
    return Report(tuple(problems), {"messages_opened": opened, "entries_opened": entries})


def _pages(store: Store, account: OpenAccount) -> Iterator[tuple[MailboxId, int, int]]:
    """Mailbox, first and last UID of each page of everything."""
    messages = Messages(store)
    for info in Mailboxes(store).list_mailboxes(account):
        rows = messages.select(account, info.mailbox_id, claims_recent=False).rows
        for start in range(0, len(rows), PAGE_ITEMS):
            part = rows[start : start + PAGE_ITEMS]
            yield info.mailbox_id, part[0][0], part[-1][0]


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
