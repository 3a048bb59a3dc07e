"""An operator with its gateway, and a scripted server of another operator, over the loopback."""

import asyncio
import email
import email.policy
import hashlib
import json
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.node import Node, make_node

from mailserver.audit.events import Origin
from mailserver.crypto.authority import CERTIFICATE_FILE
from mailserver.crypto.secret import random_id
from mailserver.gateway.notice_sender import NoticeSender
from mailserver.gateway.ordinary_relay import OrdinaryRelay, RelayAccess
from mailserver.gateway.peer_connection import PeerCalls, PeerContext
from mailserver.gateway.routes import Routes
from mailserver.gateway.sms_provider import SmsProvider
from mailserver.gateway.worker import GatewayWorker
from mailserver.mime.summary_wire import parse_summary
from mailserver.mime.trace import Hop
from mailserver.model.account import Role
from mailserver.model.address import parse_address
from mailserver.model.dsn import MessageAsk, RecipientAsk
from mailserver.model.hop import NextHop
from mailserver.service.contacts import Contacts
from mailserver.service.correspondence import Destination
from mailserver.service.relay import RelayQueue
from mailserver.service.sendings import SubmittedEnvelope
from mailserver.store import schema
from mailserver.tls.contexts import PeerFiles, peer_server_context

SENDER = "camille@a.localhost"
RECIPIENT = "noa.secret@b.localhost"
SUBJECT = "Radio du genou"
MESSAGE = (
    f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: {SUBJECT}\r\nMessage-ID: <un@a.localhost>\r\n"
    "Date: Mon, 06 Jul 2026 09:00:00 +0000\r\n\r\nBonjour,\r\n.un point en tête\r\n..\r\nFin.\r\n"
).encode()
ORIGIN = Origin("127.0.0.0/24", "test")


class Clock:
    def __init__(self):
        self.now = datetime.now(UTC)

    def __call__(self):
        return self.now

    def pass_by(self, **time):
        self.now += timedelta(**time)


class Gateway:
    """One operator's services with a gateway over them. ``clock`` moves by hand."""

    def __init__(self, node: Node, password: str | None = None):
        self.node = node
        self.services = node.services
        self.clock = Clock()
        self.pool = ThreadPoolExecutor(4)
        made = node.add(SENDER, password=password)
        self.account = node.open(SENDER, made.app_password)
        self.routes: dict[str, str] = {}
        self.relay_port = 0
        self.sms: SmsProvider | None = None
        self.tags_sender = False
        self.relay_access = RelayAccess(NextHop("127.0.0.1", 1))

    def close(self):
        self.pool.shutdown()
        self.node.close()

    def queue(self, holder: bytes | None = None) -> RelayQueue:
        services = self.services
        return RelayQueue(services.store, services.outbound, services.reports, holder or random_id())

    def worker(self, holder: bytes | None = None, routes: Routes | None = None) -> GatewayWorker:
        config = self.services.config
        tls = config.tls
        files = PeerFiles(
            config.path(tls.peer_certificate),
            config.path(tls.peer_key),
            config.path(tls.peer_authority),
        )
        calls = PeerCalls(
            config.operator.hostname,
            PeerContext(files),
            routes or Routes(self.routes),
            self.services.trust,
            self.services.peers,
            self.clock,
            self.pool,
        )
        relay = None
        if self.relay_port:
            sender = parse_address("ne-pas-repondre@a.localhost")
            access = replace(self.relay_access, hop=NextHop("127.0.0.1", self.relay_port))
            relay = OrdinaryRelay(access, sender, "Pli", "a.localhost", tags_sender=self.tags_sender)
        contacts = Contacts(self.services.store, self.services.directory)
        notices = NoticeSender(relay, self.sms, contacts, self.pool)
        return GatewayWorker(self.queue(holder), calls, notices, self.clock, self.pool)

    def submit(
        self,
        octets=MESSAGE,
        recipients=(RECIPIENT,),
        sender=SENDER,
        *,
        ask=RecipientAsk(),
        message_ask=MessageAsk(),
    ):
        """What the commits of one submission ended as."""
        submission = self.services.submission
        address = None if sender is None else parse_address(sender)
        hop = Hop("poste.localhost", "127.0.0.1", "a.localhost", "ESMTPSA", "depot1")
        intake = submission.begin(hop, address, self.clock.now)
        for start in range(0, len(octets), 65536):
            intake.write(octets[start : start + 65536])
        intake.finish()
        destinations = tuple(self._destination(each, ask) for each in recipients)
        envelope = SubmittedEnvelope(address, destinations, ORIGIN, message_ask)
        try:
            verdict = submission.accept(self.account, envelope, intake, self.clock.now)
        finally:
            intake.close()
        assert verdict.decision.accepted, verdict.decision
        return [commit.result() for commit in verdict.commits]

    def _destination(self, text, ask):
        """Remote ones need not be listed yet."""
        address = parse_address(text)
        if self.services.directory.is_ours(address.domain):
            _decision, found = self.services.submission.decide_recipient(address, 0, self.clock.now)
            return replace(found, ask=ask)
        return Destination(address, None, ask)

    def rows(self, table):
        with self.services.store.database.read() as connection:
            return connection.execute(table.select()).all()

    def job(self):
        (row,) = self.rows(schema.job)
        return row

    def attempts(self):
        return [(row.number, row.result, row.reply_code) for row in self.rows(schema.attempt)]

    def blob_files(self):
        return list((self.node.folder / "data" / "blobs").glob("??/*"))

    def inbox(self) -> list[bytes]:
        """Every message of the sender's INBOX, whole."""
        services, account = self.services, self.account
        box = services.mailboxes.load_by_role(account, Role.INBOX)
        permit = services.permits.permit(account, ORIGIN, self.clock.now)
        found = []
        for opened in services.messages.page(account, box.mailbox_id, [(1, 1 << 31)]):
            size = parse_summary(opened.summary).size_bytes
            found.append(services.messages.reader(account, opened, size, permit).read(0, size))
        return found


