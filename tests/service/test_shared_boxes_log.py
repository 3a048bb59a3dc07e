"""What the log of a shared box says of its members' acts, and what it does not (K11, L1): one's own words."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.imap_harness import ImapNode, RunningImap, TlsFiles, make_node, make_tls, running_imap
from harness.imap_transcript import Client, message

from mailserver.audit.events import AuditEvent, EventKind, Origin
from mailserver.audit.wording import Language, describe
from mailserver.model.errors import Unavailable
from mailserver.store.writer import Unit, Writer

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> Iterator[RunningImap]:
    node = make_node(tmp_path_factory.mktemp("node"))
    with running_imap(node, tls) as server:
        yield server
    node.close()


class Desk:
    """A box of two members, and the second one logged in with the box selected."""

    def __init__(self, running: RunningImap, tls: TlsFiles) -> None:
        number = next(_numbers)
        self.node: ImapNode = running.node
        self.first, self.second, self.box = f"f{number}", f"s{number}", f"desk{number}"
        self.node.add(self.first)
        self.node.add(self.second, has_password=True)
        self.address = self.node.add_box(self.box, self.first, self.second).address
        self.name = f"Shared/{self.address}"
        self.client = Client(running.tls_port, tls.client)
        account = self.node.accounts[self.second]
        self.client.line()
        self.ask(f"LOGIN {account.address} {account.app_password}")
        self.ask('ID ("name" "Courrielleur" "version" "3")')

    def ask(self, line: str) -> list[str]:
        self.client.send(f"a {line}\r\n".encode())
        return self.client.until_tagged("a")

    def deliver(self, *numbers: int) -> None:
        self.node.deliver(self.box, *map(message, numbers))

    def select(self, mailbox: str = "INBOX") -> None:
        assert " OK " in self.ask(f"SELECT {self.name}/{mailbox}")[-1]

    def acts(self, name: str | None = None) -> list[AuditEvent]:
        """What members did: without what the administrator and the test itself left."""
        events = self.node.read_log(name or self.box)
        return [each for each in events if each.who.name != "Administrateur"]

    def kinds(self) -> list[EventKind]:
        return [each.kind for each in self.acts()]


@pytest.fixture
def desk(running: RunningImap, tls: TlsFiles) -> Iterator[Desk]:
    desk = Desk(running, tls)
    yield desk
    desk.client.close()


def test_every_message_that_is_opened_has_its_entry(desk: Desk) -> None:
    desk.deliver(1, 2, 3)
    desk.select()
    desk.ask("FETCH 1:2 BODY[]")
    events = desk.acts()
    assert [(each.kind, each.what.words) for each in events] == [
        (EventKind.MESSAGE_OPENED, "Pli 1"),
        (EventKind.MESSAGE_OPENED, "Pli 2"),
    ]
    assert {each.who.handle for each in events} == {desk.node.accounts[desk.second].address}
    assert {each.who.name for each in events} == {"Camille FICTIF"}
    assert {(each.origin.network, each.origin.client) for each in events} == {
        ("127.0.0.0/24", "Courrielleur 3")
    }
    said = describe(events[0], Language.FRENCH)
    assert said == "Camille FICTIF a lu le message « Pli 1 » (auteur : claude1@b.localhost)."
    desk.ask("FETCH 2 BODY.PEEK[1]")  # again is another reading
    assert desk.kinds() == [EventKind.MESSAGE_OPENED] * 3


def test_one_commit_a_command_before_the_first_byte(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.deliver(*range(1, 10), *range(1, 10), *range(1, 10))
    desk.select()
    desk.ask("FETCH 1:27 ENVELOPE")
    box_id = desk.node.accounts[desk.box].account_id
    desk.node.store.writer.commit(Unit(box_id, lambda _connection: None))  # by now they are adopted
    units: list[Unit] = []
    submit = Writer.submit

    def spied(writer: Writer, unit: Unit) -> object:
        units.append(unit)
        return submit(writer, unit)

    monkeypatch.setattr(Writer, "submit", spied)
    assert len(desk.ask("FETCH 1:27 BODY.PEEK[]")) > 27
    assert len(units) == 1
    assert desk.kinds() == [EventKind.MESSAGE_OPENED] * 27


def test_no_entry_no_byte(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.deliver(1)
    desk.select()
    desk.ask("FETCH 1 ENVELOPE")
    submit = Writer.submit

    def full(_writer: Writer, _unit: Unit) -> object:
        raise Unavailable("disk-full")

    monkeypatch.setattr(Writer, "submit", full)
    for command in ("FETCH 1 BODY.PEEK[]", "SEARCH BODY ligne", "FETCH 1 BODY.PEEK[HEADER]", "COPY 1 INBOX"):
        lines = desk.ask(command)
        assert len(lines) == 1
        assert lines[0].startswith("a NO [OVERQUOTA]"), command
    monkeypatch.setattr(Writer, "submit", submit)
    assert desk.kinds() == []


@pytest.mark.parametrize(
    "command",
    [
        "FETCH 1:2 (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)",
        "FETCH 1:* FLAGS",
        "FETCH 1:* (EMAILID THREADID SAVEDATE)",
        "FETCH 1:* (PREVIEW (LAZY) ENVELOPE)",
        "SORT (SUBJECT) UTF-8 FROM claude",
        "THREAD REFERENCES UTF-8 ALL",
        "SEARCH FROM claude SUBJECT pli UNSEEN",
        "STORE 1 +FLAGS (\\Seen \\Flagged)",
        "SEARCH ALL",
        "NOOP",
        "COPY 1 {name}/Archive",
        "CREATE {name}/Projet",
    ],
)
def test_what_is_not_logged(desk: Desk, command: str) -> None:
    desk.deliver(1, 2)
    desk.select()
    assert " OK " in desk.ask(command.format(name=desk.name))[-1]
    assert desk.kinds() == []


def test_headers_are_told_once_a_day(desk: Desk) -> None:
    desk.deliver(1, 2)
    desk.select()
    for section in ("HEADER", "HEADER.FIELDS (SUBJECT FROM)", "HEADER.FIELDS.NOT (TO)"):
        assert len(desk.ask(f"FETCH 1:2 BODY.PEEK[{section}]")) > 4
    assert desk.kinds() == [EventKind.MAILBOX_READ]


def test_a_message_in_pieces_is_read_once(desk: Desk) -> None:
    desk.deliver(1, 2)
    desk.select()
    desk.ask("UID FETCH 1 BODY.PEEK[]<0.20>")
    desk.ask("UID FETCH 1 BODY.PEEK[]<20.20>")
    desk.ask("UID FETCH 1 BODY.PEEK[]<40.20>")
    assert desk.kinds() == [EventKind.MESSAGE_OPENED]
    desk.ask("UID FETCH 2 BODY.PEEK[]<40.20>")  # of another message nothing was opened yet
    desk.ask("UID FETCH 1 BODY.PEEK[]<0.20>")
    assert [each.what.words for each in desk.acts()] == ["Pli 1", "Pli 2", "Pli 1"]


@pytest.mark.parametrize(
    "key", ["BODY ligne", "TEXT ligne", "HEADER X-Mailer x", "OR BODY ligne FROM nobody"]
)
def test_a_search_in_bodies_is_a_reading(desk: Desk, key: str) -> None:
    desk.deliver(1, 2)
    desk.select()
    desk.ask(f"SEARCH {key}")
    (event,) = desk.acts()
    assert (event.kind, event.what.words) == (EventKind.SEARCHED, "INBOX")
    assert describe(event, Language.ENGLISH) == "Camille FICTIF searched in the mailbox “INBOX”."


def test_a_search_that_the_index_answers_is_a_reading_too(desk: Desk) -> None:
    desk.deliver(*range(1, 10))
    desk.select()
    account = desk.node.services.boxes.open_box(
        desk.node.open(desk.second), desk.node.accounts[desk.box].account_id, Origin(), None
    )
    mailbox_id = desk.node.services.mailboxes.load_mailbox(account, "INBOX").mailbox_id
    for _again in range(2):
        assert desk.ask("SEARCH BODY ligne")[0] == "* SEARCH 1 2 3 4 5 6 7 8 9"
    assert desk.node.services.search_index.list_spans(account, mailbox_id)
    assert desk.kinds() == [EventKind.SEARCHED] * 2


def test_what_is_replaced_is_deleted(desk: Desk) -> None:
    desk.deliver(1)
    desk.select()
    desk.client.send(f"a REPLACE 1 {desk.name}/INBOX {{1+}}\r\nx\r\n".encode())
    assert desk.client.until_tagged("a")[-1] == "a OK REPLACE completed"
    assert [(each.kind, each.what.words) for each in desk.acts()] == [(EventKind.DELETED, "Pli 1")]


@pytest.mark.parametrize(
    "items",
    ["PREVIEW", "BINARY.SIZE[1]", "BINARY.PEEK[1]", "(PREVIEW BODY.PEEK[HEADER])", "BODY.PEEK[1.MIME]"],
)
def test_whatever_shows_of_a_body_opens_its_message(desk: Desk, items: str) -> None:
    desk.deliver(1, 2)
    desk.select()
    assert desk.ask(f"FETCH 1:2 {items}")[-1] == "a OK FETCH completed"
    opened = [each.what.words for each in desk.acts() if each.kind is EventKind.MESSAGE_OPENED]
    assert opened == ["Pli 1", "Pli 2"]


def test_a_listing_shows_no_words_of_a_body(desk: Desk) -> None:
    """PREVIEW (LAZY) is what clients ask of every message that they list."""
    desk.deliver(1)
    desk.node.deliver(desk.second, message(1))
    desk.select()
    assert desk.ask("FETCH 1 PREVIEW (LAZY)")[0] == "* 1 FETCH (PREVIEW NIL)"
    assert desk.ask("FETCH 1 PREVIEW")[0] == '* 1 FETCH (PREVIEW "Ligne 1")'
    desk.ask("SELECT INBOX")
    assert desk.ask("FETCH 1 PREVIEW (LAZY)")[0] != "* 1 FETCH (PREVIEW NIL)"


@pytest.mark.parametrize("command", ["SORT (DATE) UTF-8 BODY ligne", "THREAD REFERENCES UTF-8 TEXT ligne"])
def test_what_sorts_by_bodies_searches_them(desk: Desk, command: str) -> None:
    desk.deliver(1, 2)
    desk.select()
    for _again in range(2):
        assert " OK " in desk.ask(command)[-1]
    assert desk.kinds() == [EventKind.SEARCHED] * 2


def test_nothing_to_search_is_no_search(desk: Desk) -> None:
    desk.select()
    desk.ask("SEARCH BODY ligne")
    assert desk.kinds() == []


def test_what_leaves_is_logged_with_it(desk: Desk) -> None:
    desk.deliver(1, 2, 3)
    desk.select()
    desk.ask("STORE 1:2 +FLAGS.SILENT \\Deleted")
    desk.ask("UID EXPUNGE 1")
    desk.ask("CLOSE")
    assert [(each.kind, each.what.words) for each in desk.acts()] == [
        (EventKind.DELETED, "Pli 1"),
        (EventKind.DELETED, "Pli 2"),
    ]


def test_moves_and_copies(desk: Desk) -> None:
    desk.deliver(1, 2, 3)
    desk.node.deliver(desk.second, message(4))
    desk.select()
    desk.ask(f"MOVE 1 {desk.name}/Trash")
    desk.ask("COPY 1 Archive")
    desk.ask("MOVE 2 Archive")
    assert [(each.kind, each.what.words) for each in desk.acts()] == [
        (EventKind.FILED, "Pli 1"),
        (EventKind.EXPORTED, "Pli 2"),
        (EventKind.EXPORTED, "Pli 3"),
        (EventKind.DELETED, "Pli 3"),
    ]
    desk.ask("SELECT INBOX")
    desk.ask(f"MOVE 1 {desk.name}/INBOX")  # into the box: one's own message
    assert len(desk.acts()) == 4


def test_a_mailbox_that_is_deleted(desk: Desk) -> None:
    desk.ask(f"CREATE {desk.name}/Projet")
    desk.ask(f"DELETE {desk.name}/Projet")
    (event,) = desk.acts()
    assert describe(event, Language.FRENCH) == "Camille FICTIF a supprimé la boîte aux lettres « Projet »."


def test_the_persons_own_log_stays_their_own(desk: Desk) -> None:
    desk.deliver(1)
    desk.node.deliver(desk.second, message(1))
    desk.select()
    desk.ask("FETCH 1 BODY[]")
    assert desk.acts(desk.second) == []
    desk.ask("SELECT INBOX")
    desk.ask("FETCH 1 BODY[]")
    desk.ask("SEARCH BODY ligne")
    assert [each.kind for each in desk.acts(desk.second)] == [EventKind.MAILBOX_READ]
    assert desk.kinds() == [EventKind.MESSAGE_OPENED]


def test_nobody_but_the_box_reads_its_log(desk: Desk, tmp_path: Path) -> None:
    """Entries are sealed to the box's space key: no subject and no name of theirs is in the store."""
    desk.deliver(1)
    desk.select()
    desk.ask("FETCH 1 BODY[]")
    with desk.node.store.database.read() as connection:
        dump = b"".join(
            bytes(value) if isinstance(value, bytes) else str(value).encode()
            for table in ("log_entry", "log_pending", "member")
            for row in connection.exec_driver_sql(f"SELECT * FROM {table}")
            for value in row
        )
    assert b"Pli 1" not in dump
    assert b"FICTIF" not in dump
    assert b"lrsw" not in dump
