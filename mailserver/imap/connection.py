"""One IMAP connection on the event loop: octets to events, events to verbs, in order, one at a time.

A task exists only while there is something to do; an idle connection is this object, its framer and its transport.
Reading pauses when the client sends faster than its commands run, and a verb that sends much waits for the client to
read. Blocking work goes to the pool. What is not expected becomes a fixed text and an incident id.
"""

import asyncio
import contextlib
import logging
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar, cast

from mailserver.imap.conversation import Conversation
from mailserver.imap.encode import Status as Word
from mailserver.imap.encode import code_capability, format_untagged
from mailserver.imap.framing import BEFORE_LOGIN, Framer
from mailserver.imap.replies import BYE_LATE, BYE_LOST, BYE_OVER
from mailserver.imap.session import ImapServices, Reply, Session, now_seconds
from mailserver.imap.states import State
from mailserver.imap.trace import Direction
from mailserver.imap.tracer import Tracer
from mailserver.log import incident_id
from mailserver.model.errors import PliError, Unavailable
from mailserver.model.ids import AccountId
from mailserver.pool import Pool
from mailserver.service.keys import OpenAccount
from mailserver.service.named_mailboxes import NamedMailboxes
from mailserver.service.wakeups import Waiter

P = ParamSpec("P")
T = TypeVar("T")

LOG = logging.getLogger("pli.imap")
EVENTS_IN_A_TURN = 32
"""So many of one client's events, and the event loop looks after the others."""
UNREAD_BYTES = 256 * 1024
"""More than this from a client whose command still runs, and reading pauses."""
JOINED_BYTES = 16 * 1024
"""So many octets that wait for others are sent on."""
WRITE_BYTES = (128 * 1024, 512 * 1024)
"""Low and high mark of what waits to be sent."""
LOGIN_SECONDS = 30.0
IDLE_SECONDS = 30 * 60.0
"""RFC 9051 §5.4: an autologout timer is at least 30 minutes."""
STALL_SECONDS = 120.0
"""A client that takes nothing of what waits for it for so long is gone (S4: 500 octets a second)."""
HANDSHAKE_SECONDS = 20.0


