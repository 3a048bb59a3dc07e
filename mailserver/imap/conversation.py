"""The order of a conversation: each framing event has its step, each command its verdict, its verb and its answer.

After a verb, and before its tagged answer, the client is told what others did to its mailbox (RFC 9051 §5.2), but no
EXPUNGE while message numbers are in use (§7.5.1).
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol, assert_never

from mailserver.imap import commands as c
from mailserver.imap import framing as f
from mailserver.imap.dispatch import run_command
from mailserver.imap.encode import Status as Word
from mailserver.imap.encode import (
    code_capability,
    code_number,
    format_continuation,
    format_tagged,
    format_untagged,
)
from mailserver.imap.framing import BEFORE_LOGIN, Framer, limits_after_login
from mailserver.imap.news import look, tell_access
from mailserver.imap.parse import BadCommand, is_done, parse_command, parse_sasl_response
from mailserver.imap.replies import (
    BYE_LOST,
    TOKEN_REFUSED,
    TOO_BIG,
    reply_to_bad_command,
    reply_to_failure,
    reply_to_verdict,
)
from mailserver.imap.session import Reply, Session, done
from mailserver.imap.states import Feature, State, decide_command, holds_expunges, state_after
from mailserver.imap.uploading import Outcome, Uploads
from mailserver.imap.verbs_notify import learn_own_doing, tell_notified
from mailserver.imap.verbs_session import mechanisms_of, refusal_challenge
from mailserver.model.errors import Malformed, NotFound, PliError, Unavailable

BAD_BEFORE_LOGIN = 3
"""S3."""
_FATAL_CODES = {"message_too_big": b"TOOBIG"}
"""RFC 7888 §4: a message that is pushed and too big closes the connection, and says why."""

_BY_UID = c.Fetch | c.Store | c.Search | c.Sort | c.Thread | c.Copy | c.Move | c.Replace


class Line(Protocol):
    """What the conversation may do to the connection beyond a verb's Wire."""

    def close(self) -> None: ...
    async def start_tls(self) -> None: ...
    def wait_for_news(self) -> None: ...
    def forget_login(self) -> None: ...


