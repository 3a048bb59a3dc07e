"""Octets come back exactly as stored, whatever they are and however they are asked for (imaplib and raw sockets)."""

import imaplib
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.imap_harness import Account, RunningImap, TlsFiles, make_node, make_tls, running_imap

SAMPLES = sorted((Path(__file__).parents[1] / "data" / "mime").rglob("*.eml"))
LARGE = b"Subject: grand\r\n\r\n" + bytes(range(1, 256)) * 12_000


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> Iterator[RunningImap]:
    node = make_node(tmp_path_factory.mktemp("node"))
    node.add("doc")
    with running_imap(node, tls) as server:
        yield server
    node.close()


@pytest.fixture
def client(running: RunningImap, tls: TlsFiles) -> Iterator[imaplib.IMAP4_SSL]:
    with imaplib.IMAP4_SSL("localhost", running.tls_port, ssl_context=tls.client) as client:
        account: Account = running.node.accounts["doc"]
        client.login(account.address, account.app_password)
        client.select("Archive")
        yield client


def append(client: imaplib.IMAP4_SSL, octets: bytes) -> bytes:
    """As imaplib's, without its changes to line ends; the new UID."""
    client.literal = octets
    status, answer = client._simple_command("APPEND", "Archive", "()")
    assert status == "OK", answer
    return answer[0].split(b"]")[0].split()[-1]


def fetch(client: imaplib.IMAP4_SSL, uid: bytes, item: str) -> bytes:
    status, answer = client.uid("FETCH", uid.decode(), f"({item})")
    assert status == "OK"
    return answer[0][1]


def test_there_are_samples() -> None:
    assert len(SAMPLES) > 10


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_sample_comes_back(path: Path, client: imaplib.IMAP4_SSL) -> None:
    octets = path.read_bytes()
    if b"\0" in octets:
        client.literal = octets
        assert client._simple_command("APPEND", "Archive", "()")[0] == "NO"
        return
    uid = append(client, octets)
    assert fetch(client, uid, "BODY.PEEK[]") == octets
    head, text = fetch(client, uid, "BODY.PEEK[HEADER]"), fetch(client, uid, "BODY.PEEK[TEXT]")
    assert head + text == octets
    for item in ("ENVELOPE", "BODYSTRUCTURE", "BODY", "RFC822.SIZE"):
        assert client.uid("FETCH", uid.decode(), f"({item})")[0] == "OK"


def test_large_message_streams_back(client: imaplib.IMAP4_SSL) -> None:
    uid = append(client, LARGE)
    assert fetch(client, uid, "BODY.PEEK[]") == LARGE
    assert fetch(client, uid, "BODY.PEEK[]<1000000.70000>") == LARGE[1_000_000:1_070_000]
    assert fetch(client, uid, "RFC822.TEXT") == LARGE[18:]


def test_an_altered_message_is_left_out_and_the_rest_flows(running: RunningImap, tls: TlsFiles) -> None:
    account = running.node.add("altered")
    running.node.deliver("altered", *(b"Subject: %d\r\n\r\nx\r\n" % number for number in range(3)))
    with running.node.store.database.write() as connection:
        place = f"account_id = x'{account.account_id.hex()}' AND uid = 2"
        connection.exec_driver_sql(f"UPDATE seal SET summary = zeroblob(length(summary)) WHERE {place}")
    with imaplib.IMAP4_SSL("localhost", running.tls_port, ssl_context=tls.client) as client:
        client.login(account.address, account.app_password)
        client.select()
        for items in ("(ENVELOPE)", "(BODY.PEEK[])"):
            status, answer = client.fetch("1:3", items)
            assert status == "NO"
            assert b"CONTACTADMIN" in answer[0]
            told = client.response("FETCH")[1]
            assert len([each for each in told if each != b")"]) == 2
        assert client.search(None, "SUBJECT", "2")[1] == [b"3"]
