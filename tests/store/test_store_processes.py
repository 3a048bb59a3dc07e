"""Several processes on one store: they write at once, start at once, and hear of each other's news."""

import multiprocessing
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from postgres_server import PostgresServer
from sqlalchemy import make_url
from store.store_rows import add_account, add_mailbox, numbered_id, read
from store.writing_process import deliver_many, publish, upgrade_store

from mailserver.model.ids import AccountId
from mailserver.store import inspection, item_columns, log_rows, mailboxes
from mailserver.store.feed import Feed
from mailserver.store.store import Store

PROCESSES, DELIVERIES, ACCOUNTS = 3, 15, 3
SECONDS = 60


def _run(target: Callable[..., None], *arguments: tuple) -> None:
    """One spawned process per tuple of arguments, together; all must end well."""
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=target, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(SECONDS)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def test_three_writers(store: Store, database_url: str, tmp_path: Path) -> None:
    """No lost update, no busy database, no deadlock, though they lock an account's rows in either order."""
    boxes = [add_mailbox(store, add_account(store).account_id) for _account in range(ACCOUNTS)]
    _run(deliver_many, *[(database_url, str(tmp_path), boxes, DELIVERIES)] * PROCESSES)
    number = PROCESSES * DELIVERIES
    for box in boxes:
        place = (box.account_id, box.mailbox_id)
        row = read(store, lambda c, p=place: mailboxes.load_mailbox(c, *p))
        assert (row.exists_count, row.uidnext, row.unadopted_count) == (number, number + 1, number)
        flags = read(store, lambda c, p=place: item_columns.load_columns(c, *p).rows())
        assert [uid for uid, _flags, _modseq in flags] == list(range(1, number + 1))
        modseqs = [modseq for _uid, _flags, modseq in flags]
        assert sorted(set(modseqs)) == modseqs, "each has its own, and they grow with the UIDs"
        entries = read(store, lambda c, b=box: log_rows.list_entries(c, b.account_id))
        assert [entry.sequence for entry in entries] == list(range(number))
    assert read(store, lambda c: list(inspection.find_counter_problems(c))) == []
    if not store.database.is_sqlite:
        assert _deadlocks(database_url) == 0


def _deadlocks(database_url: str) -> int:
    url = make_url(database_url)
    with psycopg.connect(host=url.query["host"], user="pli", dbname=url.database) as connection:  # type: ignore[arg-type]
        query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def test_nodes_that_start_together_take_turns(postgres_server: PostgresServer) -> None:
    url = postgres_server.url(postgres_server.add_database())
    _run(upgrade_store, *[(url,)] * 2)


def _read(feed: Feed) -> set[AccountId]:
    assert select.select([feed], [], [], SECONDS)[0]
    return feed.read()


def test_news_reach_another_process(tmp_path: Path) -> None:
    account_ids = [AccountId(numbered_id()) for _account in range(700)]
    feed = Feed(tmp_path / "run", "worker-0")
    _run(publish, (str(tmp_path / "run"), list(map(bytes, account_ids))))
    heard: set[AccountId] = set()
    while heard != set(account_ids):
        heard |= _read(feed)
    feed.close()


def test_news_reach_every_end_once_each(tmp_path: Path) -> None:
    folder = tmp_path / ("long-" * 30)
    first, second = Feed(folder, "worker-0"), Feed(folder, "worker-1")
    news = AccountId(numbered_id())
    first.publish([news, news])
    assert _read(first) == _read(second) == {news}
    assert first.read() == second.read() == set()
    second.close()
    assert [path.name for path in folder.iterdir()] == ["worker-0.feed"]
    first.close()


def test_a_dead_process_is_forgotten(tmp_path: Path) -> None:
    feed = Feed(tmp_path, "worker-0")
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    dead.bind(str(tmp_path / "worker-9.feed"))
    dead.close()
    (tmp_path / "notes.txt").touch()
    news = AccountId(numbered_id())
    feed.publish([news])
    assert _read(feed) == {news}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "worker-0.feed"]
    feed.close()


def test_a_process_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    feed, deaf = Feed(tmp_path, "worker-0"), Feed(tmp_path, "worker-1")
    news = [AccountId(numbered_id()) for _account in range(256)]
    started = time.monotonic()
    for _batch in range(400):
        feed.publish(news)
        assert feed.read() == set(news)
    assert time.monotonic() - started < SECONDS
    assert deaf.read() == set(news)
    feed.close()
    deaf.close()


def test_a_new_end_takes_the_name_over(tmp_path: Path) -> None:
    """A worker that died and came back under its name."""
    left = Feed(tmp_path, "worker-0")
    left._socket.close()  # as at its death: the name stays
    feed = Feed(tmp_path, "worker-0")
    feed.publish([AccountId(bytes(16))])
    assert _read(feed) == {AccountId(bytes(16))}
    feed.close()