@dataclass(slots=True)
class Hub:
    """What the connections of one server share."""

    services: ImapServices
    pool: Pool
    loop: asyncio.AbstractEventLoop
    connections: "set[ImapConnection]" = field(default_factory=set)
    peers: Counter[str] = field(default_factory=Counter)
    """Connections by address; addresses without one are not kept."""

    emptied: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever the last connection left."""

    def enter(self, connection: "ImapConnection") -> None:
        self.connections.add(connection)
        self.emptied.clear()
        self.peers[connection.peer] += 1

    def leave(self, connection: "ImapConnection") -> None:
        """Forget a connection; one that never entered is passed over."""
        if connection not in self.connections:
            return
        self.connections.discard(connection)
        self.peers[connection.peer] -= 1
        if not self.peers[connection.peer]:
            del self.peers[connection.peer]
        if not self.connections:
            self.emptied.set()


class ImapConnection(asyncio.Protocol):
    """The protocol object. ``starttls`` is given on a port that begins in the clear."""

    def __init__(
        self, hub: Hub, starttls: Callable[[], ssl.SSLContext] | None, may_enter: Callable[[str], bool]
    ) -> None:
        self._hub = hub
        self._starttls = starttls
        self._may_enter = may_enter
        self._transport: asyncio.Transport | None = None
        self._framer = Framer(BEFORE_LOGIN)
        self._session: Session | None = None
        self._talk: Conversation | None = None
        self._task: asyncio.Task[None] | None = None
        self._rechecks: dict[AccountId, asyncio.Task[None]] = {}
        self._writable: asyncio.Future[None] | None = None
        self._paused_at = 0.0
        self._began_at = self._heard_at = hub.loop.time()
        self._tracer: Tracer | None = None
        self._unread_bytes = 0
        self._unsent = b""
        self._is_reading_paused = False
        self._is_stopping = False
        self.peer = ""

    # --- asyncio's calls --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet (RFC 9051 §7.1.1), unless the peer has too many connections."""
        transport = cast("asyncio.Transport", transport)  # uvloop's own classes do not derive from it
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_BYTES[1], low=WRITE_BYTES[0])
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if isinstance(name, tuple) else ""
        if not self._may_enter(self.peer):
            self.send(format_untagged(Word.BYE, "Too many connections from your address"))
            self.close()
            return
        state = State.CLEAR if self._starttls else State.NOT_AUTHENTICATED
        self._session = Session(self._hub.services, self, self.peer, state)
        self._session.certificate = _certificate_of(transport)
        self._talk = Conversation(self._session, self._framer, self, self._hub.loop.time)
        self._hub.enter(self)
        self.send(format_untagged(Word.OK, "Pli ready", code_capability(self._session.capabilities())))

    def data_received(self, data: bytes) -> None:
        """Feed the framer; what it holds of commands not yet run is bounded."""
        if self._talk is None:
            return
        self._heard_at = self._hub.loop.time()
        if self._tracer is not None:
            self._tracer.note(Direction.CLIENT, data)
        self._framer.feed(data)
        self._unread_bytes += len(data)
        if self._unread_bytes > UNREAD_BYTES and not self._is_reading_paused and self._transport:
            self._is_reading_paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._paused_at = self._hub.loop.time()
        self._writable = self._hub.loop.create_future()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 # asyncio's signature
        """Forget everything; a verb that still runs ends at its next step."""
        self._transport = None
        self.resume_writing()
        self._hub.leave(self)
        self.forget_login()
        if self._task is None and self._talk is not None:
            self._talk.close()

    # --- the wire, for verbs ----------------------------------------------------------------------------------

    def send(self, octets: bytes) -> None:
        """Queue octets; dropped when the peer is gone. Lines of one turn of the event loop leave in one TLS record."""
        if self._transport is None:
            return
        if self._tracer is not None:
            self._tracer.note(Direction.SERVER, octets)
        if not self._unsent:
            self._hub.loop.call_soon(self._flush)
        self._unsent += octets
        if len(self._unsent) >= JOINED_BYTES:
            self._flush()

    def _flush(self) -> None:
        octets, self._unsent = self._unsent, b""
        if octets and self._transport is not None:
            with contextlib.suppress(RuntimeError):  # uvloop's word for a transport that is closing already
                self._transport.write(octets)

    async def drain(self) -> None:
        """Wait until the peer took most of it. Raises ConnectionResetError when it is gone."""
        if self._writable is not None:
            await self._writable
        self._demand_peer()

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work in the pool. Raises ConnectionResetError when the peer left meanwhile."""
        result = await self._hub.pool.hop(partial(work, *args, **kwargs))
        self._demand_peer()
        return result

    def _demand_peer(self) -> None:
        if self._transport is None:
            raise ConnectionResetError

    # --- the wire, for the conversation -----------------------------------------------------------------------

    def close(self) -> None:
        """Close once everything is sent."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()

    async def start_tls(self) -> None:
        """The handshake after STARTTLS was answered; a failed one closes the connection."""
        assert self._starttls is not None
        assert self._transport is not None
        self._flush()
        raw, loop = self._transport, self._hub.loop
        try:
            secured = await loop.start_tls(
                raw, self, self._starttls(), server_side=True, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        except (OSError, ssl.SSLError):
            raw.abort()
            raise ConnectionResetError from None
        if secured is None:
            raise ConnectionResetError
        self._transport = secured
        if self._session is not None:
            self._session.certificate = _certificate_of(secured)
        secured.set_write_buffer_limits(high=WRITE_BYTES[1], low=WRITE_BYTES[0])

    def wait_for_news(self) -> None:
        """After login: the change feed wakes this connection, a revocation ends it (K4)."""
        assert self._session is not None
        self._add_waiter(self._session.open_account(), self._on_revoked)
        if self._session.open_account().profile.traced_until > now_seconds():
            self._tracer = Tracer(self._session.open_account())

    def forget_login(self) -> None:
        """Nothing of the account is waited for or traced any more, and the time for a login begins again."""
        self._began_at, self._tracer = self._hub.loop.time(), None
        if self._session is not None:
            for waiter in self._session.waiters.values():
                self._hub.services.wakeups.remove(waiter)
            self._session.waiters.clear()

    def watch(self, account: OpenAccount) -> None:
        """A shared box was opened: its news wake this connection, and a revocation has it looked at again (K11)."""
        self._hub.loop.call_soon_threadsafe(self._watch_box, account)

    def _watch_box(self, account: OpenAccount) -> None:
        if self._transport is not None:
            self._add_waiter(account, partial(self._start_recheck, account.account_id))

    def _add_waiter(self, account: OpenAccount, on_revoked: Callable[[], None]) -> None:
        assert self._session is not None
        account_id, wakeups = account.account_id, self._hub.services.wakeups
        known = self._session.waiters.pop(account_id, None)
        if known is not None:
            wakeups.remove(known)
        waiter = Waiter(account_id, account.revocation, partial(self._on_news, account_id), on_revoked)
        self._session.waiters[account_id] = waiter
        wakeups.add(waiter)

    def _on_news(self, account_id: AccountId) -> None:
        assert self._session is not None
        selected, has_notifier = self._session.selected, self._session.notifier is not None
        if selected is not None and selected.account.account_id != account_id and not has_notifier:
            return
        self._session.has_news = True
        if self._talk is not None and self._talk.awaits_news:
            self._wake()

    def _on_revoked(self) -> None:
        self.send(format_untagged(Word.BYE, "The access was withdrawn"))
        self.close()

    def _start_recheck(self, box_id: AccountId) -> None:
        """Somebody's access to a shared box was withdrawn: this person's? Asked at once, whatever command runs."""
        if box_id not in self._rechecks:
            assert self._session is not None
            names = self._session.open_names()
            self._rechecks[box_id] = self._hub.loop.create_task(self._recheck(names, box_id))

    async def _recheck(self, names: NamedMailboxes, box_id: AccountId) -> None:
        assert self._session is not None
        try:
            account = await self._hub.pool.hop(names.open_box, box_id)
        except Unavailable:
            pass  # the next poll asks again
        except PliError:
            if names is self._session.names:  # and not those of a login that was forgotten meanwhile
                self._lose_box(box_id)
        except Exception as error:  # noqa: BLE001 # as for a command
            self._report(error)
        else:
            if box_id in self._session.waiters:
                self._session.waiters[box_id].revocation = account.revocation
        finally:
            del self._rechecks[box_id]

    def _lose_box(self, box_id: AccountId) -> None:
        """No member any more: the keys go, and with the box selected the connection ends."""
        assert self._session is not None
        waiter = self._session.waiters.pop(box_id, None)
        if waiter is not None:
            self._hub.services.wakeups.remove(waiter)
        self._session.open_names().forget(box_id)
        selected = self._session.selected
        if selected is not None and selected.account.account_id == box_id:
            self._expire(self._said(BYE_LOST))

    # --- the pump ---------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._task is None and self._transport is not None:
            self._task = self._hub.loop.create_task(self._run())

    async def _run(self) -> None:
        """Handle events until there are none left."""
        assert self._talk is not None
        handled = 0
        try:
            while self._transport is not None and not self._transport.is_closing():
                if not await self._talk.step():
                    self._unread_bytes = 0
                    self._resume_reading()
                    break
                handled += 1
                if handled % EVENTS_IN_A_TURN == 0:
                    await asyncio.sleep(0)
                if self._is_stopping:
                    self._say_stopping()
        except ConnectionError:
            self.abort()
        except Exception as error:  # noqa: BLE001 # the peer gets a fixed text, the operator an incident
            self._report(error)
        finally:
            self._task = None
            if self._transport is None:
                self._talk.close()

    def _resume_reading(self) -> None:
        if self._is_reading_paused and self._transport is not None:
            self._is_reading_paused = False
            self._transport.resume_reading()

    def _report(self, error: Exception) -> None:
        incident = incident_id()
        LOG.error("connection failed", exc_info=error, extra={"incident": incident})
        self.send(format_untagged(Word.BYE, f"Something went wrong here (incident {incident})"))
        self.close()

    # --- the server's calls -----------------------------------------------------------------------------------

    def stop(self) -> None:
        """BYE, after the command that runs."""
        self._is_stopping = True
        if self._task is None:
            self._say_stopping()

    def _say_stopping(self) -> None:
        self.send(format_untagged(Word.BYE, "The server restarts; come back at once"))
        self.close()

    def expire(self, now: float) -> None:
        """Close what waits too long: for a login, a command, an APPEND's octets, or the peer's reading."""
        if self._session is None or self._talk is None:
            return
        if self._writable is not None and now - self._paused_at > STALL_SECONDS:
            self.abort()
            return
        is_busy = self._task is not None
        if not is_busy and self._talk.uploads.is_too_slow(now):
            self._expire("Too slow")
        elif self._session.account is None:
            if now - self._began_at > LOGIN_SECONDS * (2 if is_busy else 1):
                self._expire("Too long without a login")
        elif self._session.account.is_over(now_seconds()):
            self._expire(self._said(BYE_OVER))
        elif not is_busy and now - self._heard_at > IDLE_SECONDS:
            self._expire(self._said(BYE_LATE))

    def _said(self, reply: Reply) -> str:
        return reply.words(self._hub.services.first_language)

    def _expire(self, text: str) -> None:
        self.send(format_untagged(Word.BYE, text))
        self.close()


def _certificate_of(transport: asyncio.Transport) -> bytes | None:
    """What the client showed in the handshake, once its chain was verified."""
    channel = transport.get_extra_info("ssl_object")
    return None if channel is None else channel.getpeercert(binary_form=True)
