"""A hand in the database plants a letter: sealed to the victim's public key, which anybody may have, with a MAC of its
own making. It is shown by nothing, and its neighbours are (K23, S12).
"""

import imaplib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.imap_harness import HOST, ImapNode, RunningImap, TlsFiles, make_node, make_tls, running_imap

from mailserver.crypto.secret import Secret
from mailserver.model.account import Role
from mailserver.service.sealing import PlaceStamp
from mailserver.service.web_mailbox import WebMailbox
from mailserver.store import items, mailboxes
from mailserver.store.row_macs import RowMacs

PLANTED = b"From: medecin@a.localhost\r\nSubject: Faux\r\n\r\nPrenez le double.\r\n"


def letter(number: int) -> bytes:
    return f"From: x@b.localhost\r\nSubject: Vrai {number}\r\n\r\nTexte {number}\r\n".encode()


@pytest.fixture
def tls(tmp_path: Path) -> TlsFiles:
    (tmp_path / "tls").mkdir()
    return make_tls(tmp_path / "tls")


@pytest.fixture
def running(tmp_path: Path, tls: TlsFiles) -> Iterator[RunningImap]:
    node = make_node(tmp_path / "node")
    node.add("ann", has_password=True)
    node.deliver("ann", letter(1))
    plant(node, "ann", PLANTED)
    node.deliver("ann", letter(3))
    with running_imap(node, tls) as server:
        yield server
    node.close()


def plant(node: ImapNode, name: str, octets: bytes) -> None:
    """All that a writer of the database can do: he has every row and every public key, and not the row key."""
    account_id = node.accounts[name].account_id
    with node.store.database.write() as connection:
        public = node.store.accounts.load_account(connection, account_id).mail_public
        mailbox_id = mailboxes.load_by_role(connection, account_id, Role.INBOX).mailbox_id
        away = node._seal(account_id, public, octets)
        modseq = mailboxes.next_modseq(connection, account_id)
        arrivals = mailboxes.Arrivals(1, 1, 0, 1, away.blob.padded_bytes)
        uid = mailboxes.place(connection, account_id, mailbox_id, modseq, arrivals)
        forger = RowMacs(Secret(b"guessed".ljust(32, b"!")))
        row = away.place(forger, mailbox_id, uid, PlaceStamp(0, modseq, 1_790_000_000, 1_790_000_000))
        items.add_items(connection, [row])
        items.add_blob(connection, account_id, away.blob.row)


@pytest.mark.parametrize("wanted", ["(ENVELOPE)", "(BODY.PEEK[])", "(BODY.PEEK[HEADER])", "(RFC822.SIZE)"])
def test_a_mail_client_never_sees_it(
    running: RunningImap, tls: TlsFiles, wanted: str, caplog: pytest.LogCaptureFixture
) -> None:
    account = running.node.accounts["ann"]
    client = imaplib.IMAP4_SSL(HOST, running.tls_port, ssl_context=tls.client)
    client.login(account.address, account.app_password)
    client.select("INBOX")
    status, said = client.fetch("1:3", wanted)
    shown = b" ".join(
        part for each in said if each for part in (each if isinstance(each, tuple) else (each,))
    )
    assert status == "NO"
    assert b"CONTACTADMIN" in shown
    for number in (1, 3):
        status, said = client.fetch(str(number), wanted)
        assert status == "OK"
        assert said[0] is not None
    assert client.search(None, "SUBJECT", "Faux") == ("OK", [b""])
    assert client.search(None, "BODY", "double") == ("OK", [b""])
    assert client.search(None, "BODY", "Texte") == ("OK", [b"1 3"])
    assert client.copy("2", "Archive")[0] == "NO"
    assert client.select("Archive") == ("OK", [b"0"])
    client.logout()
    assert b"double" not in shown
    assert b"Faux" not in shown
    told = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert {record.__dict__["code"] for record in told} == {"row-mac"}
    assert not any("Faux" in str(vars(record)) for record in caplog.records)


def test_the_web_never_shows_it(running: RunningImap) -> None:
    node = running.node
    web = WebMailbox(node.store, node.services.mailboxes, node.services.messages, node.services.permits)
    page = web.list_page(node.open("ann"), Role.INBOX, None)
    assert ([line.subject for line in page.lines], page.damaged) == (["Vrai 3", "Vrai 1"], 1)
