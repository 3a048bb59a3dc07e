"""Each path that reads a body, with a log that cannot be written: nothing of a body leaves (L4, L10)."""

import imaplib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.imap_harness import HOST, RunningImap, TlsFiles, make_node, make_tls, running_imap

from mailserver.audit.events import Origin
from mailserver.model.account import Role
from mailserver.model.errors import Unavailable
from mailserver.service import mail_permit
from mailserver.service.web_mailbox import WebMailbox

MAIL = (
    b"From: x@b.localhost\r\nSubject: Lettre\r\nX-Mark: entete\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsecret un\r\n"
    b"--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nc2VjcmV0IGRldXg=\r\n--b--\r\n"
)
SECRETS = (b"secret", b"entete", b"c2VjcmV0")
FETCHES = [
    "BODY[]", "BODY.PEEK[]", "BODY[1]", "BODY[2]<0.4>", "BODY[TEXT]", "BODY[HEADER]", "RFC822", "RFC822.TEXT",
    "RFC822.HEADER", "BODY.PEEK[1.MIME]", "BODY.PEEK[HEADER.FIELDS (X-Mark)]",
]  # fmt: skip
SEARCHES = ["TEXT secret", "BODY secret", "HEADER X-Mark entete", "NOT BODY absent"]


@pytest.fixture
def tls(tmp_path: Path) -> TlsFiles:
    (tmp_path / "tls").mkdir()
    return make_tls(tmp_path / "tls")


@pytest.fixture
def running(tmp_path: Path, tls: TlsFiles, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningImap]:
    node = make_node(tmp_path / "node")
    node.add("ann", has_password=True)
    node.deliver("ann", MAIL)

    def fail(*_args: object) -> None:
        raise Unavailable("database")

    monkeypatch.setattr(mail_permit, "add_entries", fail)
    with running_imap(node, tls) as server:
        yield server
    node.close()


@pytest.fixture
def client(running: RunningImap, tls: TlsFiles) -> Iterator[imaplib.IMAP4_SSL]:
    account = running.node.accounts["ann"]
    with imaplib.IMAP4_SSL(HOST, running.tls_port, ssl_context=tls.client) as made:
        made.login(account.address, account.app_password)
        made.select("INBOX")
        yield made


def octets_of(said: object) -> bytes:
    if isinstance(said, bytes):
        return said
    return b" ".join(map(octets_of, said)) if isinstance(said, list | tuple) else b""


@pytest.mark.parametrize("item", FETCHES)
def test_fetch(client: imaplib.IMAP4_SSL, item: str) -> None:
    assert client.fetch("1", "(ENVELOPE BODYSTRUCTURE)")[0] == "OK", "a summary is no body"
    status, said = client.fetch("1", f"({item})")
    answer = octets_of(said)
    assert status == "NO"
    assert b"UNAVAILABLE" in answer
    assert not any(secret in answer for secret in SECRETS)
    assert client.noop()[0] == "OK"


@pytest.mark.parametrize("keys", SEARCHES)
def test_search(client: imaplib.IMAP4_SSL, keys: str) -> None:
    """Whether a body holds a word is told by nothing either."""
    status, said = client.search(None, *keys.split())
    assert status == "NO"
    assert b"UNAVAILABLE" in octets_of(said)


def test_web(running: RunningImap) -> None:
    node = running.node
    web = WebMailbox(node.store, node.services.mailboxes, node.services.messages, node.services.permits)
    account = node.open("ann")
    (line,) = web.list_page(account, Role.INBOX).lines
    with pytest.raises(Unavailable):
        web.open_message(account, line.ref, Origin(), datetime.now(UTC))
