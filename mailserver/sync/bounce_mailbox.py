"""The ordinary mailbox where reports about notices arrive, read over IMAP (RFC 9051) in TLS; aioimaplib speaks it.

Certificate and name are checked before anything is said. Messages, octets and time of one reading are bounded: what is
left is read the next time; what is to be heard later counts for nothing, so that it holds nobody up. Only what is not seen yet is looked at, and each mail is marked before the next is fetched.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from aioimaplib.aioimaplib import (
    IMAP4,
    AioImapException,
    CommandTimeout,
    IMAP4ClientProtocol,
    Response,
    quoted,
)

from mailserver.crypto.secret import Secret
from mailserver.model.errors import Unavailable
from mailserver.service.bounces import BOUNCE_BYTES, Heard
from mailserver.sync.link_errors import link_errors

MESSAGES = 1000
"""Many more than one flood of strange mails brings between two readings."""
STEP_SECONDS = 30.0
ROUND_SECONDS = 120.0
READING_SECONDS = 60.0
"""After which no further mail is begun."""
LINE_BYTES = 1024 * 1024
"""The numbers of a hundred thousand mails."""
ANSWER_BYTES = 2 * LINE_BYTES
"""Of all that comes while one mail is dealt with, and before the first."""

Hear = Callable[[bytes], Awaitable[Heard]]


@dataclass(frozen=True, slots=True)
class MailboxAccess:
    """``context`` checks certificate and name (``tls.contexts.web_client_context``)."""

    host: str
    port: int
    context: ssl.SSLContext
    user: str
    password: Secret = field(repr=False)
    mailbox: str = "INBOX"


class _BoundedProtocol(IMAP4ClientProtocol):  # type: ignore[misc] # a library without types
    """A server that never ends its answer is cut off, for the library keeps all of it; so is one that makes it fail."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._last = b""
        self.renew()

    def renew(self) -> None:
        self._left = ANSWER_BYTES

    def data_received(self, d: bytes) -> None:
        """The library searches an unended line from its start each time: it is given whole lines. Each answer ends in CRLF,
        one with a literal too.
        """
        self._left -= len(d)
        self._held.append(d)
        self._held_bytes += len(d)
        is_ended, self._last = b"\r\n" in self._last + d, d[-1:]
        try:
            if self._left >= 0 and self._held_bytes <= LINE_BYTES:
                if is_ended:
                    octets = b"".join(self._held)
                    self._held, self._held_bytes = [], 0
                    super().data_received(octets)
                return
        except Exception:  # noqa: BLE001, S110 # an answer that is none, of whatever kind: RecursionError too
            pass
        self._held = []
        self.transport.abort()


class _Client(IMAP4):  # type: ignore[misc] # as above
    """``lost`` is set once the connection is gone: the library's commands would wait for their time."""

    def __init__(self, access: MailboxAccess) -> None:
        self.lost = asyncio.Event()
        super().__init__(access.host, access.port, timeout=STEP_SECONDS, ssl_context=access.context)

    def create_client(
        self,
        host: str,
        port: int,
        _loop: object,
        _lost: object = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """The library's own, with a protocol that counts."""
        loop = asyncio.get_running_loop()
        self.protocol = _BoundedProtocol(loop, lambda _error: self.lost.set())
        connecting = loop.create_connection(lambda: self.protocol, host, port, ssl=ssl_context)
        self._client_task = loop.create_task(connecting)

    def drop(self) -> None:
        """Now, whatever the server still says. The library's own task holds a lock that others wait for."""
        for task in (self._client_task, *self.protocol.tasks):
            task.cancel()
        if self.protocol.transport is not None:
            self.protocol.transport.abort()


class BounceMailbox:
    """``deletes``: whether a report about a notice is deleted once it was heard; all else is marked as seen and stays."""

    def __init__(self, access: MailboxAccess, *, deletes: bool) -> None:
        self.access = access
        self._deletes = deletes

    async def read(self, hear: Hear) -> int:
        """Give each mail that nobody saw to ``hear``; how many. Raises Unavailable: what ``link_errors`` says with
        "bounces", and "bounces-login", "bounces-mailbox", "bounces-answer"; and what ``hear`` raises.
        """
        with link_errors("bounces"), _imap_errors():
            async with asyncio.timeout(ROUND_SECONDS):
                client = _Client(self.access)
                return await _until_lost(client, self._read(client, hear))

    async def _read(self, client: _Client, hear: Hear) -> int:
        await client.wait_hello_from_server()
        password = self.access.password.reveal().decode()
        _check(await client.login(quoted(self.access.user), password), "bounces-login")
        await client.protocol.capability()
        _check(await client.select(quoted(self.access.mailbox)), "bounces-mailbox")
        found = _check(await client.uid_search("UNSEEN UNDELETED", charset=None))
        until = asyncio.get_running_loop().time() + READING_SECONDS
        count = 0
        for uid in _uids_of(found):
            if count == MESSAGES or asyncio.get_running_loop().time() > until:
                break
            client.protocol.renew()
            count += await self._read_one(client, str(uid), hear) is not Heard.LATER
        await client.logout()
        return count

    async def _read_one(self, client: _Client, uid: str, hear: Hear) -> Heard:
        """One octet more than is taken shows that a mail is too large."""
        fetched = _check(await client.uid("FETCH", uid, f"(BODY.PEEK[]<0.{BOUNCE_BYTES + 1}>)"))
        octets = next((bytes(line) for line in fetched.lines if isinstance(line, bytearray)), b"")
        heard = await hear(octets)
        if heard is Heard.LATER:
            return heard
        is_over = self._deletes and heard in {Heard.LEFT, Heard.MARKED}
        flags = r"(\Seen \Deleted)" if is_over else r"(\Seen)"
        _check(await client.uid("STORE", uid, "+FLAGS.SILENT", flags))
        if is_over and client.has_capability(
            "UIDPLUS"
        ):  # without it others' deletions would be carried out too
            _check(await client.uid("EXPUNGE", uid))
        return heard


async def _until_lost(client: _Client, talk: Awaitable[int]) -> int:
    """What ``talk`` comes to; Unavailable("bounces-connection") when the connection goes first. It is gone afterwards."""
    talking, losing = asyncio.ensure_future(talk), asyncio.ensure_future(client.lost.wait())
    try:
        await asyncio.wait({talking, losing}, return_when=asyncio.FIRST_COMPLETED)
        if not talking.done():
            raise Unavailable("bounces-connection")
        return talking.result()
    finally:
        client.drop()
        for task in (talking, losing):
            task.cancel()
        await asyncio.gather(talking, losing, return_exceptions=True)


def _uids_of(found: Response) -> list[int]:
    words = bytes(found.lines[0]).split()
    return [int(word) for word in words if word.isdigit()]


def _check(response: Response, code: str = "bounces-answer") -> Response:
    if response.result != "OK":
        raise Unavailable(code)
    return response


@contextlib.contextmanager
def _imap_errors() -> Iterator[None]:
    """What the library raises, without its words: they hold commands, and the password among them."""
    try:
        yield
    except CommandTimeout:
        raise Unavailable("bounces-timeout") from None
    except ssl.SSLError:  # a ValueError too, when it is of a certificate
        raise
    except (AioImapException, ValueError, IndexError):
        raise Unavailable("bounces-answer") from None
