"""The order of a conversation: each framing event has its step, each command its verdict, its verb and its answer.

After a verb, and before its tagged answer, the client is told what others did to its mailbox (RFC 9051 §5.2), but no
EXPUNGE while message numbers are in use (§7.5.1).
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol, assert_never

from mailserver.imap import commands as c
from mailserver.imap import framing as f
from mailserver.imap.append import AppendJob
from mailserver.imap.dispatch import run_command
from mailserver.imap.encode import Status as Word
from mailserver.imap.encode import code_number, format_continuation, format_tagged, format_untagged
from mailserver.imap.framing import Framer, limits_after_login
from mailserver.imap.news import look
from mailserver.imap.parse import BadCommand, is_done, parse_command, parse_sasl_response
from mailserver.imap.replies import (
    TOO_BIG,
    reply_to_bad_command,
    reply_to_error,
    reply_to_verdict,
)
from mailserver.imap.session import Reply, Session, done
from mailserver.imap.states import Feature, State, decide_command, holds_expunges, state_after
from mailserver.imap.verbs_notify import tell_notified
from mailserver.model.errors import Corrupt, Malformed, NotFound, PliError, Unavailable
from mailserver.store.blob_folder import ROW_BYTES_LIMIT

LOG = logging.getLogger("pli.imap")
BAD_BEFORE_LOGIN = 3
"""S3."""


class Line(Protocol):
    """What the conversation may do to the connection beyond a verb's Wire."""

    def close(self) -> None: ...
    async def start_tls(self) -> None: ...
    def wait_for_news(self) -> None: ...


