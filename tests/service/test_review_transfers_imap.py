"""What a mail client is told when one command, or its account, would hold too much: NO with LIMIT or OVERQUOTA."""

import imaplib
import ssl
from collections.abc import Iterator
from dataclasses import replace

import pytest
from harness.imap_harness import HOST, ImapNode, TlsFiles, make_node, make_tls, running_imap
from harness.imap_transcript import message

from mailserver.service.messages import Messages
from mailserver.service.quotas import Amount


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImapNode]:
    node = make_node(tmp_path_factory.mktemp("node"))
    node.add("doc")
    node.deliver("doc", message(1), message(2), message(3))
    yield node
    node.close()


def connected(node: ImapNode, port: int, tls: ssl.SSLContext) -> imaplib.IMAP4_SSL:
    client = imaplib.IMAP4_SSL(HOST, port, ssl_context=tls)
    account = node.accounts["doc"]
    client.login(account.address, account.app_password)
    client.select("INBOX")
    return client


def test_too_many_messages_in_one_command(
    node: ImapNode, tls: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailserver.imap.verbs_message.COMMAND_ITEMS", 2)
    with running_imap(node, tls) as running:
        client = connected(node, running.tls_port, tls.client)
        for verb in ("COPY", "MOVE"):
            status, text = client._simple_command(verb, "1:3", "Sent")
            assert (status, text[0][:7]) == ("NO", b"[LIMIT]")
        assert client._simple_command("COPY", "1:2", "Sent")[0] == "OK"
        client.logout()


def test_a_full_account(node: ImapNode, tls: TlsFiles) -> None:
    node.services = replace(node.services, messages=Messages(node.store, Amount(4, 10**9)))
    with running_imap(node, tls) as running:
        client = connected(node, running.tls_port, tls.client)
        status, text = client.copy("1:3", "Sent")
        assert (status, text[0][:11]) == ("NO", b"[OVERQUOTA]")
        assert client.append("Sent", None, None, message(4))[0] == "OK"
        status, text = client.append("Sent", None, None, message(5))
        assert (status, text[0][:11]) == ("NO", b"[OVERQUOTA]")
        assert client._simple_command("MOVE", "1:3", "Sent")[0] == "OK"
        client.logout()
