"""The sealed index of texts: it answers as the messages do, loses what they lose, and is never believed when altered."""

import base64
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.imap_harness import ImapNode, make_node
from harness.imap_session import open_session, opened_bodies, scan, search
from sqlalchemy import delete, select, update

from mailserver.audit.events import EventKind
from mailserver.imap import text_candidates
from mailserver.imap.search_keys import AndKey, FlagKey, HeaderKey, NotKey, OrKey, TextKey
from mailserver.model.account import Flag, Role
from mailserver.model.errors import Denied, Unavailable
from mailserver.service import text_segment
from mailserver.service.keys import OpenAccount
from mailserver.service.mail_permit import MailPermit
from mailserver.service.text_segment import TextSegment
from mailserver.store import schema, segment_rows, writer
from mailserver.store.database import Database
from mailserver.store.item_changes import FlagChange
from mailserver.store.writer import Unit

WORD = "carabistouille"
COUNT = 40


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ImapNode]:
    node = make_node(tmp_path / "node")
    yield node
    node.close()


def letter(number: int, body: str) -> bytes:
    return (
        f"From: Claude FICTIF <claude@b.localhost>\r\nSubject: Pli {number}\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n"
    ).encode()


@pytest.fixture
def doctor(node: ImapNode) -> OpenAccount:
    """Forty letters, each with a word of its own; every fourth says WORD."""
    node.add("doc", has_password=True)
    bodies = [f"numéro{at:02} {WORD if at % 4 == 0 else 'rien'} Épreuve\r\nfin" for at in range(1, COUNT + 1)]
    node.deliver("doc", *[letter(at, body) for at, body in enumerate(bodies, 1)])
    return node.open("doc")


def text(words: str, *, body: bool = False) -> TextKey:
    return TextKey(words, with_header=not body)


def segments(node: ImapNode, account: OpenAccount, role: Role = Role.INBOX) -> list[TextSegment]:
    box = node.services.mailboxes.load_by_role(account, role)
    index, permit = node.services.search_index, open_session(node, account).permit()
    return index.open_segments(account, box.mailbox_id, index.list_spans(account, box.mailbox_id), permit)


def texts_in(node: ImapNode, account: OpenAccount) -> dict[int, bytes]:
    return {each.uid: each.text for part in segments(node, account) for each in part.entries()}


def sealed_rows(node: ImapNode) -> list[bytes]:
    with node.store.database.read() as connection:
        return list(connection.execute(select(schema.text_segment.c.octets)).scalars())


# --- answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        text(WORD),
        text("épreuve"),
        text("EPREUVE\r\nfin", body=True),
        text("o0"),
        text("x"),
        text(""),
        text("pli 7"),
        text("pli 7", body=True),
        text("\n"),
        text("absent"),
        NotKey(text(WORD)),
        OrKey(text("numero07"), text("numero11")),
        AndKey((text(WORD), NotKey(text("numero08")), HeaderKey("subject", "2"))),
        OrKey(text("numero07"), HeaderKey("subject", "pli 9")),
        NotKey(AndKey((text(WORD), text("numero04")))),
        AndKey((FlagKey("\\Seen", is_set=False), text(WORD, body=True))),
    ],
)
def test_the_second_search_opens_no_message(node: ImapNode, doctor: OpenAccount, key) -> None:
    first = open_session(node, doctor)
    expected = scan(first, key)
    assert search(first, text("anything")) == []
    second = open_session(node, doctor)
    assert search(second, key) == expected
    assert opened_bodies(second) == 0


CHARSETS = [
    ("iso-8859-15", "cœur à 20 €", "coeur"),
    ("windows-1252", "l’été", "l’ete"),
    ("koi8-r", "анализ крови", "АНАЛИЗ"),
    ("iso-2022-jp", "検査結果", "検査"),
    ("gb18030", "检查结果", "结果"),
    ("euc-kr", "검사 결과", "결과"),
    ("windows-1256", "نتيجة الفحص", "الفحص"),
    ("iso-8859-7", "ΕΞΈΤΑΣΗ ΑΊΜΑΤΟΣ", "εξεταση αιματος"),
    ("utf-16", "Straße", "STRASSE"),
    ("utf-8", "ﬁèvre", "fièvre"),
]


