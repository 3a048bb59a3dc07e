"""An operator's MX and submission ports in this process, a peer operator to call them, and what was stored."""

import asyncio
import logging
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from harness.node import Node
from mailserver.audit.events import Origin
from mailserver.mime.summary_wire import parse_summary
from mailserver.model.account import Role as MailboxRole
from mailserver.model.address import DomainName
from mailserver.pool import Pool
from mailserver.service.throttle import Throttle
from mailserver.smtp.server import Role, SmtpServer, SmtpServices, Timing
from mailserver.store import schema
from mailserver.tls.contexts import STRICT, PeerFiles, PeerProfile, client_facing_context, peer_server_context

HOST = "127.0.0.1"
TIMEOUT = 20


def smtp_services(node: Node, **limits: int) -> SmtpServices:
    services = node.services
    return SmtpServices(
        services.reception,
        services.submission,
        services.keys,
        services.logins,
        services.wakeups,
        Throttle(time.monotonic),
        services.config.operator.hostname,
        DomainName(node.domain),
        **limits,
    )


def peer_files(node: Node) -> PeerFiles:
    config = node.services.config
    tls = config.tls
    paths = (tls.peer_certificate, tls.peer_key, tls.peer_authority)
    return PeerFiles(*(config.path(each) for each in paths))


def client_context(certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """A caller that trusts anyone, so that only the server judges."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def operator_context(node: Node) -> ssl.SSLContext:
    """A caller with this operator's certificate."""
    files = peer_files(node)
    return client_context(files.cert, files.key)


@dataclass
class RunningSmtp:
    node: Node
    mx: SmtpServer
    submission: SmtpServer
    loop: asyncio.AbstractEventLoop
    mx_port: int
    submission_port: int
    submissions_port: int

    def on_loop(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def settle(self) -> None:
        """Wait until every connection has ended on the server's side too."""
        for server in (self.mx, self.submission):
            assert self.on_loop(server._register.wait_until_empty(TIMEOUT))

    def call_mx(self, context: ssl.SSLContext | None) -> smtplib.SMTP:
        """A peer after EHLO, in TLS when a context is given."""
        client = smtplib.SMTP(HOST, self.mx_port, "mx.b.localhost", TIMEOUT)
        try:
            client.ehlo()
            if context is not None:
                client.starttls(context=context)
                client.ehlo()
        except (OSError, smtplib.SMTPException):
            client.close()
            raise
        return client

    def call_submissions(self) -> smtplib.SMTP_SSL:
        client = smtplib.SMTP_SSL(
            HOST, self.submissions_port, "poste.a.localhost", timeout=TIMEOUT, context=client_context()
        )
        client.ehlo()
        return client

    def counts(self) -> dict[str, int]:
        """Rows that a message leaves."""
        return row_counts(self.node)


def row_counts(node: Node) -> dict[str, int]:
    tables = (schema.item, schema.seal, schema.blob, schema.job, schema.log_entry)
    with node.services.store.database.read() as connection:
        return {each.name: len(connection.execute(each.select()).all()) for each in tables}


@contextmanager
def running_smtp(
    node: Node,
    *,
    timing: Timing | None = None,
    threads: int = 8,
    profile: PeerProfile = STRICT,
    **limits: int,
) -> Iterator[RunningSmtp]:
    loop = uvloop.new_event_loop()
    pool = Pool(threads, "smtp-pool")
    thread = threading.Thread(target=loop.run_forever, name="smtp-loop", daemon=True)
    thread.start()
    services = smtp_services(node, **limits)
    config = node.services.config
    clients = client_facing_context(config.path(config.tls.certificate), config.path(config.tls.key))
    mx = SmtpServer(services, pool, Role.MX, timing)
    submission = SmtpServer(services, pool, Role.SUBMISSION, timing)

    async def listen() -> None:
        await mx.listen(HOST, 0, starttls=peer_server_context(peer_files(node), profile))
        await submission.listen(HOST, 0, starttls=clients)
        await submission.listen(HOST, 0, tls=clients)

    async def stop() -> None:
        await asyncio.gather(mx.stop(0.2), submission.stop(0.2))

    running = RunningSmtp(node, mx, submission, loop, 0, 0, 0)
    running.on_loop(listen())
    running.mx_port = mx.ports[0]
    running.submission_port, running.submissions_port = submission.ports
    try:
        yield running
    finally:
        running.on_loop(stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
        pool.shutdown()


class LogLines(logging.Handler):
    """What the operator's log would hold, as the formatter writes it."""

    def __init__(self) -> None:
        super().__init__()
        from mailserver.log import JsonFormatter

        self.setFormatter(JsonFormatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@contextmanager
def log_lines() -> Iterator[LogLines]:
    handler = LogLines()
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


class Wire:
    """A raw client: octets out, whole replies in."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.socket: socket.socket = socket.create_connection((HOST, port), TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket)
        self.greeting = self.reply()

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def reply(self) -> bytes:
        """One reply, all its lines; empty when the connection has ended."""
        lines = b""
        while True:
            line, found, rest = self._unread.partition(b"\n")
            if found:
                self._unread = rest
                lines += line + b"\n"
                if line[3:4] != b"-":
                    return lines
                continue
            try:
                octets = self.socket.recv(65536)
            except (ConnectionError, ssl.SSLError):
                octets = b""
            if not octets:
                return lines
            self._unread += octets

    def ask(self, line: bytes) -> bytes:
        self.send(line + b"\r\n")
        return self.reply()

    def start_tls(self, context: ssl.SSLContext) -> None:
        assert self.ask(b"STARTTLS")[:3] == b"220"
        self.socket = context.wrap_socket(self.socket)

    def is_closed(self) -> bool:
        return self.reply() == b""

    def close(self) -> None:
        self.socket.close()


def open_mail(wire: Wire, sender: bytes, *recipients: bytes) -> None:
    """Up to the 354."""
    assert wire.ask(b"MAIL FROM:<%b>" % sender)[:3] == b"250"
    for recipient in recipients:
        assert wire.ask(b"RCPT TO:<%b>" % recipient)[:3] == b"250"
    assert wire.ask(b"DATA")[:3] == b"354"


def inbox(node: Node, address: str, app_password: str) -> list[bytes]:
    """Every message of an INBOX, whole, oldest first."""
    services, account = node.services, node.open(address, app_password)
    box = services.mailboxes.load_by_role(account, MailboxRole.INBOX)
    permit = services.permits.permit(account, Origin("127.0.0.0/24", "test"), datetime.now(UTC))
    found = []
    for opened in services.messages.page(account, box.mailbox_id, [(1, 1 << 31)]):
        size = parse_summary(opened.summary).size_bytes
        found.append(services.messages.reader(account, opened, size, permit).read(0, size))
    return found


def letter(sender: str, recipient: str, number: int | str = 1, body: bytes = b"Bonjour.\r\n") -> bytes:
    head = (
        f"From: {sender}\r\nTo: {recipient}\r\nSubject: Radio\r\nMessage-ID: <{number}@poste.example>\r\n"
        "Date: Mon, 06 Jul 2026 09:00:00 +0000\r\n\r\n"
    )
    return head.encode() + body