class Conversation:
    """Steps through one connection's events. Not reentrant: the connection runs one step at a time."""

    def __init__(self, session: Session, framer: Framer, line: Line, clock: Callable[[], float]) -> None:
        self.append: AppendJob | None = None
        self._session = session
        self._framer = framer
        self._line = line
        self._clock = clock
        self._idle_tag = ""
        self._sasl: tuple[str, c.Authenticate] | None = None
        self._bad_count = 0

    @property
    def awaits_news(self) -> bool:
        """Whether news are told without a command: during IDLE, and to a client that asked by NOTIFY."""
        return bool(self._idle_tag) or self._session.notifier is not None

    async def step(self) -> bool:
        """Handle the next event, or the news that an idling client waits for; False: nothing to do."""
        event = self._framer.next_event()
        if event is not None:
            await self._handle(event)
            await self._session.wire.drain()
            return True
        if self._session.has_news and self.awaits_news:
            await self._tell_waiting()
            return True
        return False

    def close(self) -> None:
        """The connection is over: an unfinished APPEND vanishes."""
        job, self.append = self.append, None
        if job is not None:
            job.close()

    async def _handle(self, event: f.Event) -> None:
        match event:
            case f.CommandReceived(raw):
                await self._take_command(raw)
            case f.NeedContinuation():
                self._session.wire.send(format_continuation("OK"))
            case f.LineReceived(line):
                await self._take_line(line)
            case f.MessageAnnounced() | f.LiteralChunk() | f.LiteralEnd() | f.AppendEnd():
                await self._take_message(event)
            case f.LiteralTooBig(tag, _size, is_message):
                self._refuse(tag, TOO_BIG if is_message else Reply(Word.BAD, "Literal too long"))
            case f.BadLine(tag):
                awaiting = self._sasl[0] if self._sasl is not None else self._idle_tag
                self._sasl, self._idle_tag = None, ""  # the line that was awaited will not come
                self._refuse(tag or awaiting or None, Reply(Word.BAD, "Lines end in CRLF"))
            case f.Fatal(code, tag):
                reason = code.replace("_", " ").capitalize()
                if tag is not None:
                    self._answer(tag, Reply(Word.BAD, reason))
                self._bye(reason)
            case _:
                assert_never(event)

    # --- commands ---------------------------------------------------------------------------------------------

    async def _take_command(self, raw: f.RawCommand) -> None:
        try:
            tag, command = parse_command(raw, is_utf8=self._session.is_utf8)
        except BadCommand as error:
            self._refuse(error.tag, reply_to_bad_command(error))
            return
        verdict = decide_command(self._session.state, command)
        if not verdict.is_allowed:
            self._refuse(tag, reply_to_verdict(verdict))
            return
        match command:
            case c.StartTls():
                await self._start_tls(tag)
            case c.Logout():
                self._session.wire.send(format_untagged(Word.BYE, "Goodbye"))
                await self._conclude(tag, command, done("LOGOUT"))
                self._line.close()
            case c.Idle():
                self._begin_idle(tag)
            case c.Authenticate():
                await self._authenticate(tag, command)
            case _:
                await self._conclude(tag, command, await _reply_of(run_command(self._session, command)))

    async def _start_tls(self, tag: str) -> None:
        """Octets that came with the command were sent in the clear by anyone: close (S2)."""
        if self._framer.has_buffered:
            raise ConnectionAbortedError
        await self._conclude(tag, c.StartTls(), Reply(Word.OK, "Begin TLS now"))
        await self._line.start_tls()

    async def _conclude(self, tag: str, command: c.Command, reply: Reply) -> None:
        """The state after a command, what others did meanwhile, and the tagged answer."""
        session = self._session
        session.state = state_after(session.state, command, is_done=reply.is_done)
        if session.state is State.SELECTED and session.selected is None:
            session.state = State.AUTHENTICATED  # its mailbox was deleted
        if isinstance(command, c.Login | c.Authenticate) and reply.is_done:
            self._framer.limits = limits_after_login(session.services.limit_bytes)
            self._line.wait_for_news()
        if session.selected is not None:
            await self._tell(command)
            if isinstance(command, c.Expunge) and reply.is_done and Feature.QRESYNC in session.enabled:
                # RFC 7162 §3.2.7: all that left has just been told
                reply = replace(reply, code=code_number("HIGHESTMODSEQ", session.open_mailbox().modseq))
        self._answer(tag, reply)

    async def _tell(self, command: c.Command) -> None:
        session, hold = self._session, holds_expunges(command)
        waits = bool(session.open_mailbox().view.vanished) and not hold
        if not (session.has_news or session.has_untold or waits):
            return
        session.has_untold = False
        has_more = session.has_news and session.notifier is not None and session.notifier.watches_others
        is_uid = isinstance(command, c.Fetch | c.Store | c.Search | c.Copy | c.Move) and command.uid
        await self._look(hold_expunges=hold, with_uid=is_uid)
        session.has_news |= has_more  # of other mailboxes: told once the command is answered

    async def _look(self, *, hold_expunges: bool, with_uid: bool = False) -> None:
        await self._tell_safely(look(self._session, hold_expunges=hold_expunges, with_uid=with_uid))

    async def _tell_safely(self, telling: Awaitable[None]) -> None:
        try:
            await telling
        except NotFound:
            self._bye("The mailbox was deleted")
            raise ConnectionResetError from None
        except PliError:
            return  # the answer to the command stands; the next look tells what this one could not

    # --- IDLE and AUTHENTICATE: one line of the client is an answer ---------------------------------------------

    def _begin_idle(self, tag: str) -> None:
        """RFC 2177 §3: what is new already is told at once."""
        self._framer.expect_line()
        self._idle_tag = tag
        self._session.has_news = self._session.selected is not None
        self._session.wire.send(format_continuation("idling"))

    async def _tell_waiting(self) -> None:
        session = self._session
        if session.notifier is not None:
            await self._tell_safely(tell_notified(session, is_idling=bool(self._idle_tag)))
        elif session.selected is None:
            session.has_news = False
        else:
            await self._look(hold_expunges=False)

    async def _authenticate(self, tag: str, command: c.Authenticate) -> None:
        if command.mechanism != "PLAIN":
            self._refuse(tag, Reply(Word.NO, "Use AUTHENTICATE PLAIN or LOGIN"))
        elif command.initial is None:
            self._sasl = (tag, command)
            self._framer.expect_line()
            self._session.wire.send(format_continuation())
        else:
            await self._conclude(tag, command, await _reply_of(run_command(self._session, command)))

    async def _take_line(self, line: bytes) -> None:
        if self._sasl is not None:
            (tag, command), self._sasl = self._sasl, None
            try:
                response = parse_sasl_response(line)
            except Malformed:
                response = None
            if response is None:
                self._refuse(tag, Reply(Word.BAD, "AUTHENTICATE cancelled"))
                return
            await self._authenticate(tag, c.Authenticate(command.mechanism, response))
            return
        tag, self._idle_tag = self._idle_tag, ""
        reply = done("IDLE") if is_done(line) else Reply(Word.BAD, "Expected DONE")
        await self._conclude(tag, c.Idle(), reply)

    # --- APPEND -----------------------------------------------------------------------------------------------

    async def _take_message(
        self, event: f.MessageAnnounced | f.LiteralChunk | f.LiteralEnd | f.AppendEnd
    ) -> None:
        job = self.append
        match event:
            case f.MessageAnnounced():
                await self._begin_append(event)
            case f.LiteralChunk(octets) if job is not None:
                refusal = await _refusal_of(job.take(octets))
                if refusal is not None:
                    self._drop_append(job, refusal)
            case f.AppendEnd(tail) if job is not None:
                self.append = None
                try:
                    reply = await _reply_of(job.finish()) if not tail else Reply(Word.BAD, "Trailing octets")
                finally:
                    job.close()
                await self._conclude(job.tag, job.command, reply)
            case _:
                pass  # octets of an APPEND that was refused

    async def _begin_append(self, event: f.MessageAnnounced) -> None:
        """Judge an APPEND before its message is taken (RFC 9051 §6.3.12)."""
        if event.is_next:
            if self.append is not None:
                self._drop_append(self.append, Reply(Word.BAD, "One message at a time"))
            return
        try:
            tag, command = parse_command(event.command, is_utf8=self._session.is_utf8)
        except BadCommand as error:
            self._framer.refuse()
            self._refuse(error.tag, reply_to_bad_command(error))
            return
        verdict = decide_command(self._session.state, command)
        if not verdict.is_allowed or not isinstance(command, c.Append):
            self._framer.refuse()
            self._refuse(tag, reply_to_verdict(verdict))
            return
        job = self.append = AppendJob(self._session, tag, command, self._clock())
        if event.is_waiting or event.size_bytes > ROW_BYTES_LIMIT:
            refusal = await _refusal_of(job.check())
            if refusal is not None:
                self._drop_append(job, refusal)
                return
        if event.is_waiting:
            self._session.wire.send(format_continuation("OK"))

    def _drop_append(self, job: AppendJob, reply: Reply) -> None:
        """Answer now; octets of the message that still come are dropped by the framer."""
        self._framer.refuse()
        self.append = None
        job.close()
        self._answer(job.tag, reply)

    # --- answers ----------------------------------------------------------------------------------------------

    def _answer(self, tag: str, reply: Reply) -> None:
        self._session.wire.send(format_tagged(tag, reply.status, reply.text, reply.code))

    def _refuse(self, tag: str | None, reply: Reply) -> None:
        """A command that did not run. Before login the third BAD closes (S3)."""
        if tag is None:
            self._session.wire.send(format_untagged(Word.BAD, reply.text))
        else:
            self._answer(tag, reply)
        if self._session.account is None and reply.status is Word.BAD:
            self._bad_count += 1
            if self._bad_count >= BAD_BEFORE_LOGIN:
                self._bye("Too many bad commands")

    def _bye(self, text: str) -> None:
        self._session.wire.send(format_untagged(Word.BYE, text))
        self._line.close()


async def _reply_of(verb: Awaitable[Reply]) -> Reply:
    """A verb's answer; an expected failure is one too."""
    try:
        return await verb
    except PliError as error:
        return _reply_to(error)


async def _refusal_of(check: Awaitable[Reply | None]) -> Reply | None:
    try:
        return await check
    except PliError as error:
        return _reply_to(error)


def _reply_to(error: PliError) -> Reply:
    """The operator hears of a failing store or an altered message; of a client's mistakes nobody does."""
    if isinstance(error, Unavailable | Corrupt):
        LOG.error("command failed", exc_info=error, extra={"code": error.code})
    return reply_to_error(error)