def test_every_charset(node: ImapNode, doctor: OpenAccount) -> None:
    box = node.services.mailboxes.load_by_role(doctor, Role.INBOX)
    uids = {}
    for charset, written, sought in CHARSETS:
        head = f"Subject: s\r\nContent-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        uids[sought] = node.deliver(
            "doc", head.encode() + base64.b64encode(written.encode(charset)) + b"\r\n"
        )
    for _time in range(2):
        session = open_session(node, doctor, box)
        assert {sought: search(session, text(sought)) for sought in uids} == uids
    assert len(texts_in(node, doctor)) == COUNT + len(CHARSETS)


def test_what_came_later_is_found(node: ImapNode, doctor: OpenAccount) -> None:
    """A message delivered, one copied and one moved are not covered, and are found all the same."""
    search(open_session(node, doctor), text(WORD))
    messages, boxes = node.services.messages, node.services.mailboxes
    inbox, junk = (boxes.load_by_role(doctor, role) for role in (Role.INBOX, Role.JUNK))
    (late,) = node.deliver("doc", letter(41, WORD))
    assert search(open_session(node, doctor), text(WORD))[-1] == late
    places = (inbox.mailbox_id, junk.mailbox_id)
    _validity, copied = messages.copy(doctor, places, [(4, 4)], 1)
    _validity, moved = messages.move(doctor, places, [(8, 9)], 1)
    there = open_session(node, doctor, junk)
    assert search(there, text(WORD)) == [copied[0][1], moved[0][1]]
    here = open_session(node, doctor)
    assert search(here, text(WORD)) == scan(here, text(WORD))
    assert 8 not in search(here, text(WORD))


def test_small_segments_do_not_pile_up(
    node: ImapNode, doctor: OpenAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_candidates, "LEAST_ITEMS", 1)
    for number in range(12):
        node.deliver("doc", letter(100 + number, "encore"))
        assert len(search(open_session(node, doctor), text("encore"))) == number + 1
        assert len(segments(node, doctor)) == 1
    assert len(texts_in(node, doctor)) == COUNT + 12


def test_a_scattered_search_keeps_nothing(node: ImapNode, doctor: OpenAccount) -> None:
    assert search(open_session(node, doctor), AndKey((HeaderKey("subject", "Pli 2"), text("numéro")))) != []
    assert [len(part.uids) for part in segments(node, doctor)] == [10], (
        "20 to 29 lie side by side; 2 does not"
    )


def test_a_message_with_very_much_text_is_opened_each_time(
    node: ImapNode, doctor: OpenAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_candidates, "ENTRY_BYTES", 500)
    (long,) = node.deliver("doc", letter(41, f"{WORD} " + "long " * 200))
    for _time in range(2):
        session = open_session(node, doctor)
        assert search(session, text(WORD))[-1] == long
    assert opened_bodies(session) == 1
    assert long not in texts_in(node, doctor)


# --- what is deleted ------------------------------------------------------------------------------------------


