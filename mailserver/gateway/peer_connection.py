"""A call to another operator: TLS demanded, both certificates shown, and the peer's judged before the first MAIL.

Nothing of a message, not even its sender's address, is said to a server whose certificate is not listed for the
recipient's domain. The judgement is repeated for each message: the trust list may have changed meanwhile.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime

from mailserver.crypto.revocation_lists import Standing
from mailserver.crypto.x509 import CertificateFacts, certificate_facts
from mailserver.gateway.routes import NO_ROUTE, Routes
from mailserver.gateway.smtp_link import LinkEnded, SmtpLink, Transfer
from mailserver.model.address import DomainName
from mailserver.model.errors import Corrupt, Denied, Malformed, NotFound, Unavailable
from mailserver.model.hop import NextHop
from mailserver.policy.decision import Reason
from mailserver.policy.mail_rules import (
    PeerFacts,
    RecipientFacts,
    decide_next_hop,
    decide_peer,
    decide_recipient,
)
from mailserver.policy.trust_store import TrustStore
from mailserver.service.delivery_reports import (
    AttemptResult,
    Cause,
    passing,
    put_off,
    refused,
    refused_by_policy,
)
from mailserver.service.peers import CHECK_SECONDS, Peers
from mailserver.service.relay import Outgoing
from mailserver.tls.contexts import STRICT, PeerFiles, PeerProfile, peer_client_context
from mailserver.tls.failures import fault_of

PIECE_BYTES = 128 * 1024


class PeerContext:
    """The TLS context of our calls, built again when one of its files changes."""

    def __init__(self, files: PeerFiles, profile: PeerProfile = STRICT) -> None:
        self._files = files
        self._profile = profile
        self._seen: tuple[tuple[int, int], ...] | None = None
        self._context: ssl.SSLContext | None = None

    def load(self) -> ssl.SSLContext:
        """The context of the files as they are now. Raises Malformed; reads the disk."""
        paths = (self._files.cert, self._files.key, self._files.ca)
        try:
            states = [path.stat() for path in paths]
        except OSError as error:
            raise Malformed("tls-files", "a TLS file of the peer link is missing") from error
        seen = tuple((state.st_mtime_ns, state.st_ino) for state in states)
        if self._context is None or seen != self._seen:
            self._context = peer_client_context(self._files, self._profile)
            self._seen = seen
        return self._context


@dataclass(frozen=True, slots=True)
class PeerCalls:
    """What every call needs. ``hostname`` is said in EHLO; ``pool`` does what blocks."""

    hostname: str
    context: PeerContext
    routes: Routes
    trust: TrustStore
    peers: Peers
    clock: Callable[[], datetime]
    pool: Executor


class PeerConnection:
    """An open link to the server of one domain. ``open`` it, ``send`` through it, ``close`` it."""

    def __init__(
        self, domain: DomainName, calls: PeerCalls, link: SmtpLink, certificate: CertificateFacts
    ) -> None:
        self._domain = domain
        self._calls = calls
        self._link = link
        self._certificate = certificate

    @property
    def is_open(self) -> bool:
        return self._link.is_open

    @classmethod
    async def open(cls, domain: DomainName, calls: PeerCalls) -> "PeerConnection":
        """Call the domain's servers in order until one answers. Raises LinkEnded with why none may be used."""
        facts = RecipientFacts(domain, is_ours=False, may_relay=True)
        decision = decide_recipient(facts, calls.trust.current, calls.clock())
        if not decision.accepted:
            raise LinkEnded(refused_by_policy(decision.reason))
        loop = asyncio.get_running_loop()
        try:
            # not in the pool, which serves people too: whoever leaves our DNS unanswered holds up no mailbox
            hops = await loop.run_in_executor(None, calls.routes.list_hops, domain)
        except (
            NotFound
        ):  # the signed list knows the domain: the DNS, which proves nothing, does not end the message
            raise LinkEnded(put_off(refused(Cause.NO_SUCH_DOMAIN))) from None
        except Denied:
            raise LinkEnded(put_off(refused(Cause.TAKES_NO_MAIL))) from None
        except Unavailable as error:
            raise LinkEnded(passing(Cause.DNS_SILENT, error.detail)) from None
        try:
            context = await loop.run_in_executor(calls.pool, calls.context.load)
        except Malformed as error:
            raise LinkEnded(passing(Cause.INTERNAL, str(error))) from None
        return await cls._open_first(domain, calls, hops, context)

    @classmethod
    async def _open_first(
        cls, domain: DomainName, calls: PeerCalls, hops: Sequence[NextHop], context: ssl.SSLContext
    ) -> "PeerConnection":
        """RFC 5321 §5.1: the next host is tried when one cannot be reached, and only then.

        One that the DNS led to and that did not prove itself is put off: who forges the DNS ends no message.
        """
        ended = LinkEnded(passing(Cause.NO_ROUTE, NO_ROUTE))
        for hop in hops:
            link = SmtpLink(calls.hostname)
            try:
                certificate = await _secure(link, hop, context, calls)
                connection = cls(domain, calls, link, certificate)
                connection.judge()
            except LinkEnded as error:
                link.close()
                ended = LinkEnded(put_off(error.result)) if hop.is_by_dns else error
                if error.result.cause is not Cause.UNREACHABLE:
                    break
            except BaseException:
                link.close()
                raise
            else:
                return connection
        raise ended

    def judge(self) -> None:
        """Is the peer's certificate listed for the recipient's domain now? Raises LinkEnded when not."""
        now = self._calls.clock()
        decision = decide_next_hop(self._domain, self._certificate.dn, self._calls.trust.current, now)
        if not decision.accepted:
            raise LinkEnded(refused_by_policy(decision.reason))

    async def send(self, outgoing: Outgoing) -> AttemptResult:
        """Hand one message over; what became of it. Raises LinkEnded: the connection is of no more use."""
        self.judge()
        loop = asyncio.get_running_loop()
        order = outgoing.order
        has_utf8_address = not all(each.is_ascii for each in (order.sender, order.recipient) if each)
        try:
            if has_utf8_address and not self._link.has_extension("smtputf8"):
                return refused(Cause.NEEDS_UTF8)
            if order.message_ask.requires_tls and not self._link.has_extension("requiretls"):
                return refused(Cause.NEEDS_REQUIRETLS)  # RFC 8689 §4.2.1
            if not self._link.has_extension("8bitmime") and await loop.run_in_executor(
                self._calls.pool, has_8bit, outgoing
            ):
                return refused(Cause.NEEDS_8BIT)  # RFC 6152 §3: convert or give up, never send as it is
            header = await loop.run_in_executor(self._calls.pool, outgoing.header)
            # a header in UTF-8 says so where the peer understands it; others take it as the 8-bit text it is
            is_utf8 = has_utf8_address or (
                not header.isascii() and self._link.has_extension("smtputf8") and _is_utf8(header)
            )
            asks = (order.message_ask, order.ask)
            mail = Transfer(order.sender, order.recipient, outgoing.size_bytes, is_utf8, *asks)
            return await self._link.transfer(mail, stream_pieces(outgoing, loop, self._calls.pool))
        except Corrupt as error:
            return refused(Cause.STORED_DAMAGED, error.code)
        except Malformed as error:
            return refused(Cause.UNFIT_OCTETS, error.code)

    async def close(self) -> None:
        await self._link.quit()


