"""News that come while a command runs are not lost: they are told by the next look."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from harness.imap_harness import ImapNode, make_node
from harness.imap_session import StillWire, open_session
from harness.imap_transcript import message

from mailserver.imap import commands as c
from mailserver.imap.conversation import Conversation
from mailserver.imap.framing import Framer, limits_after_login
from mailserver.imap.notifier import Notifier
from mailserver.imap.session import Session
from mailserver.imap.states import State
from mailserver.service.named_mailboxes import NamedMailboxes

OTHERS = c.NotifyGroup(c.NotifyFilter.PERSONAL, (), frozenset({c.NotifyEvent.MESSAGE_NEW}))
TOLD = b"* STATUS INBOX (MESSAGES 1 UIDNEXT 2 UIDVALIDITY "


class NoLine:
    """A connection that is never closed, secured or told."""

    def close(self) -> None:
        raise AssertionError

    wait_for_news = forget_login = close

    async def start_tls(self) -> None:
        raise AssertionError


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImapNode]:
    node = make_node(tmp_path_factory.mktemp("node"))
    node.add("doc")
    yield node
    node.close()


@pytest.fixture
def session(node: ImapNode) -> Session:
    session = open_session(node, node.open("doc"))
    services = session.services
    session.names = NamedMailboxes(
        services.mailboxes, services.boxes, session.open_account(), session.origin, lambda _box: None
    )
    return session


def watch_others(session: Session) -> None:
    """The client has asked for news of mailboxes, and has selected none."""
    session.notifier = Notifier(c.Notify((OTHERS,)))
    session.notifier.learn(session.open_names().list_mailboxes())
    session.selected, session.state = None, State.AUTHENTICATED


def talk(session: Session, octets: bytes) -> bytes:
    """Everything that follows from these octets."""
    framer = Framer(limits_after_login(1000))
    conversation = Conversation(session, framer, NoLine(), lambda: 0.0)
    framer.feed(octets)

    async def run() -> None:
        while await conversation.step():
            pass

    asyncio.run(run())
    return b"".join(session.wire.sent)


class NewsWhileReading(StillWire):
    """A message arrives when the mailbox has just been read."""

    def __init__(self, node: ImapNode, session: Session) -> None:
        super().__init__()
        self.node, self.session = node, session

    async def call(self, work: Callable, *args, **kwargs):
        result = await super().call(work, *args, **kwargs)
        if self.hops[-1] == "_load_selected":
            self.node.deliver("doc", message(1))
            self.session.has_news = True
        return result


def test_while_a_mailbox_is_selected(node: ImapNode, session: Session) -> None:
    session.wire = NewsWhileReading(node, session)
    session.selected, session.state = None, State.AUTHENTICATED
    said = talk(session, b"a SELECT INBOX\r\n")
    assert said.index(b"* 0 EXISTS") < said.index(b"* 1 EXISTS") < said.index(b"a OK")


@pytest.mark.parametrize("command", [b"a SELECT Sent\r\n", b"a IDLE\r\n", b"a NOOP\r\n"])
def test_of_other_mailboxes_before_a_command(node: ImapNode, session: Session, command: bytes) -> None:
    watch_others(session)
    node.deliver("doc", message(1))
    session.has_news = True
    assert TOLD in talk(session, command)
