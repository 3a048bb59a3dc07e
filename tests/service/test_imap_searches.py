"""Searches over sealed mail: what is damaged, what is seen for the first time, what does not fit a summary."""

import asyncio
import imaplib
import re
from collections.abc import Iterator

import pytest
from harness.imap_harness import RunningImap, TlsFiles, make_node, make_tls, running_imap
from harness.imap_session import open_session

from mailserver.imap import progress, verbs_search, verbs_sort
from mailserver.imap.commands import Search, Sort, SortCriterion, SortKey
from mailserver.imap.search_keys import EveryKey
from mailserver.imap.sequence_set import parse_sequence_set
from mailserver.imap.states import Feature
from mailserver.imap.verbs_search import run_search
from mailserver.imap.verbs_sort import run_sort
from mailserver.model.errors import Unavailable

LONG = "long " * 600 + "tail"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> Iterator[RunningImap]:
    node = make_node(tmp_path_factory.mktemp("node"))
    with running_imap(node, tls) as server:
        yield server
    node.close()


def message(number: int, subject: str = "") -> bytes:
    return (
        f"From: Camille FICTIF <c{number}@b.localhost>\r\nSubject: {subject or number}\r\n"
        f"Date: Mon, 05 Oct 2026 10:00:0{number % 10} +0200\r\n\r\nbody {number}\r\n"
    ).encode()


@pytest.fixture
def client(running: RunningImap, tls: TlsFiles) -> Iterator[imaplib.IMAP4_SSL]:
    name = f"c{len(running.node.accounts)}"
    account = running.node.add(name)
    running.node.deliver(name, *map(message, range(1, 6)))
    with imaplib.IMAP4_SSL("localhost", running.tls_port, ssl_context=tls.client) as client:
        client.login(account.address, account.app_password)
        client.select()
        client.account = account
        yield client


def search(client: imaplib.IMAP4_SSL, *keys: str) -> list[int]:
    status, answer = client.search(None, *keys)
    assert status == "OK", answer
    return [int(number) for number in answer[0].split()]


def sort(client: imaplib.IMAP4_SSL, criteria: str, *keys: str) -> list[int]:
    status, answer = client.sort(f"({criteria})", "UTF-8", *keys)
    assert status == "OK", answer
    return [int(number) for number in answer[0].split()]


def spoil(running: RunningImap, client: imaplib.IMAP4_SSL, column: str, uid: int) -> None:
    place = f"account_id = x'{client.account.account_id.hex()}' AND uid = {uid}"
    with running.node.store.database.write() as connection:
        connection.exec_driver_sql(f"UPDATE seal SET {column} = zeroblob(length({column})) WHERE {place}")


def test_the_first_search_adopts(running: RunningImap, client: imaplib.IMAP4_SSL) -> None:
    def waiting() -> int:
        place = f"account_id = x'{client.account.account_id.hex()}' AND NOT is_adopted"
        with running.node.store.database.read() as connection:
            return connection.exec_driver_sql(f"SELECT count(*) FROM item WHERE {place}").scalar()

    assert waiting() == 5
    assert search(client, "FROM", "c3@b") == [3]
    client.noop()  # the adoption is written behind the search
    client.store("1", "+FLAGS", "(\\Seen)")  # and before this
    assert waiting() == 0
    assert search(client, "FROM", "c3@b") == [3]


@pytest.mark.parametrize("is_adopted", [False, True])
def test_a_damaged_message_is_found_by_nothing_and_hides_no_other(
    running: RunningImap, client: imaplib.IMAP4_SSL, is_adopted: bool
) -> None:
    if is_adopted:
        assert search(client, "FROM", "fictif") == [1, 2, 3, 4, 5]
        client.store("1", "+FLAGS", "(\\Seen)")
    spoil(running, client, "summary", 2)
    assert search(client, "FROM", "fictif") == [1, 3, 4, 5]
    assert search(client, "NOT", "FROM", "nobody") == [1, 3, 4, 5]
    assert search(client, "BODY", "body") == [1, 3, 4, 5]
    assert search(client, "SMALLER", "100000") == [1, 3, 4, 5]