def parse_report(octets):
    """(text for people, per-message and recipient fields, the original) of an RFC 3464 report on one recipient."""
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert message.get_content_type() == "multipart/report"
    assert message["Content-Type"].params["report-type"] == "delivery-status"
    text, status, original = message.iter_parts()
    assert status.get_content_type() == "message/delivery-status"
    about, recipient = status.get_payload()
    fields = {**dict(about.items()), **dict(recipient.items())}
    if original.get_content_type() == "message/rfc822":
        return text.get_content(), fields, original.get_payload(0).as_bytes(policy=email.policy.SMTP)
    assert original.get_content_type() == "text/rfc822-headers"
    return text.get_content(), fields, original.get_content()


def make_gateway(folder: Path, authority: Path, password: str | None = None) -> Gateway:
    """``password``: for the sender to log in on the web."""
    return Gateway(make_node(folder, "a.localhost", authority=authority), password)


def make_authority(folder: Path) -> Path:
    """The authority of a trust space in which operators b and c are listed."""
    for domain in ("b.localhost", "c.localhost"):
        make_node(folder, domain, authority=folder / "authority").close()
    return folder / "authority"


def context_of(authority: Path, domain: str, ca: Path | None = None) -> ssl.SSLContext:
    """The MX port of an operator made beside ``authority``."""
    tls = authority.parent / domain / "tls"
    files = PeerFiles(tls / "operator.pem", tls / "operator.key", ca or authority / CERTIFICATE_FILE)
    return peer_server_context(files)


def deliver(gateway: Gateway, peer: "Peer", *, run=asyncio.run, holder: bytes | None = None) -> int:
    """One round of a fresh worker, with ``peer`` as the server of b.localhost."""

    async def talk():
        async with peer.running():
            gateway.routes = {"b.localhost": f"127.0.0.1:{peer.port}"}
            gateway.relay_port = peer.port
            return await gateway.worker(holder).run_due()

    return run(talk())


@dataclass
class Script:
    """What the peer says: replies are taken in order, then the last default for ever."""

    mail: list[bytes] = field(default_factory=list)
    rcpt: list[bytes] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    end: list[bytes] = field(default_factory=list)
    extensions: tuple[bytes, ...] = (b"SIZE 99999999", b"8BITMIME", b"SMTPUTF8")
    auth: list[bytes] = field(default_factory=list)
    greeting: bytes = b"220 b.localhost ready\r\n"
    offers_tls: bool = True
    starttls: bytes = b""
    """A refusal in place of the handshake."""
    is_tls_at_once: bool = False
    closes_at: bytes = b""
    """The command after which it hangs up without a word."""
    keeps_octets: bool = True