class Conversation:
    """Steps through one connection's events. Not reentrant: the connection runs one step at a time."""

    def __init__(self, session: Session, framer: Framer, line: Line, clock: Callable[[], float]) -> None:
        self.uploads = Uploads(session, framer, clock)
        self._session = session
        self._framer = framer
        self._line = line
        self._idle_tag = ""
        self._sasl: tuple[str, c.Authenticate] | None = None
        self._sasl_refusal: Reply | None = None
        """What a token's client is told once it has read why (RFC 7628 §3.2.3)."""
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
        """The connection is over: an unfinished upload vanishes."""
        self.uploads.drop()

    async def _handle(self, event: f.Event) -> None:
        match event:
            case f.CommandReceived(raw):
                await self._take_command(raw)
            case f.NeedContinuation():
                self._session.wire.send(format_continuation("OK"))
            case f.LineReceived(line):
                await self._take_line(line)
            case f.MessageAnnounced() | f.LiteralChunk() | f.LiteralEnd() | f.AppendEnd():
                await self._settle(await self.uploads.take(event))
            case f.LiteralTooBig(tag, _size, is_message):
                refusal = TOO_BIG if is_message else Reply(Word.BAD, "Literal too long")
                self._refuse(tag or self.uploads.drop(), refusal)
            case f.BadLine(tag):
                self._refuse(tag or self._forget_awaited(), Reply(Word.BAD, "Lines end in CRLF"))
            case f.Fatal(code, tag):
                reason = code.replace("_", " ").capitalize()
                tag = tag or self.uploads.drop()
                if tag is not None:
                    self._answer(tag, Reply(Word.BAD, reason, _FATAL_CODES.get(code, b"")))
                self._bye(reason)
            case _:
                assert_never(event)

    def _forget_awaited(self) -> str | None:
        """The line or the octets that a command waits for will not come: the tag of that command."""
        tag = self._sasl[0] if self._sasl is not None else self._idle_tag
        self._sasl, self._sasl_refusal, self._idle_tag = None, None, ""
        return tag or self.uploads.drop()

    async def _settle(self, outcome: Outcome | None) -> None:
        """Answer an upload that is over."""
        if outcome is None:
            return
        if outcome.command is not None and outcome.tag is not None:
            await self._conclude(outcome.tag, outcome.command, outcome.reply)
        else:
            self._refuse(outcome.tag, outcome.reply)

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
        self._session.tag = tag
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
            case c.Unauthenticate():
                await self._unauthenticate(tag)
            case c.Append() | c.Replace():
                await self._settle(await self.uploads.run(tag, command))
            case _:
                refusal = await self._keep_access()
                if refusal is not None:
                    self._refuse(tag, refusal)
                    return
                reply = await _reply_of(run_command(self._session, command))
                if reply.is_done:
                    await self._tell_safely(learn_own_doing(self._session, command))
                await self._conclude(tag, command, reply)

    async def _keep_access(self) -> Reply | None:
        """Whether the selected mailbox of a shared box may still be read; the connection ends when it may not."""
        try:
            await tell_access(self._session)
        except Unavailable as error:
            return reply_to_failure(error)
        except PliError:
            self._bye(self._said(BYE_LOST))
            raise ConnectionResetError from None
        return None

    async def _start_tls(self, tag: str) -> None:
        """Octets that came with the command were sent in the clear by anyone: close (S2)."""
        if self._framer.has_buffered:
            raise ConnectionAbortedError
        await self._conclude(tag, c.StartTls(), Reply(Word.OK, "Begin TLS now"))
        await self._line.start_tls()

    async def _unauthenticate(self, tag: str) -> None:
        """Never NO, since a login may have been sent along (RFC 8437 §3); nothing is told of what was selected."""
        self._line.forget_login()
        self._session.forget_login()
        self._framer.limits = BEFORE_LOGIN
        code = code_capability(self._session.capabilities())
        await self._conclude(tag, c.Unauthenticate(), done("UNAUTHENTICATE", code))

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
            if reply.is_done and Feature.QRESYNC in session.enabled:
                reply = self._with_modseq(command, reply)
        self._answer(tag, reply)

    def _with_modseq(self, command: c.Command, reply: Reply) -> Reply:
        """How much a client with QRESYNC now knows. After EXPUNGE that is all (RFC 7162 §3.2.7); while an expunge is held,
        less than the MODSEQs that it sees, or a lost connection would lose the expunge (RFC 7162 §3.2).
        """
        selected = self._session.open_mailbox()
        if not (isinstance(command, c.Expunge) or selected.view.vanished):
            return reply
        code = code_number("HIGHESTMODSEQ", selected.told_modseq)
        if not reply.code:
            return replace(reply, code=code)
        self._session.wire.send(format_untagged(Word.OK, "Changes told so far", code))
        return reply

    async def _tell(self, command: c.Command) -> None:
        session, hold = self._session, holds_expunges(command)
        waits = bool(session.open_mailbox().view.vanished) and not hold
        if not (session.has_news or session.has_untold or waits):
            return
        session.has_untold = False
        has_more = session.has_news and session.notifier is not None and session.notifier.watches_others
        is_uid = isinstance(command, _BY_UID) and command.uid
        is_uid |= isinstance(command, c.Idle) or session.notifier is not None  # RFC 5465 §5.1
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
        self._session.has_news |= self._session.selected is not None
        self._session.wire.send(format_continuation("idling"))

    async def _tell_waiting(self) -> None:
        session = self._session
        if await self._keep_access() is not None:
            session.has_news = False
        elif session.notifier is not None:
            await self._tell_safely(tell_notified(session, is_idling=bool(self._idle_tag)))
        elif session.selected is None:
            session.has_news = False
        else:
            await self._look(hold_expunges=False, with_uid=True)  # RFC 9051 §6.3.13

    async def _authenticate(self, tag: str, command: c.Authenticate) -> None:
        if command.mechanism not in mechanisms_of(self._session):
            self._refuse(tag, Reply(Word.NO, "Use AUTHENTICATE PLAIN or LOGIN"))
            return
        if command.initial is None:
            self._await_response(tag, command)
            return
        reply = await _reply_of(run_command(self._session, command))
        if reply is not TOKEN_REFUSED:
            await self._conclude(tag, command, reply)
            return
        self._sasl_refusal = reply
        self._await_response(tag, command, refusal_challenge(self._session, command))

    def _await_response(self, tag: str, command: c.Authenticate, challenge: str = "") -> None:
        self._sasl = (tag, command)
        self._framer.expect_line()
        self._session.wire.send(format_continuation(challenge))

    async def _take_line(self, line: bytes) -> None:
        if self._sasl is not None:
            (tag, command), self._sasl = self._sasl, None
            refusal, self._sasl_refusal = self._sasl_refusal, None
            try:
                response = parse_sasl_response(line)
            except Malformed:
                response = None
            if response is None:
                self._refuse(tag, Reply(Word.BAD, "AUTHENTICATE cancelled"))
            elif refusal is not None:
                await self._conclude(tag, command, refusal)
            else:
                await self._authenticate(tag, c.Authenticate(command.mechanism, response))
            return
        tag, self._idle_tag = self._idle_tag, ""
        reply = done("IDLE") if is_done(line) else Reply(Word.BAD, "Expected DONE")
        await self._conclude(tag, c.Idle(), reply)

    # --- answers ----------------------------------------------------------------------------------------------

    def _answer(self, tag: str, reply: Reply) -> None:
        self._session.wire.send(format_tagged(tag, reply.status, self._said(reply), reply.code))

    def _refuse(self, tag: str | None, reply: Reply) -> None:
        """A command that did not run. Before login the third BAD closes (S3)."""
        if tag is None:
            self._session.wire.send(format_untagged(Word.BAD, self._said(reply)))
        else:
            self._answer(tag, reply)
        if self._session.account is None and reply.status is Word.BAD:
            self._bad_count += 1
            if self._bad_count >= BAD_BEFORE_LOGIN:
                self._bye("Too many bad commands")

    def _said(self, reply: Reply) -> str:
        return reply.words(self._session.services.first_language)

    def _bye(self, text: str) -> None:
        self._session.wire.send(format_untagged(Word.BYE, text))
        self._line.close()


async def _reply_of(verb: Awaitable[Reply]) -> Reply:
    """A verb's answer; an expected failure is one too."""
    try:
        return await verb
    except PliError as error:
        return reply_to_failure(error)
