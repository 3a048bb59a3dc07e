"""One bad message never blocks a box (S12): whatever is damaged of it, every command goes on for the others."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness.imap_harness import ImapNode, TlsFiles, make_node, make_tls, running_imap
from harness.imap_strict import StrictClient
from sqlalchemy import text

from mailserver.service.sealing import Place
from mailserver.store import items

SMALL = [b"Subject: sujet %d\r\n\r\nmot%d partout\r\n" % (number, number) for number in range(5)]
LARGE = [each + b"ligne\r\n" * 100_000 for each in SMALL]
BAD_UID = 3
EVERY_UID = list(range(1, len(SMALL) + 1))
HEALTHY = [uid for uid in EVERY_UID if uid != BAD_UID]


@dataclass
class Box:
    """An account whose third message is damaged."""

    node: ImapNode
    name: str
    client: StrictClient
    port: int

    def uids(self, command: str, item: bytes) -> tuple[list[int], bytes]:
        """The UIDs that a FETCH told ``item`` of, and the tagged answer."""
        answer = self.client.ask(command)
        return [items[b"UID"] for _number, items in answer.fetches() if item in items], answer.tagged

    def found(self, key: str) -> list[int]:
        answer = self.client.ask(f"UID SEARCH {key}")
        assert answer.is_ok, answer.tagged
        (line,) = [each for each in answer.responses if each.startswith(b"* SEARCH")]
        return [int(number) for number in line.split()[2:]]


# --- what can be damaged ------------------------------------------------------------------------------------------


def change_seal(box: Box, column: str, value: str) -> None:
    with box.node.store.database.write() as connection:
        account = box.node.accounts[box.name].account_id
        connection.execute(
            text(f"UPDATE seal SET {column} = {value} WHERE account_id = :a AND uid = :u"),
            {"a": account, "u": BAD_UID},
        )


def damage_summary(box: Box) -> None:
    change_seal(box, "summary", "zeroblob(length(summary))")


def damage_wrap(box: Box) -> None:
    change_seal(box, "wrap", "zeroblob(length(wrap))")


def damage_seal(box: Box) -> None:
    damage_summary(box)
    damage_wrap(box)


def cut_seal(box: Box) -> None:
    change_seal(box, "wrap", "x''")
    change_seal(box, "summary", "x''")


def spoil_summary(box: Box) -> None:
    """Sealed soundly, and still no summary that this release can read."""
    node = box.node
    account = node.open(box.name)
    info = node.services.mailboxes.load_mailbox(account, "INBOX")
    with node.store.database.read() as connection:
        (row,) = items.list_items(connection, account.account_id, info.mailbox_id, [(BAD_UID, BAD_UID)])
    place = Place(account.account_id, info.mailbox_id, row.uid, row.item_id)
    keys = account.mail_keys()
    sealed = keys.reseal(place, keys.open_key(node.store.macs, place, row), b"\x09 no summary")
    with node.store.database.write() as connection:
        connection.execute(
            text(
                "UPDATE seal SET summary = :s, wrap = :w, row_mac = NULL WHERE account_id = :a AND uid = :u"
            ),
            {"s": sealed.summary, "w": sealed.wrap, "a": account.account_id, "u": BAD_UID},
        )
        connection.execute(
            text("UPDATE item SET is_adopted = 1 WHERE account_id = :a AND uid = :u"),
            {"a": account.account_id, "u": BAD_UID},
        )


def blob_id_of(box: Box) -> bytes:
    query = text("SELECT blob_id FROM item WHERE account_id = :a AND uid = :u")
    with box.node.store.database.read() as connection:
        account = box.node.accounts[box.name].account_id
        return bytes(connection.execute(query, {"a": account, "u": BAD_UID}).scalar_one())


def change_blob(box: Box, statement: str) -> None:
    with box.node.store.database.write() as connection:
        connection.execute(text(f"{statement} WHERE blob_id = :b"), {"b": blob_id_of(box)})


def damage_octets(box: Box) -> None:
    change_blob(box, "UPDATE blob SET octets = zeroblob(length(octets))")


def cut_octets(box: Box) -> None:
    change_blob(box, "UPDATE blob SET octets = substr(octets, 1, length(octets) - 7)")


def lose_octets(box: Box) -> None:
    change_blob(box, "DELETE FROM blob")


def file_of(box: Box) -> Path:
    (path,) = Path(box.node.store.blobs._folder).rglob(f"*{blob_id_of(box).hex()[4:]}*")
    return path


def damage_file(box: Box) -> None:
    path = file_of(box)
    octets = bytearray(path.read_bytes())
    octets[len(octets) // 2] ^= 1
    path.write_bytes(octets)


def cut_file(box: Box) -> None:
    path = file_of(box)
    path.write_bytes(path.read_bytes()[:-20_000])


def lose_file(box: Box) -> None:
    file_of(box).unlink()


Damage = Callable[[Box], None]
OF_SUMMARY: list[Damage] = [damage_summary, damage_seal, cut_seal, spoil_summary]
OF_OCTETS: list[tuple[Damage, list[bytes]]] = [
    (damage_octets, SMALL),
    (cut_octets, SMALL),
    (lose_octets, SMALL),
    (damage_wrap, SMALL),
    (damage_file, LARGE),
    (cut_file, LARGE),
    (lose_file, LARGE),
]
UNMOVABLE: list[Damage] = [damage_summary, damage_seal, cut_seal, damage_wrap]
CASES = [(damage, SMALL, True) for damage in OF_SUMMARY] + [
    (damage, messages, False) for damage, messages in OF_OCTETS
]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=[True, False], ids=["adopted", "unadopted"])
def is_adopted(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture(params=CASES, ids=lambda case: case[0].__name__)
def case(request: pytest.FixtureRequest) -> tuple[Damage, list[bytes], bool]:
    return request.param


@contextmanager
def opened_box(folder: Path, tls: TlsFiles, messages: list[bytes]) -> Iterator[Box]:
    node = make_node(folder / "node")
    account = node.add("doc")
    node.deliver("doc", *messages)
    with running_imap(node, tls) as running:
        client = StrictClient(running.tls_port, tls.client, account)
        yield Box(node, "doc", client, running.tls_port)
        client.close()
    node.close()


@pytest.fixture
def box(
    tmp_path: Path, tls: TlsFiles, case: tuple[Damage, list[bytes], bool], is_adopted: bool
) -> Iterator[Box]:
    damage, messages, _hits_summary = case
    with opened_box(tmp_path, tls, messages) as box:
        client = box.client
        if is_adopted:
            client.ask("SELECT INBOX")
            assert client.ask("FETCH 1:* (ENVELOPE)").is_ok
            assert client.ask("STORE 1 +FLAGS (\\Answered)").is_ok  # the writer has done with the adoption
            client.ask("UNSELECT")
        damage(box)
        yield box


def test_a_box_goes_on(box: Box, case: tuple[Damage, list[bytes], bool], is_adopted: bool) -> None:
    damage, _messages, hits_summary = case
    hits_summary = hits_summary or (damage is damage_wrap and not is_adopted)
    client = box.client
    select = client.ask("SELECT INBOX")
    assert select.is_ok
    assert b"* 5 EXISTS\r\n" in select.responses
    assert client.ask("STATUS INBOX (MESSAGES UNSEEN)").is_ok

    assert box.uids("UID FETCH 1:* (FLAGS)", b"FLAGS") == (EVERY_UID, b"OK FETCH completed\r\n")
    uids, tagged = box.uids("UID FETCH 1:* (ENVELOPE BODYSTRUCTURE RFC822.SIZE)", b"ENVELOPE")
    assert (uids, tagged[:2]) == ((HEALTHY, b"NO") if hits_summary else (EVERY_UID, b"OK"))
    uids, tagged = box.uids("UID FETCH 1:* (BODY PREVIEW)", b"PREVIEW")
    assert (uids, tagged[:2]) == ((HEALTHY, b"NO") if hits_summary else (EVERY_UID, b"OK"))
    for item in ("BODY[]", "BODY[TEXT]", "BINARY[1]"):
        uids, tagged = box.uids(f"UID FETCH 1:* ({item.replace('[', '.PEEK[')})", item.encode())
        assert uids == HEALTHY, item
        assert tagged.startswith(b"NO [CONTACTADMIN] "), item

    assert box.found("SUBJECT sujet") == (HEALTHY if hits_summary else EVERY_UID)
    assert box.found("BODY partout") == HEALTHY
    assert box.found("OR FROM nobody TEXT mot4") == [5]
    assert client.ask(f"UID FETCH {BAD_UID} (FLAGS BODY.PEEK[])").tagged.startswith(b"NO ")

    assert client.ask("UID STORE 1:* +FLAGS.SILENT (\\Flagged)").is_ok
    assert client.ask(f"UID COPY 1:{BAD_UID - 1},{BAD_UID + 1}:* Archive").is_ok
    assert client.ask("APPEND INBOX {3+}\r\nabc").is_ok
    moved = client.ask("UID MOVE 1:5 Archive")
    assert moved.tagged.startswith(b"NO [CONTACTADMIN]" if damage in UNMOVABLE else b"OK")
    left = [BAD_UID, 6] if not moved.is_ok else [6]
    assert box.uids("UID FETCH 1:* (FLAGS)", b"FLAGS")[0] == left

    if not moved.is_ok:  # what cannot be read can be deleted
        assert client.ask(f"UID STORE {BAD_UID} +FLAGS (\\Deleted)").is_ok
        assert client.ask("EXPUNGE").is_ok
        assert box.uids("UID FETCH 1:* (FLAGS)", b"FLAGS")[0] == [6]
    assert client.ask("SELECT Archive").is_ok
    assert client.ask("NOOP").is_ok


@pytest.mark.parametrize("damage", [damage_seal, spoil_summary, lose_octets])
def test_an_idling_client_hears_of_the_others(tmp_path: Path, tls: TlsFiles, damage: Damage) -> None:
    with opened_box(tmp_path, tls, SMALL) as box:
        damage(box)
        box.client.ask("SELECT INBOX")
        box.client.send("IDLE")
        assert box.client.line() == b"+ idling\r\n"
        other = StrictClient(box.port, tls.client, box.node.accounts[box.name])
        assert other.ask("SELECT INBOX").is_ok
        assert other.ask(f"UID STORE {BAD_UID} +FLAGS (\\Flagged)").is_ok
        assert box.client.line() == b"* 3 FETCH (FLAGS (\\Flagged \\Recent) UID 3)\r\n"
        box.node.deliver(box.name, SMALL[0])
        assert box.client.line() == b"* 6 EXISTS\r\n"
        other.close()


def test_a_damaged_mailbox_hides_no_other(tmp_path: Path, tls: TlsFiles) -> None:
    """Its record is its name: nothing that names another mailbox is refused. A list that lacks one would have
    clients delete what they keep of it, so there is none.
    """
    with opened_box(tmp_path, tls, SMALL) as box:
        client = box.client
        for name in ("Un", "Deux"):
            assert client.ask(f"CREATE {name}").is_ok
        info = box.node.services.mailboxes.load_mailbox(box.node.open(box.name), "Un")
        with box.node.store.database.write() as connection:
            connection.execute(
                text("UPDATE mailbox SET record = zeroblob(length(record)) WHERE mailbox_id = :m"),
                {"m": info.mailbox_id},
            )
        for name in ("INBOX", "Deux", "Sent"):
            assert client.ask(f"SELECT {name}").is_ok
            assert client.ask(f"STATUS {name} (MESSAGES)").is_ok
        assert client.ask("SELECT INBOX").is_ok
        assert client.ask("COPY 1:* Deux").is_ok
        for command in ("COPY 1 Un", 'LIST "" *', "CREATE Un", "SELECT Un"):
            assert client.ask(command).tagged.startswith(b"NO [CONTACTADMIN]")