class Peer:
    """A server that follows a Script and notes what it was told."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None):
        self.script = script
        self.context = context
        self.lines: list[bytes] = []
        self.messages: list[bytes] = []
        self.certificate: bytes | None = None
        self.received_bytes = 0
        self.digest = hashlib.sha256()
        self.host = "127.0.0.1"
        self.port = 0
        self._server = None
        self._writers = []

    @asynccontextmanager
    async def running(self):
        await self.start()
        try:
            yield self
        finally:
            self.stop()
            await asyncio.sleep(0)

    async def start(self):
        at_once = self.context if self.script.is_tls_at_once else None
        self._server = await asyncio.start_server(
            self._serve, self.host, self.port, limit=1 << 18, ssl=at_once
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self):
        self._server.close()
        for writer in self._writers:
            writer.close()

    def verbs(self):
        return [line.split(b" ")[0].split(b":")[0] for line in self.lines]

    async def _serve(self, reader, writer):
        self._writers.append(writer)
        try:
            await self._talk(reader, writer)
        except OSError:
            pass
        finally:
            writer.close()

    async def _talk(self, reader, writer):
        is_tls = self.script.is_tls_at_once
        writer.write(self.script.greeting)
        while line := (await reader.readline()).rstrip(b"\r\n"):
            self.lines.append(line)
            verb = line.split(b" ")[0].upper()
            if self.script.closes_at and line.startswith(self.script.closes_at):
                return
            match verb:
                case b"EHLO":
                    offered = [b"b.localhost", *self.script.extensions]
                    if self.script.offers_tls and not is_tls:
                        offered.append(b"STARTTLS")
                    text = [b"250-%b\r\n" % each for each in offered[:-1]]
                    writer.write(b"".join([*text, b"250 %b\r\n" % offered[-1]]))
                case b"STARTTLS" if self.script.starttls:
                    writer.write(self.script.starttls)
                case b"STARTTLS":
                    writer.write(b"220 go ahead\r\n")
                    await writer.start_tls(self.context)
                    self.certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
                    is_tls = True
                case b"AUTH":
                    writer.write(_next(self.script.auth, b"235 2.7.0 in\r\n"))
                case b"MAIL":
                    writer.write(_next(self.script.mail, b"250 2.1.0 ok\r\n"))
                case b"RCPT":
                    writer.write(_next(self.script.rcpt, b"250 2.1.5 ok\r\n"))
                case b"DATA":
                    reply = _next(self.script.data, b"354 go on\r\n")
                    writer.write(reply)
                    if reply.startswith(b"354"):
                        await self._take(reader)
                        writer.write(_next(self.script.end, b"250 2.0.0 taken\r\n"))
                case b"QUIT":
                    writer.write(b"221 bye\r\n")
                    return
                case _:
                    writer.write(b"250 ok\r\n")
            await writer.drain()

    async def _take(self, reader):
        pieces, tail = [], b"\r\n"
        while not tail.endswith(b"\r\n.\r\n"):
            piece = await reader.read(65536)
            if not piece:
                return
            self.received_bytes += len(piece)
            tail = (tail + piece)[-5:]
            if self.script.keeps_octets:
                pieces.append(piece)
        octets = b"".join(pieces)
        lines = octets.removesuffix(b".\r\n").split(b"\r\n")
        self.messages.append(b"\r\n".join(each[1:] if each.startswith(b".") else each for each in lines))


def _next(replies: list[bytes], default: bytes) -> bytes:
    return replies.pop(0) if replies else default


class JsonLines:
    """Everything that the operator's log would hold."""

    def __init__(self, caplog):
        self._caplog = caplog

    def text(self) -> str:
        from mailserver.log import JsonFormatter

        formatter = JsonFormatter()
        return "\n".join(formatter.format(record) for record in self._caplog.records)

    def attempts(self) -> list[dict]:
        lines = [json.loads(line) for line in self.text().splitlines()]
        return [line for line in lines if line["what"] == "attempt"]