async def _secure(
    link: SmtpLink, hop: NextHop, context: ssl.SSLContext, calls: PeerCalls
) -> CertificateFacts:
    """Connect and bring the link into TLS with a peer whose certificate may be used at all. Raises LinkEnded."""
    try:
        await _begin_tls(link, hop, context)
    except LinkEnded as ended:
        raise LinkEnded(_of_anybody(ended.result)) from None
    except ssl.SSLError as error:
        raise LinkEnded(judge_handshake(error, calls.clock())) from None
    der = link.find_certificate()
    if der is None:
        raise LinkEnded(refused_by_policy(Reason.NO_CERTIFICATE))
    try:
        certificate = certificate_facts(der)
    except Malformed as error:
        raise LinkEnded(refused_by_policy(Reason.HANDSHAKE_FAILED, error.code)) from None
    standing = await _ask_standing(calls.peers, der, calls.clock())
    facts = PeerFacts(is_tls=True, certificate=certificate, is_called=True, standing=standing)
    decision = calls.peers.decide(facts, calls.clock())
    if not decision.accepted:
        raise LinkEnded(refused_by_policy(decision.reason))
    return certificate


async def _ask_standing(peers: Peers, der: bytes, now: datetime) -> Standing:
    """Whether a certificate was revoked; unknown when nobody says so in time."""
    known = peers.find_standing(der, now)
    if known is not None:
        return known
    asked = peers.begin_check(der, now)
    done, _late = await asyncio.wait([asyncio.wrap_future(asked)], timeout=CHECK_SECONDS)
    return asked.result() if done else Standing.UNKNOWN


async def _begin_tls(link: SmtpLink, hop: NextHop, context: ssl.SSLContext) -> None:
    """Raises LinkEnded, ssl.SSLError."""
    await link.connect(hop)
    if not link.has_extension("starttls"):
        raise LinkEnded(refused_by_policy(Reason.NO_TLS))
    await link.start_tls(context)


def _of_anybody(result: AttemptResult) -> AttemptResult:
    """Whoever answers before TLS may be anybody: their replies end no message, and their words reach no sender."""
    if result.cause is not Cause.PEER_REPLY:
        return result
    return passing(Cause.UNREACHABLE, f"reply {result.reply_code} before TLS")


def judge_handshake(error: ssl.SSLError, now: datetime) -> AttemptResult:
    """What OpenSSL raised → whose refusal it is: ours of the peer's certificate, or the peer's of ours."""
    fault, detail = fault_of(error)
    decision = decide_peer(PeerFacts(is_tls=False, fault=fault, is_called=True), now)
    if decision.reason is not Reason.HANDSHAKE_FAILED:
        return refused_by_policy(decision.reason, detail)
    if isinstance(error, ssl.SSLEOFError) or "ALERT" in (error.reason or ""):
        return passing(Cause.OUR_CERTIFICATE, detail)
    return refused_by_policy(decision.reason, detail)


async def stream_pieces(
    outgoing: Outgoing, loop: asyncio.AbstractEventLoop, pool: Executor
) -> AsyncIterator[bytes]:
    """The message in order, opened piece by piece in the pool. Raises Corrupt when it was altered."""
    for start in range(0, outgoing.size_bytes, PIECE_BYTES):
        stop = min(start + PIECE_BYTES, outgoing.size_bytes)
        yield await loop.run_in_executor(pool, outgoing.read, start, stop)


def has_8bit(outgoing: Outgoing) -> bool:
    """Whether any octet is over 127. Reads the message: pool threads only."""
    size = outgoing.size_bytes
    pieces = (outgoing.read(at, min(at + PIECE_BYTES, size)) for at in range(0, size, PIECE_BYTES))
    return not all(piece.isascii() for piece in pieces)


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True
