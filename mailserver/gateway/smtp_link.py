"""One outgoing SMTP connection, step by step, over aiosmtplib (RFC 5321 §3).

Its own DATA command wants the whole message at once; here it is written in pieces that wait for the transport, so that
memory stays flat. Whatever goes wrong with the link itself ends as LinkEnded with what it means for the attempt.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import cast

from aiosmtplib import SMTP, SMTPAuthenticationError, SMTPException, SMTPResponse, SMTPResponseException

from mailserver.crypto.secret import Secret
from mailserver.gateway.data_encoder import END_OF_DATA, DataEncoder
from mailserver.model.address import Address
from mailserver.model.dsn import (
    NO_MESSAGE_ASK,
    NO_RECIPIENT_ASK,
    MessageAsk,
    RecipientAsk,
    format_notify,
    format_xtext,
)
from mailserver.model.errors import PliError
from mailserver.model.hop import NextHop
from mailserver.service.delivery_reports import AttemptResult, Cause, Fate, answered, passing

CONNECT_SECONDS = 30.0
HANDSHAKE_SECONDS = 60.0
# RFC 5321 §4.5.3.2: the least that a client waits for each step
COMMAND_SECONDS = 300.0
BLOCK_SECONDS = 180.0
END_SECONDS = 600.0
QUIT_SECONDS = 5.0
_START_INPUT = 354


class LinkEnded(Exception):
    """The connection cannot be used; ``result`` says what that means for the attempt."""

    def __init__(self, result: AttemptResult) -> None:
        super().__init__(result.name)
        self.result = result


@dataclass(frozen=True, slots=True)
class Transfer:
    """One mail transaction: to one recipient, so that one refusal concerns nobody else."""

    sender: Address | None
    recipient: Address
    size_bytes: int
    is_utf8: bool
    message_ask: MessageAsk = NO_MESSAGE_ASK
    ask: RecipientAsk = NO_RECIPIENT_ASK


class SmtpLink:
    """Make, ``connect``, use, and always ``close``. One coroutine at a time."""

    def __init__(self, hostname: str) -> None:
        self._smtp = SMTP(local_hostname=hostname, start_tls=False, timeout=COMMAND_SECONDS)

    @property
    def is_open(self) -> bool:
        return self._smtp.is_connected

    async def connect(self, hop: NextHop, tls: ssl.SSLContext | None = None) -> None:
        """Greeting and EHLO, in TLS from the first octet when a context is given (RFC 8314 §3). Raises LinkEnded."""
        with _ending(Cause.UNREACHABLE):
            await self._smtp.connect(
                hostname=hop.host,
                port=hop.port,
                timeout=CONNECT_SECONDS,
                use_tls=tls is not None,
                tls_context=tls,
            )
            await self._smtp.ehlo()

    def has_extension(self, keyword: str) -> bool:
        """Whether the last EHLO named it."""
        return self._smtp.supports_extension(keyword)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """STARTTLS, the handshake and a second EHLO (RFC 3207 §4.2). Raises LinkEnded; ssl.SSLError as OpenSSL gave it.

        A peer that refuses our certificate just closes, in TLS 1.3 after a handshake that we believe done: an end
        before the second EHLO's reply is read that way (S2).
        """
        with _ending(Cause.OUR_CERTIFICATE):
            await self._smtp.starttls(tls_context=context, timeout=HANDSHAKE_SECONDS)
            await self._smtp.ehlo()

    async def login(self, user: str, password: Secret) -> None:
        """AUTH (RFC 4954), after TLS. Raises LinkEnded: a refusal is the operator's to correct, and passes then."""
        with _ending(Cause.LINK_LOST):
            try:
                await self._smtp.login(user, password.reveal().decode())
            except SMTPAuthenticationError as error:
                raise LinkEnded(passing(Cause.LINK_LOST, f"login refused ({error.code})")) from None

    def find_certificate(self) -> bytes | None:
        """The peer's certificate in DER, once the link is in TLS."""
        channel = self._smtp.get_transport_info("ssl_object")
        found: bytes | None = None if channel is None else channel.getpeercert(binary_form=True)
        return found

    async def transfer(self, mail: Transfer, pieces: AsyncIterator[bytes]) -> AttemptResult:
        """Hand one message over; the reply that decided. Raises LinkEnded, and PliError from ``pieces``: the link is
        then closed before the message's end, so that the peer keeps nothing.
        """
        try:
            with _ending(Cause.LINK_LOST):
                return await self._transfer(mail, pieces)
        except (LinkEnded, PliError):
            self.close()
            raise

    async def _transfer(self, mail: Transfer, pieces: AsyncIterator[bytes]) -> AttemptResult:
        encoding = "utf-8" if mail.is_utf8 else "ascii"
        sender = f"FROM:<{mail.sender or ''}>".encode(encoding)
        reply = await self._smtp.execute_command(b"MAIL", sender, *self._options(mail))
        if not _is_done(reply):
            return await self._give_up(reply)
        recipient = f"TO:<{mail.recipient}>".encode(encoding)
        reply = await self._smtp.execute_command(b"RCPT", recipient, *self._recipient_options(mail))
        if not _is_done(reply):
            return await self._give_up(reply)
        reply = await self._smtp.execute_command(b"DATA")
        if reply.code != _START_INPUT:
            return await self._give_up(reply)
        await self._write_message(pieces)
        reply = await self._smtp.execute_command(END_OF_DATA, timeout=END_SECONDS)
        # RFC 3461 §5.2.2: a server that offers DSN reports from here on
        return replace(answered(reply.code, reply.message), is_reported_on=self.has_extension("dsn"))

    def _options(self, mail: Transfer) -> list[bytes]:
        options = []
        if self.has_extension("size"):  # RFC 1870 §6
            options.append(b"SIZE=%d" % mail.size_bytes)
        if self.has_extension("8bitmime"):  # RFC 6152 §3
            options.append(b"BODY=8BITMIME")
        if mail.is_utf8:  # RFC 6531 §3.4
            options.append(b"SMTPUTF8")
        if mail.message_ask.requires_tls:  # RFC 8689 §4.2.1
            options.append(b"REQUIRETLS")
        if self.has_extension("dsn"):  # RFC 3461 §5.2.2: passed on as it was given, never invented
            if mail.message_ask.returned is not None:
                options.append(b"RET=%b" % mail.message_ask.returned.value.encode())
            if mail.message_ask.envelope_id:
                options.append(b"ENVID=%b" % format_xtext(mail.message_ask.envelope_id).encode())
        return options

    def _recipient_options(self, mail: Transfer) -> list[bytes]:
        options: list[bytes] = []
        if not self.has_extension("dsn"):
            return options
        if mail.ask.notify is not None:
            options.append(b"NOTIFY=%b" % format_notify(mail.ask.notify).encode())
        if mail.ask.original:
            options.append(b"ORCPT=rfc822;%b" % format_xtext(mail.ask.original).encode())
        return options

    async def _write_message(self, pieces: AsyncIterator[bytes]) -> None:
        encoder = DataEncoder()
        async for piece in pieces:
            await self._write(encoder.update(piece))
        await self._write(encoder.finish())

    async def _write(self, octets: bytes) -> None:
        protocol = self._smtp.protocol
        if protocol is None:
            raise ConnectionResetError
        protocol.write(octets)
        # no public drain; the version is pinned and a test watches this name
        await asyncio.wait_for(protocol._drain_helper(), BLOCK_SECONDS)  # noqa: SLF001 # as above

    async def _give_up(self, reply: SMTPResponse) -> AttemptResult:
        """A transaction refused half-way: the link is made ready for another, or closed."""
        result = answered(reply.code, reply.message)
        if result.fate is Fate.DELIVERED or not self.is_open:
            # a reply of success that makes no sense here is not believed
            self.close()
            return passing(Cause.LINK_LOST) if result.fate is Fate.DELIVERED else result
        try:
            await self._smtp.rset()
        except (SMTPException, OSError):
            self.close()
        return result

    async def quit(self) -> None:
        """Say goodbye when the peer still listens, then close."""
        transport = self._smtp.transport
        if self.is_open:
            with contextlib.suppress(SMTPException, OSError):
                await self._smtp.quit(timeout=QUIT_SECONDS)
        self._drop(transport)

    def close(self) -> None:
        self._drop(self._smtp.transport)

    def _drop(self, transport: asyncio.BaseTransport | None) -> None:
        """Now: no peer holds the socket longer by leaving TLS's goodbye unanswered. Ours is said."""
        self._smtp.close()
        if transport is not None:
            cast("asyncio.WriteTransport", transport).abort()  # uvloop's own classes do not derive from it


