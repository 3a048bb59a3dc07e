"""The one module that knows aiosmtpd: its SMTP class gives the protocol object, its streams and its timer.

Its command loop, its commands and its replies are not used: they take LF for a line end, keep bare octets, hold a whole
message in memory, log commands and send an exception's text to the peer (S1). Ours reads lines and DATA in bulk from
the reader and asks ``Conversation`` for each answer. tests/unit/smtp watch the private names used here.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol, cast

from aiosmtpd.smtp import SMTP

from mailserver.service.wakeups import Waiter
from mailserver.smtp import replies
from mailserver.smtp.answers import Answer, Next
from mailserver.smtp.conversation import Conversation, Setting
from mailserver.smtp.data import Read
from mailserver.smtp.desks import Desk
from mailserver.smtp.framing import LineFramer
from mailserver.smtp.journal import Journal
from mailserver.smtp.link import Link, Role, Timing, tls_words
from mailserver.smtp.replies import refuse_form
from mailserver.tls.failures import HandshakeFailures

VERSION = "1.4.6"
"""Of aiosmtpd: what this module was read against."""
READ_BYTES = 256 * 1024
BUFFER_BYTES = 64 * 1024
"""Twice this unread, and reading pauses."""
WRITE_BYTES = 64 * 1024
COMMANDS_IN_A_TURN = 32
"""So many that came together, and the event loop looks after the others."""


class Guests(Protocol):
    """Who is connected: the server's register."""

    def may_enter(self, peer: str) -> bool: ...

    def enter(self, engine: "Engine") -> None: ...

    def leave(self, engine: "Engine") -> None: ...


@dataclass(frozen=True, slots=True)
class Port:
    """What every connection of one listening port shares. ``starttls`` gives the context where it begins in the clear."""

    role: Role
    setting: Setting
    timing: Timing
    guests: Guests
    failures: HandshakeFailures
    starttls: Callable[[], ssl.SSLContext] | None
    make_desk: Callable[[], Desk]


def quiet_library() -> None:
    """The library logs each command, so each address, at INFO: never."""
    logging.getLogger("mail.log").setLevel(logging.WARNING)


class _Nameless:
    """What the library makes its tables of commands and hooks from, for each connection anew: they stay empty, and a
    connection is made in a fifth of the time. None of them is ever reached (S1).
    """

    def __dir__(self) -> list[str]:
        return []


