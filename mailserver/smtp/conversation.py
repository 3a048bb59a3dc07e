"""The order of an SMTP dialogue: which command may come when, and what each is answered (RFC 5321 §4.1.4).

No socket and no TLS: lines come in, answers go out with what the wire does next. Blocking use cases run in the pool,
one hop each. A 250 after DATA is given only when every commit is done (R1).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import assert_never

from mailserver.audit.events import EventResult
from mailserver.audit.security_log import SecurityKind
from mailserver.crypto.secret import random_id
from mailserver.log import incident_id
from mailserver.mime.trace import Hop
from mailserver.model.address import Address
from mailserver.model.errors import Malformed, OverLimit, PliError
from mailserver.policy.absence_wording import format_recipient_words
from mailserver.policy.decision import TELLING_REASONS, Reason
from mailserver.policy.mail_rules import MessageFacts, decide_message
from mailserver.pool import Pool
from mailserver.service.keys import OpenAccount
from mailserver.service.peers import CHECK_SECONDS
from mailserver.service.throttle import Throttle
from mailserver.smtp import replies
from mailserver.smtp.answers import OK, Answer, Next
from mailserver.smtp.chunk_reader import ChunkReader
from mailserver.smtp.data import Read
from mailserver.smtp.desks import Desk, Transaction
from mailserver.smtp.dot_reader import DotReader
from mailserver.smtp.framing import Line
from mailserver.smtp.grammar import (
    Auth,
    Bdat,
    Command,
    Hello,
    Mail,
    Rcpt,
    Verb,
    asks_for_reports,
    parse_command,
)
from mailserver.smtp.greeting import list_extensions, name_protocol
from mailserver.smtp.incoming import Incoming, Judges, skip_chunk
from mailserver.smtp.journal import Journal
from mailserver.smtp.link import Link, Role
from mailserver.smtp.login import list_mechanisms, log_in
from mailserver.smtp.replies import Refusal, refuse_error, refuse_for, refuse_form, refuse_incident
from mailserver.smtp.sasl import Credentials, Exchange
from mailserver.smtp.services import SmtpServices

MOST_ERRORS = 20
"""Refused commands of form, unknown recipients and logins that one connection may make."""
MOST_LOGINS = 5
_BEFORE_TLS = (Verb.NOOP, Verb.QUIT, Verb.STARTTLS)


@dataclass(frozen=True, slots=True)
class Setting:
    """What every conversation of a server shares. ``guesses`` slows down who tries recipients (S4)."""

    services: SmtpServices
    pool: Pool
    guesses: Throttle
    judges: Judges


class Conversation:
    """One connection's dialogue. ``on_login`` is told once, after a login."""

    def __init__(self, setting: Setting, desk: Desk, link: Link, on_login: Callable[[], None]) -> None:
        self._setting = setting
        self._services = setting.services
        self._desk = desk
        self._on_login = on_login
        self.link = link
        self.journal = Journal(link.role, link.peer)
        self._hello: Hello | None = None
        self._mail: Mail | None = None
        self._transaction: Transaction | None = None
        self._incoming: Incoming | None = None
        self._exchange: Exchange | None = None
        self._errors = 0
        self._failed_logins = 0

    @property
    def account(self) -> OpenAccount | None:
        return self._desk.account

    def close(self) -> None:
        """The connection is over: nothing is kept of a message that came in part."""
        self._reset()

    def secured(self, link: Link) -> None:
        """TLS is up: everything said in the clear is forgotten (RFC 3207 §4.2)."""
        self.link = link
        self._hello = None
        self._reset()

    # --- lines --------------------------------------------------------------------------------------------------

    async def answer(self, line: Line) -> Answer:
        """One line. Expected failures become their reply here; anything else is raised, and is an incident."""
        if line.fault is not None:
            self._exchange = None
            return self._refuse_form(line.fault.value, closes=line.fault.value == "line-bare-octet")
        try:
            if self._exchange is not None:
                return await self._continue_login(self._exchange, line.text)
            return await self._run(parse_command(line.text))
        except Malformed as error:
            self._exchange = None
            return self._refuse_form(error.code, closes=error.code == "chunk-syntax")
        except PliError as error:
            return self._refuse_error(error)

    async def _run(self, command: Command) -> Answer:
        is_early = isinstance(command, Hello | Bdat) or command in _BEFORE_TLS
        if not self.link.is_tls and not is_early:  # RFC 3207 §4
            return self._refuse(self._desk.refuse_clear(self.link, _now()))
        if not self._offers_dsn and asks_for_reports(command):
            raise Malformed("parameter-unknown")
        match command:
            case Hello():
                return self._greet(command)
            case Mail():
                return await self._open_transaction(command)
            case Rcpt():
                return await self._add_recipient(command)
            case Auth():
                return await self._begin_login(command)
            case Bdat():  # whatever is wrong, its octets come first
                return Answer(b"", Next.CHUNK, command)
            case Verb():
                return self._run_verb(command)
            case _:
                assert_never(command)

    @property
    def _offers_dsn(self) -> bool:
        """To our own senders alone: a peer gets no report from us (S8)."""
        return self.link.is_tls and self.link.role is Role.SUBMISSION

    def _run_verb(self, verb: Verb) -> Answer:
        match verb:
            case Verb.DATA:
                return self._begin_data()
            case Verb.RSET:
                self._reset()
                return OK
            case Verb.NOOP:
                return OK
            case Verb.QUIT:
                return Answer(replies.BYE, Next.CLOSE)
            case Verb.STARTTLS:
                if self.link.is_tls:
                    return self._refuse_form("tls-active")
                return Answer(replies.START_TLS, Next.START_TLS)
            case Verb.HELP:
                return Answer(replies.HELP)
            case Verb.VRFY:  # RFC 5321 §7.3
                return self._answer_with(refuse_form("not-verified"))
            case Verb.EXPN:
                return self._refuse_form("not-expanded")
            case _:
                assert_never(verb)

    def _greet(self, hello: Hello) -> Answer:
        """EHLO names what is true now; it resets like RSET (RFC 5321 §4.1.4)."""
        self._hello = hello
        self._reset()
        hostname = self._services.hostname
        if not hello.is_extended:
            return Answer(replies.format_lines(250, [hostname]))
        limits = (self._desk.limit_bytes, self._desk.recipient_limit)
        keywords = list_extensions(
            self.link, limits, list_mechanisms(self._services, self.link), offers_dsn=self._offers_dsn
        )
        return Answer(replies.format_lines(250, [hostname, *keywords]))

    # --- login --------------------------------------------------------------------------------------------------

    async def _begin_login(self, command: Auth) -> Answer:
        if self.link.role is not Role.SUBMISSION:
            return self._refuse_form("auth-not-here")
        if self._hello is None or self._transaction is not None:  # RFC 4954 §4
            return self._refuse_form("bad-sequence")
        if self._desk.account is not None:
            return self._refuse_form("auth-twice")
        exchange = Exchange(command.mechanism, list_mechanisms(self._services, self.link))
        if command.initial is not None:
            return await self._continue_login(exchange, command.initial)
        return self._challenge(exchange)

    def _challenge(self, exchange: Exchange) -> Answer:
        self._exchange = exchange
        return Answer(replies.format_challenge(exchange.challenge))

    async def _continue_login(self, exchange: Exchange, response: bytes) -> Answer:
        said = exchange.take(response)
        if exchange.is_refused:
            self._exchange = None
            return self._refuse_login("token-refused")
        if said is None:
            return self._challenge(exchange)
        self._exchange = None
        account = await log_in(said, self._services, self._setting.pool, self.link, self.journal)
        if account is not None:
            self._desk.account = account
            self._on_login()
            return Answer(replies.LOGGED_IN)
        if exchange.refuse(self._services.logins.policy.advice):
            return self._challenge(exchange)
        return self._refuse_login("auth-failed" if isinstance(said, Credentials) else "certificate-refused")

    def _refuse_login(self, word: str) -> Answer:
        self._failed_logins += 1
        return self._refuse_form(word, closes=self._failed_logins >= MOST_LOGINS)

    # --- the transaction ----------------------------------------------------------------------------------------

    async def _open_transaction(self, mail: Mail) -> Answer:
        if self._hello is None or self._transaction is not None:
            return self._refuse_form("bad-sequence")
        if self.account is not None and self.account.is_over(int(_now().timestamp())):
            return self.refuse_form("session-over")
        if (asked := self._desk.begin_check(self.link, _now())) is not None:
            done, _late = await asyncio.wait([asyncio.wrap_future(asked)], timeout=CHECK_SECONDS)
            for each in done:
                each.result()
        found = self._desk.open_transaction(self.link, mail, _now())
        if isinstance(found, Refusal):
            return self._refuse(found)
        size = decide_message(MessageFacts(mail.size_bytes, self._desk.limit_bytes))
        if not size.accepted:  # RFC 1870 §6.1
            return self._refuse(refuse_for(size.reason))
        self._mail, self._transaction = mail, found
        return Answer(replies.SENDER_OK)

    async def _add_recipient(self, command: Rcpt) -> Answer:
        if self._transaction is None or self._mail is None or self._incoming is not None:
            return self._refuse_form("bad-sequence")
        address = command.recipient or Address("postmaster", self._services.home)
        if not address.is_ascii and not self._mail.is_utf8:  # RFC 6531 §3.2
            raise Malformed("address-utf8")
        now, decide = _now(), self._transaction.decide_recipient
        if self._transaction.is_at_hand(address, now):
            decision = decide(address, command.ask, now)
        else:
            decision = await self._setting.pool.hop(decide, address, command.ask, now)
        if decision.accepted:
            absence, first = self._transaction.absence, self._services.first_language
            words = [] if absence is None else format_recipient_words(absence, first)
            return Answer(replies.format_recipient(words))
        if decision.reason in TELLING_REASONS:
            self._setting.guesses.note_failure(self.link.peer, "")
            await asyncio.sleep(self._setting.guesses.delay_seconds(self.link.peer, ""))
            self._errors += 1
        return self._refuse(refuse_for(decision.reason))

    def _begin_data(self) -> Answer:
        # RFC 3030 §2: DATA and BDAT do not mix in one transaction
        if self._transaction is None or not self._transaction.count or self._incoming is not None:
            return self._refuse_form("bad-sequence")
        return Answer(replies.START_DATA, Next.DATA)

    async def take_data(self, first: bytes, read: Read) -> tuple[Answer, bytes]:
        """After 354: the reply to the message, and the octets that follow it. Raises what ``read`` raises."""
        incoming = self._begin_message()
        self._reset()
        try:
            rest = await incoming.take(DotReader(), first, read)
        except OverLimit:
            return self._refuse(refuse_for(Reason.MESSAGE_TOO_LARGE), closes=True), b""
        return await self._finish(incoming), rest

    async def take_chunk(self, chunk: Bdat, first: bytes, read: Read) -> tuple[Answer, bytes]:
        """After BDAT: its reply, and the octets that follow the chunk. Whatever the reply, the chunk is read to its end,
        so that nothing of it is ever taken for a command. Raises what ``read`` raises.
        """
        if chunk.size_bytes > 2 * self._desk.limit_bytes:  # nobody waits for its end
            return self._refuse(refuse_for(Reason.MESSAGE_TOO_LARGE), closes=True), b""
        if not self.link.is_tls or self._transaction is None or not self._transaction.count:
            rest = await skip_chunk(chunk.size_bytes, first, read, self._setting.pool)
            if self.link.is_tls:
                return self._refuse_form("bad-sequence"), rest
            return self._refuse(self._desk.refuse_clear(self.link, _now())), rest
        incoming = self._incoming = self._incoming or self._begin_message()
        rest = await incoming.take(ChunkReader(chunk.size_bytes), first, read)
        if not chunk.is_last:
            return await self._add_chunk(incoming), rest
        self._incoming = None
        self._reset()
        return await self._finish(incoming), rest

    async def _add_chunk(self, incoming: Incoming) -> Answer:
        try:
            reason = await incoming.add_chunk()
        except PliError as error:
            self._reset()
            return self._refuse_error(error)
        if reason is None:
            return Answer(replies.CHUNK_OK)
        self._reset()
        self._note_message(EventResult.REFUSED, _now())
        return self._refuse(refuse_for(reason), closes=incoming.is_smuggling)

    def _begin_message(self) -> Incoming:
        transaction, hello, mail = self._transaction, self._hello, self._mail
        assert transaction is not None
        assert hello is not None
        assert mail is not None
        is_login = self._desk.account is not None
        protocol = name_protocol(
            self.link, is_extended=hello.is_extended, is_utf8=mail.is_utf8, is_login=is_login
        )
        peer, delivery = self.link.peer.partition("%")[0], random_id().hex()
        hop = Hop(hello.name, peer, self._services.hostname, protocol, delivery, self.link.tls)
        return Incoming(transaction, hop, self._desk.limit_bytes, self._setting.pool, _now())

    async def _finish(self, incoming: Incoming) -> Answer:
        now = _now()
        try:
            verdict = await incoming.finish(now, self._setting.judges)
        except PliError as error:
            return self._refuse_error(error)
        if verdict.decision.accepted:
            self._note_message(EventResult.DONE, now)
            return Answer(replies.format_accepted(incoming.delivery))
        named = "" if verdict.named is None else str(verdict.named)
        self._note_message(EventResult.REFUSED, now)
        refusal = refuse_for(verdict.decision.reason, named)
        return self._refuse(refusal, closes=incoming.is_smuggling)

    def _note_message(self, result: EventResult, now: datetime) -> None:
        account = self._desk.account
        kind = SecurityKind.RECEPTION if account is None else SecurityKind.SUBMISSION
        self.journal.note(kind, result, now, None if account is None else account.account_id)

    # --- refusals -----------------------------------------------------------------------------------------------

    def refuse_incident(self, error: Exception) -> Answer:
        """What nobody expected: a fixed text, an incident id, and the end of the connection."""
        incident = incident_id()
        self.journal.failed(error, incident)
        return self._answer_with(refuse_incident(incident), Next.CLOSE)

    def refuse_form(self, word: str) -> Answer:
        """A refusal that the wire asks for; the connection ends."""
        return self._refuse(refuse_form(word), closes=True)

    def _refuse_form(self, word: str, *, closes: bool = False) -> Answer:
        self._errors += 1
        return self._refuse(refuse_form(word), closes=closes)

    def _refuse_error(self, error: PliError) -> Answer:
        refusal = refuse_error(error)
        if refusal is None:
            raise error
        return self._refuse(refusal)

    def _refuse(self, refusal: Refusal, *, closes: bool = False) -> Answer:
        self.journal.refused(refusal, self._desk.dn_of(self.link))
        if closes:
            return self._answer_with(refusal, Next.CLOSE)
        if self._errors < MOST_ERRORS:
            return self._answer_with(refusal)
        last = refuse_form("too-many-errors")
        self.journal.refused(last)
        first = self._services.first_language
        return Answer(refusal.octets(first) + last.octets(first), Next.CLOSE)

    def _answer_with(self, refusal: Refusal, after: Next = Next.LINE) -> Answer:
        return Answer(refusal.octets(self._services.first_language), after)

    def _reset(self) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.close()
        self._mail = None
        self._transaction = None
        self._exchange = None


def _now() -> datetime:
    return datetime.now(UTC)