def _is_done(reply: SMTPResponse) -> bool:
    return 200 <= reply.code < 300


@contextlib.contextmanager
def _ending(cause: Cause) -> Iterator[None]:
    """What aiosmtplib raises → LinkEnded. A reply keeps its code; a lost or silent link gets ``cause``."""
    try:
        yield
    except SMTPResponseException as error:
        raise LinkEnded(_of_reply(error) if error.code > 0 else passing(Cause.LINK_LOST)) from None
    except ssl.SSLError as error:
        if cause is Cause.OUR_CERTIFICATE:
            raise  # the handshake's own error: who refused whom is the caller's to judge
        raise LinkEnded(passing(cause)) from error
    except TimeoutError:
        silent = Cause.LINK_LOST if cause is Cause.LINK_LOST else Cause.UNREACHABLE
        raise LinkEnded(passing(silent, "no answer in time")) from None
    except (SMTPException, OSError) as error:
        raise LinkEnded(passing(cause, _tls_trouble(error))) from None


def _tls_trouble(error: BaseException) -> str:
    """OpenSSL's own words on a certificate, when that is what a failed connection hides; empty otherwise."""
    inner = error.__cause__
    return inner.verify_message if isinstance(inner, ssl.SSLCertVerificationError) else ""


def _of_reply(error: SMTPResponseException) -> AttemptResult:
    result = answered(error.code, error.message)
    return passing(Cause.LINK_LOST) if result.fate is Fate.DELIVERED else result
