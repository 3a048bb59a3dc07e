"""Walking the whole store for ``pli check``: MACs, digests, names both ways, counters. Reads only.

Each function yields problems as (what, where); ``where`` is an id in hexadecimal, never content.
"""

from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256

from sqlalchemy import Connection, Table, case, func, select, union

from mailserver.model.account import AccountKind, Flag, Role
from mailserver.model.errors import Corrupt
from mailserver.model.ids import AccountId, BlobId
from mailserver.store import schema
from mailserver.store.absence_rows import AbsenceStore
from mailserver.store.accounts import AccountStore
from mailserver.store.blob_folder import BlobFolder
from mailserver.store.jobs import IS_OPEN, JobStore
from mailserver.store.kept_rows import KeptStore
from mailserver.store.log_rows import list_pending
from mailserver.store.members import MemberStore
from mailserver.store.row_macs import RowMacs
from mailserver.store.sent_rows import SentStore
from mailserver.store.space_rows import SpaceStore
from mailserver.store.web_rows import WebStore

Problem = tuple[str, str]
_READ_BYTES = 1 << 20


def find_mac_problems(connection: Connection, macs: RowMacs) -> Iterator[Problem]:
    """Every row that carries a MAC, checked as its reader checks it."""
    table = schema.account
    for value in list(connection.execute(select(table.c.account_id)).scalars()):
        account_id = AccountId(bytes(value))
        for check in _checks_of(connection, macs, account_id):
            try:
                check()
            except Corrupt as error:
                yield f"row MAC does not fit ({error.detail or error.code})", account_id.hex()
    try:
        list_pending(connection, macs, 1_000_000)
    except Corrupt:
        yield "row MAC does not fit (log_pending)", ""


def _checks_of(connection: Connection, macs: RowMacs, account_id: AccountId) -> list[Callable[[], object]]:
    """One reader per family of rows; each raises Corrupt at the first row that does not fit."""
    accounts, space, web, jobs = AccountStore(macs), SpaceStore(macs), WebStore(macs), JobStore(macs)
    readers: list[Callable[[Connection, AccountId], object]] = [
        accounts.load_account,
        accounts.list_addresses,
        accounts.find_identity,
        MemberStore(macs).list_members,
        AbsenceStore(macs).find_absence,
        space.list_documents,
        space.list_contacts,
        space.list_set_aside,
        KeptStore(macs).list_kept,
        jobs.list_jobs,
        SentStore(macs).list_sent,
    ]
    checks: list[Callable[[], object]] = [partial(reader, connection, account_id) for reader in readers]
    kinds = _slot_kinds(connection, account_id)
    checks += [partial(accounts.find_slots, connection, account_id, kind=kind) for kind in kinds]
    checks.append(partial(_check_sessions, connection, web, account_id))
    checks.append(partial(_check_seals, connection, macs, account_id))
    return checks


def _slot_kinds(connection: Connection, account_id: AccountId) -> list[str]:
    table = schema.slot
    query = select(table.c.kind).where(table.c.account_id == account_id).distinct()
    return list(connection.execute(query).scalars())


def _check_sessions(connection: Connection, web: WebStore, account_id: AccountId) -> None:
    table = schema.session
    query = select(table.c.session_id).where(table.c.account_id == account_id)
    for value in list(connection.execute(query).scalars()):
        web.find_session(connection, account_id, value)


def _check_seals(connection: Connection, macs: RowMacs, account_id: AccountId) -> None:
    item, seal = schema.item, schema.seal
    query = (
        select(
            item.c.account_id,
            item.c.mailbox_id,
            item.c.uid,
            item.c.item_id,
            item.c.blob_id,
            seal.c.wrap,
            seal.c.place_tag,
            seal.c.summary,
            seal.c.row_mac,
        )
        .join(
            seal,
            (seal.c.account_id == item.c.account_id)
            & (seal.c.mailbox_id == item.c.mailbox_id)
            & (seal.c.uid == item.c.uid),
        )
        .where(item.c.account_id == account_id, item.c.is_adopted.is_(False))
    )
    for found in connection.execute(query):
        *fields, mac = found
        macs.check("seal", fields, mac)