def test_columns_need_no_summary(running: RunningImap, client: imaplib.IMAP4_SSL) -> None:
    """Times and ids of a message are known though it cannot be opened."""
    assert search(client, "FROM", "fictif") == [1, 2, 3, 4, 5]
    client.store("1", "+FLAGS", "(\\Seen)")
    spoil(running, client, "summary", 2)
    assert search(client, "SINCE", "1-Jan-2020") == [1, 2, 3, 4, 5]
    assert search(client, "SAVEDBEFORE", "1-Jan-2020") == []


def test_a_damaged_body_is_found_by_its_header_alone(running: RunningImap, client: imaplib.IMAP4_SSL) -> None:
    assert search(client, "BODY", "body") == [1, 2, 3, 4, 5]
    client.store("1", "+FLAGS", "(\\Seen)")
    spoil(running, client, "wrap", 4)
    assert search(client, "BODY", "body") == [1, 2, 3, 5]
    assert search(client, "FROM", "c4@") == [4]


def test_the_end_of_a_long_subject_is_found(running: RunningImap, client: imaplib.IMAP4_SSL) -> None:
    name = client.account.address.split("@")[0]
    running.node.deliver(name, message(6, LONG), message(7, "=?utf-8?q?R=C3=A9sultat?="))
    client.noop()
    assert search(client, "SUBJECT", "tail") == [6]
    assert search(client, "SUBJECT", "resultat") == [7]
    assert search(client, "SENTON", "5-Oct-2026") == [1, 2, 3, 4, 5, 6, 7]


def test_a_damaged_message_keeps_a_place_in_the_order(
    running: RunningImap, client: imaplib.IMAP4_SSL
) -> None:
    """S12: by its internal date, which is older than the others' Date fields."""
    assert sort(client, "REVERSE DATE", "ALL") == [5, 4, 3, 2, 1]
    client.store("1", "+FLAGS", "(\\Seen)")
    spoil(running, client, "summary", 3)
    assert sort(client, "REVERSE DATE", "ALL") == [5, 4, 2, 1, 3]
    assert sort(client, "SUBJECT", "ALL") == [3, 1, 2, 4, 5]
    assert sort(client, "SUBJECT", "SUBJECT", "4") == [4]


