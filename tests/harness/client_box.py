"""One account whose mail client is under test: what is delivered to it, what lies in it, what passes on the wire.

``look`` asks the server through the standard library's client; ``wire`` reads the masked trace that an administrator
can switch on for an account, so that a test can say what a mail client asked for and what it was sent.
"""

import imaplib
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from harness.imap_harness import HOST, Account, RunningImap, TlsFiles
from harness.imap_transcript import message
from harness.programs import SECONDS
from mailserver.model.address import parse_address

TRACE_LOG = logging.getLogger("pli.imap.trace")
CONTENT = re.compile(r"FETCH \(.*(?:BODY\b|RFC822\b(?!\.SIZE)|ENVELOPE\b|BINARY\b(?!\.SIZE))")
"""A line of the server that brings something of what people wrote."""


class Wire(logging.Handler):
    """The lines of one account's connections, from when it began to listen."""

    def __init__(self, account: Account) -> None:
        super().__init__()
        self._account = account.account_id.hex()
        self._change = threading.Condition()
        self._lines: list[tuple[str, str]] = []
        self._at = 0

    def emit(self, record: logging.LogRecord) -> None:
        said = vars(record)
        if said["account"] == self._account:
            with self._change:
                self._lines.append((said["from"], record.getMessage()))
                self._change.notify_all()

    def said_by(self, side: str, pattern: str) -> list[str]:
        """What the "client" or the "server" said that matches."""
        with self._change:
            return [line for who, line in self._lines if who == side and re.search(pattern, line)]

    def contents(self) -> list[str]:
        """The answers that brought a header, an envelope or a body."""
        return self.said_by("server", CONTENT.pattern)

    def wait_for(self, side: str, pattern: str) -> None:
        """Until ``side`` has said it, after what the last call waited for."""

        def find() -> int | None:
            found = (at for at in range(self._at, len(self._lines)) if self._lines[at][0] == side)
            return next((at for at in found if re.search(pattern, self._lines[at][1])), None)

        with self._change:
            self._change.wait_for(lambda: find() is not None, SECONDS)
            found = find()
            assert found is not None, (side, pattern, self._lines[self._at :])
            self._at = found + 1

    def wait_for_idle(self) -> None:
        """Until a client waits for news (RFC 2177 §3)."""
        self.wait_for("client", r"\bIDLE\b")
        self.wait_for("server", r"^\+")

    def wait_until_done(self, verb: str) -> None:
        """Until the server has answered OK to a command that holds ``verb``."""
        self.wait_for("client", rf"\b{verb}\b")
        self.wait_for("server", r"^(?!\* )\S+ OK")


@dataclass
class Box:
    running: RunningImap
    tls: TlsFiles
    account: Account

    @property
    def name(self) -> str:
        return self.account.address.partition("@")[0]

    @property
    def address(self) -> str:
        return self.account.address

    @property
    def password(self) -> str:
        return self.account.app_password

    @property
    def port(self) -> int:
        return self.running.tls_port

    @property
    def authority(self) -> str:
        """The file with the certificate that the client has to trust."""
        return str(self.tls.authority_pem)

    def deliver(self, *numbers: int) -> None:
        self.running.node.deliver(self.name, *map(message, numbers))

    @contextmanager
    def other_client(self, mailbox: str, *, readonly: bool = False) -> Iterator[imaplib.IMAP4_SSL]:
        """The standard library's client, with ``mailbox`` selected."""
        with imaplib.IMAP4_SSL(HOST, self.port, ssl_context=self.tls.client) as client:
            client.login(self.address, self.password)
            assert client.select(mailbox, readonly)[0] == "OK"
            yield client

    def look(self, mailbox: str = "INBOX") -> dict[int, set[str]]:
        """The mailbox as the server has it: flags by number of message. One whose body has changed fails."""
        with self.other_client(mailbox, readonly=True) as client:
            answers = client.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[])")[1]
        found: dict[int, set[str]] = {}
        for head, octets in (answer for answer in answers if isinstance(answer, tuple)):
            number = int(re.search(rb"^Subject: Pli (\d+)", octets, re.MULTILINE)[1])
            assert octets.endswith(b"\r\n\r\nLigne %d\r\n" % number), (mailbox, octets)
            assert number not in found, f"twice in {mailbox}"
            found[number] = {flag.decode() for flag in imaplib.ParseFlags(head)} - {"\\Recent"}
        return found

    @contextmanager
    def wire(self) -> Iterator[Wire]:
        """What passes meanwhile on the account's connections."""
        wire = Wire(self.account)
        TRACE_LOG.addHandler(wire)
        try:
            yield wire
        finally:
            TRACE_LOG.removeHandler(wire)


def make_box(running: RunningImap, tls: TlsFiles, name: str) -> Box:
    """A new account, its connections traced."""
    account = running.node.add(name)
    until = int(datetime.now(UTC).timestamp()) + 600
    running.node.administration.mark_client_settings(
        parse_address(account.address),
        lambda profile: replace(profile, traced_until=until),
        datetime.now(UTC),
    )
    return Box(running, tls, account)
