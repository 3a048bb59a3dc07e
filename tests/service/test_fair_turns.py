"""One peer's pipelined commands take their turn among everybody's: a server is one event loop."""

from collections import Counter

import pytest
from harness.imap_harness import make_node, make_tls, running_imap
from harness.imap_transcript import Client
from harness.smtp_harness import Wire, running_smtp
from harness.web_node import make_peers

from mailserver.imap.conversation import Conversation as ImapConversation
from mailserver.smtp.conversation import Conversation as SmtpConversation

COMMANDS = 2000
MOST_IN_A_TURN = 64


class Turns:
    """How many commands were handled in each turn of an event loop, before anybody logged in."""

    def __init__(self, loop, kind, name):
        self._loop, self.handled = loop, Counter()
        self._turn = 0
        self._is_running = True
        real = getattr(kind, name)

        async def counted(talk, *arguments):
            self.handled[self._turn] += 1
            return await real(talk, *arguments)

        self.counted = counted

    def start(self):
        self._loop.call_soon_threadsafe(self._tick)

    def _tick(self):
        self._turn += 1
        if self._is_running:
            self._loop.call_soon(self._tick)

    def stop(self):
        self._is_running = False


def count(monkeypatch, loop, kind, name):
    turns = Turns(loop, kind, name)
    monkeypatch.setattr(kind, name, turns.counted)
    turns.start()
    return turns


@pytest.fixture(scope="module")
def smtp(tmp_path_factory):
    ours, peer = make_peers(tmp_path_factory.mktemp("operators"))
    with running_smtp(ours) as running:
        yield running
    ours.close()
    peer.close()


def test_smtp(smtp, monkeypatch):
    wire = Wire(smtp.submission_port)
    turns = count(monkeypatch, smtp.loop, SmtpConversation, "answer")
    wire.send(b"NOOP\r\n" * COMMANDS)
    assert {wire.reply()[:3] for _number in range(COMMANDS)} == {b"250"}
    turns.stop()
    wire.close()
    smtp.settle()
    assert max(turns.handled.values()) <= MOST_IN_A_TURN


def test_imap(tmp_path, monkeypatch):
    node, tls = make_node(tmp_path / "node"), make_tls(tmp_path)
    with running_imap(node, tls) as running:
        client = Client(running.tls_port, tls.client)
        client.line()
        turns = count(monkeypatch, running.loop, ImapConversation, "step")
        client.send(b"a NOOP\r\n" * COMMANDS)
        assert {client.line() for _number in range(COMMANDS)} == {"a OK NOOP completed"}
        turns.stop()
        client.close()
    node.close()
    assert max(turns.handled.values()) <= MOST_IN_A_TURN
