"""The person's copy of their log, and the receipt that they keep outside our database (L9, L12)."""

from collections.abc import Iterator
from dataclasses import dataclass

from mailserver.audit.checkpoint import LogPublics
from mailserver.audit.entry import AccountHead, format_leaf, parse_leaf
from mailserver.audit.export import (
    ExportHead,
    OpenedEntry,
    PersonReceipt,
    format_export,
    format_person_receipt,
)
from mailserver.audit.receipt import Purpose
from mailserver.audit.tiles import Tile, TileReader
from mailserver.model.errors import Conflict, Denied, NotFound
from mailserver.service.access_log import LoggedEvent, LogReading, read_log
from mailserver.service.keys import OpenAccount
from mailserver.store import log_rows
from mailserver.store.store import Store


@dataclass(frozen=True, slots=True)
class LogCopy:
    """Lines of the export, and the receipt to keep for the next one. ``waiting`` entries are not in the tree yet,
    those that tell of this very copy left out.
    """

    lines: Iterator[bytes]
    receipt: bytes
    entries: int
    waiting: int


def copy_log(
    store: Store,
    account: OpenAccount,
    reading: LogReading,
    publics: LogPublics,
    earlier_sizes: tuple[int, ...] = (),
) -> LogCopy:
    """Everything that the tree holds of this account; ``reading`` says that the copy is in the log already. Raises
    Conflict("log-empty") before the first checkpoint, Denied when the reading is not for a copy or is used up.
    """
    with store.database.read() as connection:
        found = log_rows.find_checkpoint(connection)
    if reading.purpose is not Purpose.EXPORT:
        raise Denied("receipt-mismatch")
    if found is None:
        raise Conflict("log-empty")
    size, note = found
    events = read_log(store, account.account, account.space_root(), reading)
    settled = [each for each in events if each.leaf_index is not None and each.leaf_index < size]
    later = [each for each in events if each.leaf_index is None or each.leaf_index >= size]

    def load(tile: Tile) -> bytes:
        with store.database.read() as connection:
            hashes = log_rows.find_tile(connection, tile.level, tile.index)
        if hashes is None:
            raise NotFound("log-tile")
        return hashes

    head = ExportHead(account.account.pseudonym, publics, note, len(settled), earlier_sizes)
    lines = format_export(head, [_entry(each) for each in settled], TileReader(size, load))
    last = AccountHead(account.account.pseudonym)
    for each in settled:
        last = last.accept(parse_leaf(each.leaf))
    receipt = PersonReceipt(account.account.pseudonym, last.count, last.last, note)
    own = reading.commitments
    waiting = sum(parse_leaf(each.leaf).commitment not in own for each in later)
    return LogCopy(lines, format_person_receipt(receipt), len(settled), waiting)


def _entry(event: LoggedEvent) -> OpenedEntry:
    leaf = parse_leaf(event.leaf)
    assert format_leaf(leaf) == event.leaf
    assert event.leaf_index is not None
    return OpenedEntry(event.leaf_index, leaf, event.event_bytes, event.salt)
