"""K18: what was shredded is in no file of the database once the writer has been idle, and soon even when it is not."""

import random
import secrets
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from store.store_rows import ROW_KEY, add_account, add_mailbox, place_item, read, write

from mailserver.app.housekeeping import SHREDDED
from mailserver.model.errors import Unavailable
from mailserver.model.ids import BlobId
from mailserver.store import item_changes, item_columns, items, mailboxes, writer
from mailserver.store.database import Database
from mailserver.store.items import BlobRow
from mailserver.store.mailboxes import MailboxRow
from mailserver.store.store import Store, open_store
from mailserver.store.writer import Unit

SECONDS = 30
WRAP_BYTES = 60


@pytest.fixture
def sqlite_store(sqlite_template: Path, tmp_path: Path) -> Iterator[Store]:
    path = tmp_path / "pli.sqlite"
    path.write_bytes(sqlite_template.read_bytes())
    store = open_store(f"sqlite:///{path}", tmp_path, ROW_KEY)
    yield store
    store.close()


@pytest.fixture
def truncated(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when the log of this store has been emptied; others of the process empty theirs when it is time."""
    done = threading.Event()
    truncate = Database.truncate_log

    def spied(database: Database) -> bool:
        is_done = truncate(database)
        if is_done and database is sqlite_store.database:
            done.set()
        return is_done

    monkeypatch.setattr(Database, "truncate_log", spied)
    return done


def fill(store: Store, count: int) -> tuple[MailboxRow, dict[int, bytes]]:
    """A mailbox of ``count`` items; the wrap of each, by UID."""
    box = add_mailbox(store, add_account(store).account_id)
    wraps: dict[int, bytes] = {}

    def run(connection) -> None:
        for _item in range(count):
            octets = BlobRow(BlobId(secrets.token_bytes(16)), 9, bytes(32), secrets.token_bytes(300))
            uid = place_item(connection, box, adopted=True, blob=octets).uid
            wraps[uid] = secrets.token_bytes(WRAP_BYTES)
            connection.exec_driver_sql(
                "UPDATE seal SET wrap = ?, summary = ? WHERE mailbox_id = ? AND uid = ?",
                (wraps[uid], secrets.token_bytes(400), box.mailbox_id, uid),
            )

    write(store, run)
    return box, wraps


def expunge(store: Store, box: MailboxRow, uids: list[int], *, shreds: bool = True) -> None:
    def run(connection) -> None:
        modseq = mailboxes.next_modseq(connection, box.account_id)
        place = (box.account_id, box.mailbox_id)
        item_changes.expunge(connection, place, [(uid, uid) for uid in uids], modseq)

    store.writer.commit(Unit(box.account_id, run, shreds=shreds))


def found_in(folder: Path, wraps: list[bytes]) -> set[str]:
    """Names of the database's files that hold any of these."""
    files = [path for path in folder.iterdir() if path.is_file()]
    return {path.name for path in files if any(wrap in path.read_bytes() for wrap in wraps)}


def test_what_is_expunged_is_in_no_file(
    sqlite_store: Store, tmp_path: Path, truncated: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "IDLE_SECONDS", 0.0)
    box, wraps = fill(sqlite_store, 400)
    assert found_in(tmp_path, list(wraps.values()))
    leaving = random.Random(7).sample(sorted(wraps), 150)
    truncated.clear()
    expunge(sqlite_store, box, leaving)
    assert truncated.wait(SECONDS)
    assert found_in(tmp_path, [wraps.pop(uid) for uid in leaving]) == set()
    assert found_in(tmp_path, list(wraps.values())) == {"pli.sqlite"}
    place = (box.account_id, box.mailbox_id)
    rows = read(sqlite_store, lambda c: items.list_items(c, *place, [(1, 10**6)]))
    assert {row.uid: row.wrap for row in rows} == wraps


def test_a_busy_writer_empties_the_log_too(
    sqlite_store: Store, tmp_path: Path, truncated: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the Unit says of itself, after ``REMANENCE_SECONDS`` nothing is left."""
    box, wraps = fill(sqlite_store, 20)
    monkeypatch.setattr(writer, "REMANENCE_SECONDS", 0.0)
    truncated.clear()
    sqlite_store.writer._truncate_at = None
    expunge(sqlite_store, box, [3], shreds=False)
    assert truncated.wait(SECONDS)
    assert found_in(tmp_path, [wraps[3]]) == set()


def test_a_reader_makes_it_wait(
    sqlite_store: Store, tmp_path: Path, truncated: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(writer, "RETRY_SECONDS", 0.0)
    box, wraps = fill(sqlite_store, 20)
    with sqlite_store.database.read() as connection:
        item_columns.load_columns(connection, box.account_id, box.mailbox_id).rows()
        truncated.clear()
        expunge(sqlite_store, box, [3])
        assert not sqlite_store.database.truncate_log()
        assert not truncated.is_set()
    assert truncated.wait(SECONDS)
    assert found_in(tmp_path, [wraps[3]]) == set()


def test_closing_empties_the_log(
    sqlite_store: Store, sqlite_template: Path, tmp_path: Path, truncated: threading.Event
) -> None:
    """A command that shreds, beside a server that keeps the database open."""
    box, wraps = fill(sqlite_store, 20)
    command = open_store(f"sqlite:///{tmp_path}/pli.sqlite", tmp_path, ROW_KEY)
    expunge(command, box, [3])
    command.writer.close()
    assert found_in(tmp_path, [wraps[3]]) == set()
    command.close()


@pytest.mark.parametrize("code", ["disk-io", None])
def test_a_log_that_cannot_be_emptied(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, code: str | None
) -> None:
    """R5: a failed fsync ends writing; anything else is tried again and spoils nothing."""
    tried = threading.Event()

    def fail(_database: Database) -> bool:
        tried.set()
        if code is None:
            raise RuntimeError("unexpected")
        raise Unavailable(code)

    box, _wraps = fill(sqlite_store, 3)
    monkeypatch.setattr(writer, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(Database, "truncate_log", fail)
    expunge(sqlite_store, box, [1])
    assert tried.wait(SECONDS)
    if code is None:
        expunge(sqlite_store, box, [2])
        return
    with pytest.raises(Unavailable) as refused:
        expunge(sqlite_store, box, [2])
    assert refused.value.code == code


def test_postgresql_has_no_such_log(store: Store) -> None:
    box = add_mailbox(store, add_account(store).account_id)
    write(store, lambda c: place_item(c, replace(box)))
    assert store.database.truncate_log()


def test_nobody_else_reads_the_database(sqlite_template: Path, tmp_path: Path) -> None:
    path = tmp_path / "pli.sqlite"
    path.write_bytes(sqlite_template.read_bytes())
    path.chmod(0o644)
    store = open_store(f"sqlite:///{path}", tmp_path, ROW_KEY)
    add_account(store)
    modes = {each.name: each.stat().st_mode & 0o777 for each in tmp_path.glob("pli.*")}
    store.close()
    assert modes == {"pli.sqlite": 0o600, "pli.sqlite-wal": 0o600, "pli.sqlite-shm": 0o600, "pli.lock": 0o600}


def test_postgresql_forgets_what_was_deleted_once_it_is_told(store: Store) -> None:
    """SQLite has nothing to do. On PostgreSQL the dead rows of every table where keys are deleted are gone after it."""
    box = add_mailbox_with_items(store)
    expunge(store, box, list(range(1, 21)))
    store.database.vacuum(SHREDDED)
    if store.database.is_sqlite:
        return
    with store.database.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT relname FROM pg_stat_user_tables WHERE last_vacuum IS NOT NULL AND n_dead_tup = 0"
        )
        assert set(SHREDDED) <= {name for (name,) in rows}


def add_mailbox_with_items(store: Store) -> MailboxRow:
    box = add_mailbox(store, add_account(store).account_id)

    def run(connection) -> None:
        for _item in range(20):
            octets = BlobRow(BlobId(secrets.token_bytes(16)), 9, bytes(32), secrets.token_bytes(300))
            place_item(connection, box, adopted=True, blob=octets)

    write(store, run)
    return box