def find_blob_problems(connection: Connection, blobs: BlobFolder) -> Iterator[Problem]:
    """Digest and length of every sealed object, in rows and in files; names both ways."""
    blob = schema.blob
    for found in connection.execute(select(blob)):
        blob_id = BlobId(bytes(found.blob_id))
        if found.octets is None:
            yield from _file_problems(blobs, blob_id, found.stored_bytes, bytes(found.digest))
        elif len(found.octets) != found.stored_bytes or sha256(found.octets).digest() != bytes(found.digest):
            yield "sealed bytes are damaged", blob_id.hex()
    yield from _name_problems(connection)


def count_unnamed_files(connection: Connection, blobs: BlobFolder) -> int:
    """Files that no row names: left by a crash before a commit, swept when older than an hour (R3)."""
    blob = schema.blob
    named = {bytes(value) for value in connection.execute(select(blob.c.blob_id)).scalars()}
    return sum(blob_id not in named for blob_id in blobs.list_blobs())


def _file_problems(blobs: BlobFolder, blob_id: BlobId, stored_bytes: int, digest: bytes) -> Iterator[Problem]:
    try:
        if blobs.stored_bytes(blob_id) != stored_bytes:
            yield "file has another length", blob_id.hex()
            return
        read_at, state = blobs.reader(blob_id), sha256()
        for start in range(0, stored_bytes, _READ_BYTES):
            state.update(read_at(start, start + _READ_BYTES))
    except Corrupt:
        yield "file is missing", blob_id.hex()
        return
    if state.digest() != digest:
        yield "sealed file is damaged", blob_id.hex()


def _name_problems(connection: Connection) -> Iterator[Problem]:
    blob, item, document, job, kept = schema.blob, schema.item, schema.document, schema.job, schema.kept
    held = set(connection.execute(select(blob.c.account_id, blob.c.blob_id)))
    items = set(connection.execute(select(item.c.account_id, item.c.blob_id)))
    files = union(
        select(document.c.account_id, document.c.blob_id), select(kept.c.account_id, kept.c.blob_id)
    )
    documents = set(connection.execute(files))
    waiting = select(job.c.account_id, job.c.blob_id).where(IS_OPEN, job.c.blob_id.is_not(None))
    jobs = set(connection.execute(waiting))
    for _account, blob_id in (items | documents | jobs) - held:
        yield "object is named but not stored", bytes(blob_id).hex()
    for _account, blob_id in held - items - documents - jobs:
        yield "object is stored but not named", bytes(blob_id).hex()


def find_counter_problems(connection: Connection) -> Iterator[Problem]:
    """Kept counters against a recount; every item has its seal."""
    item, seal, box = schema.item, schema.seal, schema.mailbox
    seen = item.c.flags.bitwise_and(int(Flag.SEEN)) != 0
    gone = item.c.flags.bitwise_and(int(Flag.DELETED)) != 0
    counted = select(
        item.c.mailbox_id,
        func.count(),
        func.sum(case((seen, 0), else_=1)),
        func.sum(case((gone, 1), else_=0)),
        func.sum(case((item.c.is_adopted, 0), else_=1)),
        func.sum(item.c.padded_bytes),
        func.max(item.c.uid),
        func.max(item.c.modseq),
    ).group_by(item.c.mailbox_id)
    facts = {bytes(row[0]): tuple(int(value) for value in row[1:]) for row in connection.execute(counted)}
    for row in connection.execute(select(box)):
        fact = facts.get(bytes(row.mailbox_id), (0, 0, 0, 0, 0, 0, 0))
        kept = (row.exists_count, row.unseen_count, row.deleted_count, row.unadopted_count, row.padded_bytes)
        if kept != fact[:5]:
            yield "mailbox counters differ from a recount", bytes(row.mailbox_id).hex()
        if fact[5] >= row.uidnext or fact[6] > row.highestmodseq:
            yield "UID or mod-sequence beyond the mailbox's", bytes(row.mailbox_id).hex()
    items = connection.execute(select(func.count()).select_from(item)).scalar()
    seals = connection.execute(select(func.count()).select_from(seal)).scalar()
    if items != seals:
        yield "items and seals differ in number", ""