class Engine(_Nameless, SMTP):
    """One connection. It ends by itself when the peer leaves: its task is never cancelled while a thread works for it."""

    line_length_limit = BUFFER_BYTES  # the library's name for its reader's limit

    def __init__(self, port: Port, loop: asyncio.AbstractEventLoop) -> None:
        hostname = port.setting.services.hostname
        super().__init__(
            _Nameless(), hostname=hostname, ident="Pli", timeout=port.timing.command_seconds, loop=loop
        )
        self._port = port
        self._framer = LineFramer()
        self._talk: Conversation | None = None
        self._wire: asyncio.Transport | None = None
        self._waiter: Waiter | None = None
        self._is_stopping = False
        self._is_waiting = False
        """For a command: nothing of the peer is in our hands."""
        self._is_in_data = False
        self._unsent = b""
        """Replies to pipelined commands that wait for the last one's."""
        self._is_clogged = False
        self._is_ending = False
        self._is_done = False
        self.peer = ""

    # --- the library's calls ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or say why not. TLS of 465 is up already."""
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if isinstance(name, tuple) else ""
        wire = cast("asyncio.Transport", transport)  # uvloop's own classes do not derive from it
        if not self._port.guests.may_enter(self.peer):
            refusal = refuse_form("too-many-connections")
            Journal(self._port.role, self.peer).refused(refusal)
            self._is_ending = True
            self._stream_reader_wr = None
            wire.write(refusal.octets(self._port.setting.services.first_language))
            wire.close()
            return
        wire.set_write_buffer_limits(high=WRITE_BYTES)
        self._wire = wire
        link = self._link_over(wire)
        self._talk = Conversation(self._port.setting, self._port.make_desk(), link, self._wait_for_revocation)
        self._port.guests.enter(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Let the task see the end of the stream (the library would cancel it, under a thread's hands)."""
        self._is_ending = True
        self._stop_timer()
        asyncio.StreamReaderProtocol.connection_lost(self, error)
        self.transport = self._wire = None
        self._leave()

    def pause_writing(self) -> None:
        """The peer has not read what it was sent."""
        super().pause_writing()
        self._is_clogged = True

    def resume_writing(self) -> None:
        super().resume_writing()
        self._is_clogged = False

    def eof_received(self) -> bool:
        """What came before the end is still answered, unless TLS closes both ways at once."""
        return bool(asyncio.StreamReaderProtocol.eof_received(self))

    async def handle_exception(self, error: Exception) -> str:
        """Ours alone: the library's would send the exception's text."""
        assert self._talk is not None
        return self._talk.refuse_incident(error).octets.decode("ascii")

    def _timeout_cb(self) -> None:
        if not self._is_waiting and not self._is_in_data:
            self.abort()  # it does not read our reply
            return
        self._end_with("too-late")

    async def _handle_client(self) -> None:
        assert self._talk is not None
        try:
            await self._converse(self._talk)
        except (ConnectionError, TimeoutError, ssl.SSLError):
            pass  # the peer left, or was sent away
        except Exception as error:  # noqa: BLE001 # the peer gets a fixed text, the operator an incident
            self._send_last((await self.handle_exception(error)).encode("ascii"))
        finally:
            self._talk.close()
            self._is_ending = self._is_done = True
            if self._wire is not None:
                self._wire.close()
            self._leave()

    # --- the loop -----------------------------------------------------------------------------------------------

    async def _converse(self, talk: Conversation) -> None:
        await self._send(replies.format_greeting(self._port.setting.services.hostname))
        answered = 0
        while not self._is_ending:
            line = self._framer.next_line()
            if line is None:
                self._framer.feed(await self._read_command())
                continue
            answer = await talk.answer(line)
            await self._perform(talk, answer)
            answered += 1
            if answered % COMMANDS_IN_A_TURN == 0:
                await asyncio.sleep(0)
            if self._is_stopping:
                self._end_with("stopping")

    async def _perform(self, talk: Conversation, answer: Answer) -> None:
        match answer.next:
            case Next.LINE:
                await self._send(answer.octets, may_wait=True)
            case Next.CLOSE:
                self._send_last(answer.octets)
            case Next.START_TLS:
                await self._start_tls(talk, answer)
            case Next.DATA:
                await self._send(answer.octets)
                await self._take_octets(talk, talk.take_data)
            case Next.CHUNK:
                assert answer.chunk is not None
                await self._send(b"")  # the peer may wait for what stands before the chunk
                await self._take_octets(talk, partial(talk.take_chunk, answer.chunk))

    async def _take_octets(
        self, talk: Conversation, take: Callable[[bytes, Read], Awaitable[tuple[Answer, bytes]]]
    ) -> None:
        started = self.loop.time()

        async def read(total: int) -> bytes:
            """S4: a minute at any rate, then the least rate on average."""
            timing = self._port.timing
            allowed = max(timing.data_seconds, total / timing.least_rate)
            return await self._read(started + allowed - self.loop.time())

        self._is_in_data = True
        try:
            answer, rest = await take(self._framer.take_rest(), read)
        finally:
            self._is_in_data = False
        self._framer.feed(rest)
        await self._perform(talk, answer)

    async def _send(self, octets: bytes, *, may_wait: bool = False) -> None:
        """A whole reply; waits while the peer does not read. Raises ConnectionError once the end is said.

        ``may_wait``: it leaves with the next one, when the command for that has come already (RFC 2920 §3.2).
        """
        if self._is_ending:
            raise ConnectionResetError
        self._unsent += octets
        if may_wait and self._framer.has_line and len(self._unsent) < WRITE_BYTES:
            return
        octets, self._unsent = self._unsent, b""
        if self._wire is None:
            raise ConnectionResetError
        self._wire.write(octets)
        if self._is_clogged:
            self._reset_timeout()
            await self._writer.drain()
            self._stop_timer()

    async def _read_command(self) -> bytes:
        self._is_waiting = True
        try:
            return await self._read(self._port.timing.command_seconds)
        finally:
            self._is_waiting = False

    async def _read(self, seconds: float) -> bytes:
        """The next octets. Raises ConnectionError at the end of the stream."""
        self._reset_timeout(max(seconds, 0.001))
        octets: bytes = await self._reader.read(READ_BYTES)
        self._stop_timer()
        if not octets or self._is_ending:
            raise ConnectionResetError
        return octets

    def _stop_timer(self) -> None:
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()

    # --- TLS ----------------------------------------------------------------------------------------------------

    async def _start_tls(self, talk: Conversation, answer: Answer) -> None:
        """RFC 3207 §4: 220, then the handshake. Octets sent before it could be an attacker's: the connection ends."""
        raw, port = self._wire, self._port
        if raw is None or port.starttls is None:
            raise ConnectionResetError
        if self._framer.has_octets or self._has_unread():
            self._send_last(talk.refuse_form("tls-injection").octets)
            return
        raw.write(self._unsent + answer.octets)
        self._unsent = b""
        try:
            secured = await self.loop.start_tls(
                raw,
                self,
                port.starttls(),
                server_side=True,
                ssl_handshake_timeout=port.timing.handshake_seconds,
                ssl_shutdown_timeout=port.timing.shutdown_seconds,
            )
        except (OSError, ssl.SSLError) as error:
            talk.journal.handshake_failed(port.failures.add_failure(self.peer, error, datetime.now(UTC)))
            raw.abort()
            self.connection_lost(None)  # not every loop tells of the end of a handshake
            raise ConnectionResetError from None
        if secured is None:
            raise ConnectionResetError
        port.failures.remove_failure(self.peer)
        self._adopt(secured)
        talk.secured(self._link_over(secured))

    def _adopt(self, secured: asyncio.Transport) -> None:
        """Put the TLS transport below the library's streams."""
        secured.set_write_buffer_limits(high=WRITE_BYTES)
        self.transport = self._transport = self._wire = secured
        # the library does the same; typeshed does not know these two names, a test watches them
        for stream in (self._reader, self._writer):
            stream._transport = secured  # type: ignore[union-attr] # noqa: SLF001 # as above
        self._over_ssl = True

    def _has_unread(self) -> bool:
        """Octets that the reader holds: there is no public way to know."""
        return bool(self._reader._buffer)  # type: ignore[attr-defined] # noqa: SLF001 # as above

    def _link_over(self, transport: asyncio.Transport) -> Link:
        channel = transport.get_extra_info("ssl_object")
        if channel is None:
            return Link(self._port.role, self.peer)
        words = tls_words(channel.version(), channel.cipher())
        return Link(self._port.role, self.peer, words, channel.getpeercert(binary_form=True))

    # --- ends ---------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """421 now, or after the command or the message that is in our hands (R14)."""
        self._is_stopping = True
        if self._is_waiting:
            self._end_with("stopping")

    def cut(self) -> None:
        """The grace is over: 421 to a message that still comes in."""
        self._end_with("stopping")

    def abort(self) -> None:
        """Close now."""
        self._is_ending = True
        if self._wire is not None:
            self._wire.abort()

    def _end_with(self, word: str) -> None:
        if self._talk is not None and not self._is_ending:
            self._send_last(self._talk.refuse_form(word).octets)

    def _send_last(self, octets: bytes) -> None:
        self._is_ending = True
        if self._wire is not None:
            self._wire.write(self._unsent + octets)
            self._unsent = b""
            self._wire.close()

    def _wait_for_revocation(self) -> None:
        """A deleted secret or a disabled account ends what it opened (K4)."""
        account = None if self._talk is None else self._talk.account
        if account is None:
            return
        self._waiter = Waiter(
            account.account_id, account.revocation, lambda: None, lambda: self._end_with("withdrawn")
        )
        self._port.setting.services.wakeups.add(self._waiter)

    def _leave(self) -> None:
        """Once the socket is gone and no thread works for it any more."""
        if not self._is_done or self._wire is not None:
            return
        if self._waiter is not None:
            self._port.setting.services.wakeups.remove(self._waiter)
            self._waiter = None
        self._port.guests.leave(self)