def test_words_of_an_expunged_message_are_in_no_file(
    node: ImapNode, doctor: OpenAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The segment that held them is gone with the commit, from every file once the writer is idle (K16, K18)."""
    monkeypatch.setattr(writer, "IDLE_SECONDS", 0.0)
    emptied, truncate = threading.Event(), Database.truncate_log
    monkeypatch.setattr(
        Database, "truncate_log", lambda database: truncate(database) and (emptied.set() or True)
    )
    search(open_session(node, doctor), text(WORD))
    sealed = sealed_rows(node)
    assert sealed
    inbox = node.services.mailboxes.load_by_role(doctor, Role.INBOX)
    assert files_with(tmp_path, sealed)
    node.services.messages.expunge(doctor, inbox.mailbox_id, [(8, 8)])
    assert sealed_rows(node) == []
    assert emptied.wait(30)
    assert files_with(tmp_path, sealed) == set()
    session = open_session(node, doctor)
    assert 8 not in search(session, text(WORD))
    texts = texts_in(node, doctor)
    assert len(texts) == COUNT - 1
    assert not any(b"numero08" in each for each in texts.values())


def files_with(folder: Path, sealed: list[bytes]) -> set[str]:
    """Files that hold a piece of these octets: a page of SQLite holds some 4000 of them in a row."""
    pieces = [octets[at : at + 64] for octets in sealed for at in range(0, len(octets) - 64, 1000)]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.name for path in files if any(piece in path.read_bytes() for piece in pieces)}


@pytest.mark.parametrize("way", ["move", "delete mailbox", "expunge deleted"])
def test_every_way_out_takes_the_texts_along(node: ImapNode, doctor: OpenAccount, way: str) -> None:
    messages, boxes = node.services.messages, node.services.mailboxes
    inbox, junk = (boxes.load_by_role(doctor, role) for role in (Role.INBOX, Role.JUNK))
    messages.move(doctor, (inbox.mailbox_id, junk.mailbox_id), [(1, COUNT)], 1)
    search(open_session(node, doctor, junk), text(WORD))
    assert sealed_rows(node)
    if way == "move":
        messages.move(doctor, (junk.mailbox_id, inbox.mailbox_id), [(3, 3)], 1)
    elif way == "delete mailbox":
        boxes.delete_mailbox(doctor, junk.name)
    else:
        messages.mark_flags(doctor, junk.mailbox_id, [(3, 3)], (FlagChange.ADD, int(Flag.DELETED)))
        messages.expunge_deleted(doctor, junk.mailbox_id, ([3], 0))
    assert sealed_rows(node) == []


def test_a_message_that_leaves_during_the_search_is_not_kept(
    node: ImapNode, doctor: OpenAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its text was read, then it was expunged, then the texts come to be stored."""
    index, messages = node.services.search_index, node.services.messages
    inbox = node.services.mailboxes.load_by_role(doctor, Role.INBOX)
    keep = index.keep

    def late(*arguments):
        messages.expunge(doctor, inbox.mailbox_id, [(8, 8)])
        return keep(*arguments)

    monkeypatch.setattr(type(index), "keep", lambda _index, *arguments: late(*arguments))
    search(open_session(node, doctor), text(WORD))
    assert sealed_rows(node) == []


# --- what is altered, and what fails --------------------------------------------------------------------------


def swap(node: ImapNode, one: bytes, other: bytes) -> None:
    table = schema.text_segment
    with node.store.database.write() as connection:
        rows = {row.segment_id: row for row in connection.execute(select(table))}
        for target, source in ((one, other), (other, one)):
            values = {"octets": rows[source].octets, "segment_id": rows[source].segment_id}
            connection.execute(
                update(table)
                .where(
                    table.c.account_id == rows[target].account_id,
                    table.c.mailbox_id == rows[target].mailbox_id,
                    table.c.first_uid == rows[target].first_uid,
                )
                .values(**values)
            )


@pytest.fixture
def two_mailboxes(node: ImapNode, doctor: OpenAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several segments in two mailboxes of the doctor and one of somebody else."""
    for module in (text_candidates, text_segment):
        monkeypatch.setattr(module, "SEGMENT_BYTES", 2000)
    boxes = node.services.mailboxes
    inbox, junk = (boxes.load_by_role(doctor, role) for role in (Role.INBOX, Role.JUNK))
    node.services.messages.copy(doctor, (inbox.mailbox_id, junk.mailbox_id), [(1, COUNT)], 1)
    node.add("other")
    node.deliver("other", *[letter(at, "autre chose") for at in range(COUNT)])
    for account, box in ((doctor, inbox), (doctor, junk), (node.open("other"), None)):
        search(open_session(node, account, box), text(WORD))


@pytest.mark.parametrize("what", ["same mailbox", "other mailbox", "other account", "range", "bit", "short"])
def test_an_altered_segment_is_not_believed(
    node: ImapNode, doctor: OpenAccount, two_mailboxes: None, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    table, boxes = schema.text_segment, node.services.mailboxes
    inbox, junk = (boxes.load_by_role(doctor, role) for role in (Role.INBOX, Role.JUNK))
    with node.store.database.read() as connection:
        rows = connection.execute(select(table).order_by(table.c.first_uid)).all()
    mine = [row for row in rows if row.mailbox_id == inbox.mailbox_id]
    others = {
        "same mailbox": mine[1:],
        "other mailbox": [row for row in rows if row.mailbox_id == junk.mailbox_id],
        "other account": [row for row in rows if row.account_id != doctor.account_id],
    }
    victim = mine[0]
    here = (table.c.mailbox_id == victim.mailbox_id, table.c.first_uid == victim.first_uid)
    if what in others:
        swap(node, victim.segment_id, others[what][0].segment_id)
    else:
        changed = {
            "range": {"last_uid": victim.last_uid + 1},
            "bit": {"octets": victim.octets[:50] + bytes([victim.octets[50] ^ 1]) + victim.octets[51:]},
            "short": {"octets": victim.octets[:7]},
        }
        with node.store.database.write() as connection:
            connection.execute(update(table).where(*here).values(**changed[what]))
    session = open_session(node, doctor, inbox)
    with caplog.at_level(logging.ERROR, "pli.index"):
        assert search(session, text(WORD)) == scan(session, text(WORD)) == list(range(4, COUNT + 1, 4))
    told = [record for record in caplog.records if record.name == "pli.index"]
    assert told
    assert all(record.code == "unwrap" for record in told)
    assert WORD not in caplog.text
    caplog.clear()
    healed = open_session(node, doctor, inbox)
    assert search(healed, text(WORD)) == list(range(4, COUNT + 1, 4))
    assert not caplog.records
    assert opened_bodies(healed) == 0


def test_a_crash_between_commits_costs_time_alone(
    node: ImapNode, doctor: OpenAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of the segments are there, the others never came; what is there says what it covers."""
    monkeypatch.setattr(text_candidates, "KEPT_BYTES", 600)
    monkeypatch.setattr(text_segment, "SEGMENT_BYTES", 400)
    put, stored = segment_rows.put_segment, []

    def fail(*arguments) -> bool:
        if len(stored) == 5:
            raise Unavailable("disk-full")
        stored.append(arguments)
        return put(*arguments)

    monkeypatch.setattr(segment_rows, "put_segment", fail)
    expected = list(range(4, COUNT + 1, 4))
    assert search(open_session(node, doctor), text(WORD)) == expected
    covered = texts_in(node, doctor)
    assert 0 < len(covered) < COUNT
    monkeypatch.setattr(segment_rows, "put_segment", put)
    assert search(open_session(node, doctor), text(WORD)) == expected
    assert search(open_session(node, doctor), text(WORD)) == expected
    assert len(texts_in(node, doctor)) == COUNT


def test_any_rows_may_be_missing(node: ImapNode, doctor: OpenAccount, two_mailboxes: None) -> None:
    """A database put back in part, or a row deleted by somebody else."""
    table = schema.text_segment
    with node.store.database.write() as connection:
        connection.execute(delete(table).where(table.c.first_uid > 1, table.c.first_uid < 30))
    session = open_session(node, doctor)
    assert search(session, text(WORD)) == scan(session, text(WORD))


def test_texts_folded_under_another_unicode_are_folded_again(
    node: ImapNode, doctor: OpenAccount, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    search(open_session(node, doctor), text(WORD))
    monkeypatch.setattr(text_segment, "_UNICODE", b"\x63\0\0")
    for opened in (True, False):
        session = open_session(node, doctor)
        assert search(session, text(WORD)) == list(range(4, COUNT + 1, 4))
        assert (opened_bodies(session) > 0) is opened
    assert not caplog.records


# --- leave to read --------------------------------------------------------------------------------------------


def test_reading_the_index_is_a_reading_in_the_log(node: ImapNode, doctor: OpenAccount) -> None:
    search(open_session(node, doctor), text(WORD))
    assert [event.kind for event in node.read_log("doc")].count(EventKind.MAILBOX_READ) == 1
    elsewhere = open_session(node, doctor)
    elsewhere.peer = "192.0.2.77"
    search(elsewhere, text(WORD))
    assert opened_bodies(elsewhere) == 0
    assert [event.kind for event in node.read_log("doc")].count(EventKind.MAILBOX_READ) == 2


def test_no_permit_no_index(node: ImapNode, doctor: OpenAccount) -> None:
    search(open_session(node, doctor), text(WORD))
    node.add("other")
    permit: MailPermit = open_session(node, node.open("other")).permit()
    index = node.services.search_index
    inbox = node.services.mailboxes.load_by_role(doctor, Role.INBOX)
    with pytest.raises(Denied):
        index.open_segments(doctor, inbox.mailbox_id, index.list_spans(doctor, inbox.mailbox_id), permit)


def test_a_stopping_store_keeps_nothing_and_answers(
    node: ImapNode, doctor: OpenAccount, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session = open_session(node, doctor)
    session.permit()
    search(session, HeaderKey("subject", "pli"))  # adopts, in a Unit that nobody waits for
    node.store.writer.commit(Unit(doctor.account_id, lambda _connection: None))
    monkeypatch.setattr(text_candidates, "KEPT_BYTES", 100)
    submit = node.store.writer.submit

    def refuse(unit: Unit):
        raise Unavailable("stopping")

    monkeypatch.setattr(node.store.writer, "submit", refuse)
    assert search(session, text(WORD)) == list(range(4, COUNT + 1, 4))
    monkeypatch.setattr(node.store.writer, "submit", submit)
    assert caplog.messages.count("texts are not kept") == 1, "asked once, not forty times"