def test_long_searches_say_how_far_they_are(
    client: imaplib.IMAP4_SSL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailserver.imap.progress.NOTICE_SECONDS", 0.0)
    monkeypatch.setattr("mailserver.imap.verbs_search.BODY_PAGE_ITEMS", 2)
    monkeypatch.setattr("mailserver.imap.verbs_search.SUMMARY_PAGE_ITEMS", 2)
    monkeypatch.setattr("mailserver.imap.verbs_sort.SUMMARY_PAGE_ITEMS", 2)
    for command, steps in [
        ("SEARCH BODY body", [(2, 5), (4, 5)]),
        ("SEARCH FROM fictif", [(2, 5), (4, 5)]),
        ("SEARCH ALL", []),
        ("SORT (DATE) UTF-8 ALL", [(2, 5), (4, 5)]),
        ("SORT (DATE) UTF-8 FROM c4", [(2, 10), (4, 10), (5, 10)]),
        ("SORT (DATE) UTF-8 FROM fictif", [(2, 10), (4, 10), (5, 10), (7, 10), (9, 10)]),
    ]:
        tag = client._new_tag().decode()
        client.send(f"{tag} {command}\r\n".encode())
        lines = []
        while not lines or not lines[-1].startswith(tag.encode()):
            lines.append(client.readline())
        told = [line for line in lines if b"INPROGRESS" in line]
        assert told == [
            f'* OK [INPROGRESS ("{tag}" {at} {goal})] Still on it\r\n'.encode() for at, goal in steps
        ]


@pytest.mark.parametrize(
    "keys",
    [
        "ALL",
        "SEEN",
        "FROM fictif",
        "NOT FROM c2",
        "OR BODY 4 FROM c1",
        "SENTON 5-Oct-2026 SUBJECT 3",
        "2:4",
        "TEXT nothing",
    ],
)
def test_each_way_to_ask_finds_the_same(client: imaplib.IMAP4_SSL, keys: str) -> None:
    client.store("2,4", "+FLAGS", "(\\Seen)")
    found = search(client, keys)

    def ask(command: str) -> bytes:
        tag = client._new_tag()
        client.send(tag + f" {command}\r\n".encode())
        lines = []
        while not lines or not lines[-1].startswith(tag):
            lines.append(client.readline())
        assert lines[-1].startswith(tag + b" OK")
        return b"".join(lines[:-1])

    esearch = ask(f"SEARCH RETURN (ALL COUNT) {keys}")
    assert f"COUNT {len(found)}".encode() in esearch
    ranges = re.search(rb"ALL ([0-9:,]+)", esearch)
    told = parse_sequence_set(ranges[1], most_ranges=100).ranges if ranges else ()
    assert [number for first, last in told for number in range(first, last + 1)] == found
    for criteria in ("DATE", "REVERSE SUBJECT", "FROM SIZE", "DISPLAYTO"):
        assert sorted(sort(client, criteria, keys)) == found
    for algorithm in ("REFERENCES", "ORDEREDSUBJECT"):
        threads = ask(f"THREAD {algorithm} UTF-8 {keys}")
        assert sorted(map(int, re.findall(rb"\d+", threads))) == found
    assert ask(f"SEARCH RETURN (SAVE) {keys}") == b""
    assert search(client, "$") == found


def test_a_saved_result_can_be_searched_by_text(client: imaplib.IMAP4_SSL) -> None:
    """What ``$`` was when the search began, though the index is asked before it is opened."""
    assert search(client, "BODY body") == [1, 2, 3, 4, 5]
    for keys, found in [("2:4", [2, 3, 4]), ("$ BODY body", [2, 3, 4]), ('$ NOT BODY "body 3"', [2, 4])]:
        assert client._simple_command("SEARCH", "RETURN", "(SAVE)", keys)[0] == "OK"
        assert search(client, "$") == found


def test_a_failed_search_leaves_nothing_saved(
    running: RunningImap, client: imaplib.IMAP4_SSL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 5182 §2.1: NO empties ``$``, whatever failed."""

    def fail(*_arguments: object) -> None:
        raise Unavailable("database")

    for command in ("SEARCH RETURN (SAVE) FROM c1", "SORT RETURN (SAVE) (DATE) UTF-8 ALL"):
        assert client._simple_command("SEARCH", "RETURN", "(SAVE)", "2:4")[0] == "OK"
        with monkeypatch.context() as patched:
            patched.setattr(running.node.services.messages, "scan", fail)
            assert client._simple_command(*command.split())[0] == "NO"
        assert search(client, "$") == []


def test_imap4rev2_hears_esearch_alone(running: RunningImap, client: imaplib.IMAP4_SSL) -> None:
    """RFC 9051 §6.4.4, once ENABLE offers it."""
    name = client.account.address.split("@")[0]
    session = open_session(running.node, running.node.open(name))
    session.enabled.add(Feature.REV2)
    session.tag = "a1"
    asyncio.run(run_search(session, Search(EveryKey())))
    asyncio.run(run_sort(session, Sort((SortCriterion(SortKey.ARRIVAL),), EveryKey(), "UTF-8")))
    assert session.wire.sent == [b'* ESEARCH (TAG "a1") ALL 1:5\r\n', b"* SORT 1 2 3 4 5\r\n"]


@pytest.mark.parametrize(
    ("command", "page"),
    [
        ("SEARCH BODY nothing", "BODY_PAGE_ITEMS"),
        ("SORT (SUBJECT) UTF-8 FROM camille", "SUMMARY_PAGE_ITEMS"),
        ("THREAD REFERENCES UTF-8 FROM camille", "SUMMARY_PAGE_ITEMS"),
    ],
)
def test_a_long_command_says_how_far_it_is(
    client: imaplib.IMAP4_SSL, monkeypatch: pytest.MonkeyPatch, command: str, page: str
) -> None:
    """RFC 9585 §4 on the wire: the command's tag, what was looked at, and of how many."""
    monkeypatch.setattr(progress, "NOTICE_SECONDS", 0.0)
    for module in (verbs_search, verbs_sort):
        monkeypatch.setattr(module, page, 2, raising=False)
    client.send(f"t1 {command}\r\n".encode())
    lines: list[bytes] = []
    while not lines or not lines[-1].startswith(b"t1 "):
        lines.append(client.readline().rstrip())
    assert lines[-1].startswith(b"t1 OK")
    told = [re.search(rb'\[INPROGRESS \("t1" (\d+) (\d+)\)\]', line) for line in lines]
    steps = [(int(found[1]), int(found[2])) for found in told if found]
    assert steps
    assert steps == sorted(steps)
    assert all(0 <= done < goal for done, goal in steps)
    assert all(line.startswith(b"* OK ") for line, found in zip(lines, told, strict=True) if found)