def find_owner_problems(connection: Connection) -> Iterator[Problem]:
    """What belongs together is there: rows and their account, items and their mailbox, an account and its parts."""
    accounts = {
        bytes(account_id): kind
        for account_id, kind in connection.execute(select(schema.account.c.account_id, schema.account.c.kind))
    }
    for table in schema.metadata.tables.values():
        if "account_id" in table.c and table is not schema.account:
            for account_id in _accounts_in(connection, table) - accounts.keys():
                yield f"rows of no account ({table.name})", account_id.hex()
    boxes = {(bytes(row[0]), bytes(row[1])): row[2] for row in connection.execute(_BOXES)}
    for account_id, mailbox_id in connection.execute(_ITEM_PLACES):
        if (bytes(account_id), bytes(mailbox_id)) not in boxes:
            yield "messages of no mailbox", bytes(mailbox_id).hex()
    roles = {(account_id, role) for (account_id, _mailbox_id), role in boxes.items()}
    parts = {
        "address": _accounts_in(connection, schema.address),
        "slot": _accounts_in(connection, schema.slot),
        "counter": _accounts_in(connection, schema.counter),
        "identity": _accounts_in(connection, schema.identity),
    }
    for account_id, kind in accounts.items():
        for part, owners in parts.items():
            if account_id not in owners and (part != "identity" or kind == AccountKind.PATIENT.value):
                yield f"account without {part}", account_id.hex()
        for role in (Role.INBOX, Role.SENT):  # these two are never deleted
            if (account_id, role.value) not in roles:
                yield f"account without {role.value}", account_id.hex()


_BOXES = select(schema.mailbox.c.account_id, schema.mailbox.c.mailbox_id, schema.mailbox.c.role)
_ITEM_PLACES = select(schema.item.c.account_id, schema.item.c.mailbox_id).distinct()


def _accounts_in(connection: Connection, table: Table) -> set[bytes]:
    return {bytes(each) for each in connection.execute(select(table.c.account_id).distinct()).scalars()}


def list_log_tiles(connection: Connection) -> dict[tuple[int, int], bytes]:
    """The hashes of every tile, by level and position."""
    tile = schema.log_tile
    return {(row.level, row.position): bytes(row.hashes) for row in connection.execute(select(tile))}


def find_segment_problems(connection: Connection) -> Iterator[Problem]:
    """Text segments: length, and ranges of UIDs that a mailbox has given and that do not meet."""
    segment, box = schema.text_segment, schema.mailbox
    uidnext = {(row.account_id, row.mailbox_id): row.uidnext for row in connection.execute(select(box))}
    query = select(
        segment.c.account_id,
        segment.c.mailbox_id,
        segment.c.first_uid,
        segment.c.last_uid,
        segment.c.stored_bytes,
        func.length(segment.c.octets),
    ).order_by(segment.c.account_id, segment.c.mailbox_id, segment.c.first_uid)
    before, end = None, 0
    for account_id, mailbox_id, first, last, stored_bytes, found_bytes in connection.execute(query):
        place = (account_id, mailbox_id)
        if stored_bytes != found_bytes:
            yield "text segment has another length", bytes(mailbox_id).hex()
        if not first <= last < uidnext.get(place, 0):
            yield "text segment of messages that its mailbox never had", bytes(mailbox_id).hex()
        if place == before and first <= end:
            yield "text segments meet", bytes(mailbox_id).hex()
        before, end = place, last


def count_rows(connection: Connection) -> dict[str, int]:
    """How much was looked at."""
    tables = (
        schema.account,
        schema.mailbox,
        schema.item,
        schema.blob,
        schema.text_segment,
        schema.document,
        schema.kept,
        schema.log_entry,
        schema.job,
        schema.sent,
        schema.sent_recipient,
    )
    return {
        table.name: int(connection.execute(select(func.count()).select_from(table)).scalar() or 0)
        for table in tables
    }


def list_log_rows(connection: Connection) -> Iterator[tuple[AccountId, int, bytes, int | None]]:
    """(account, sequence, leaf, leaf index) of every entry, each account's in order."""
    entry = schema.log_entry
    query = select(entry.c.account_id, entry.c.sequence, entry.c.leaf, entry.c.leaf_index)
    for account_id, sequence, leaf, index in connection.execute(
        query.order_by(entry.c.account_id, entry.c.sequence)
    ):
        yield AccountId(bytes(account_id)), sequence, bytes(leaf), index


def list_log_heads(connection: Connection) -> dict[AccountId, tuple[int, bytes]]:
    """Next sequence and last leaf hash of every account that has a log."""
    head = schema.log_head
    return {
        AccountId(bytes(row.account_id)): (row.sequence, bytes(row.leaf_hash))
        for row in connection.execute(select(head))
    }
