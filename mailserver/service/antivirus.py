"""The antivirus: every message is shown to ClamAV's clamd before it is acknowledged, in slices, from the sealed intake.

It fails closed: without the answer "OK" nothing passes, and while clamd is away mail is put off. Nothing plain is
written here; clamd keeps what it scans in its own temporary folder, which the operator puts on tmpfs (S5). A clamd that
does not greet is asked again once in five seconds, so that no more than one thread waits for it.
"""

import contextlib
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import PurePath

from mailserver.model.hop import NextHop
from mailserver.policy.mail_rules import Scan
from mailserver.service.intake import Intake

GREETING_SECONDS = 5.0
SCAN_SECONDS = 120.0
"""From the first octet to the verdict."""
TURNS = 8
"""Scans at once in one worker: the other threads stay free for people."""
TURN_SECONDS = 10.0
RETRY_SECONDS = 5.0
TOLD_SECONDS = 60.0
_REPLY_BYTES = 1024
_VERSION = re.compile(r"ClamAV [0-9A-Za-z ./:+_-]{1,200}")
_FOUND = re.compile(r"stream: ([^\0]{1,500}) FOUND")
_UNFIT = re.compile(r"[^A-Za-z0-9._/-]+")
_OVER = "INSTREAM size limit exceeded. ERROR"

logger = logging.getLogger("pli.antivirus")


class Antivirus:
    """One clamd, for all threads of a process. ``clock`` gives monotonic seconds."""

    def __init__(self, daemon: PurePath | NextHop, clock: Callable[[], float] = time.monotonic) -> None:
        self._daemon = daemon
        self._clock = clock
        self._turns = threading.BoundedSemaphore(TURNS)
        self._lock = threading.Lock()
        self._version = ""
        self._is_away = False
        self._next_try_at = 0.0
        self._next_told_at = 0.0

    def scan(self, intake: Intake) -> Scan:
        """The verdict on a finished intake, trace lines included: they make clamd read it as a mail. Blocks; never
        raises for a clamd in any state. Raises Unavailable when the intake's own disk fails.
        """
        if not self._may_try() or not self._turns.acquire(timeout=TURN_SECONDS):
            return Scan.AWAY
        try:
            with self._open_link() as link:
                reply = link.stream(intake.chunks())
        except _Away as away:
            self._note_away(away.cause)
            return Scan.AWAY
        finally:
            self._turns.release()
        return self._judge(reply)

    def greet(self) -> None:
        """Ask who it is, for the operator's log: whether mail will pass is known before the first comes. Blocks."""
        try:
            with self._open_link():
                pass
        except _Away as away:
            self._note_away(away.cause)

    def _judge(self, reply: str) -> Scan:
        if reply == "stream: OK":
            return Scan.CLEAN
        if reply == _OVER:
            logger.error("message larger than clamd's StreamMaxLength, refused")
            return Scan.TOO_LARGE
        if (found := _FOUND.fullmatch(reply)) is not None:
            logger.warning("infected message refused", extra={"signature": _UNFIT.sub("_", found[1])[:80]})
            return Scan.INFECTED
        self._note_away("no verdict")
        return Scan.AWAY

    @contextlib.contextmanager
    def _open_link(self) -> Iterator["_Link"]:
        """A connection whose clamd said who it is; until one does, all are refused but one in RETRY_SECONDS."""
        link = _Link(self._clock, GREETING_SECONDS)
        try:
            try:
                link.connect(self._daemon)
                version = link.ask_version()
            except _Away:
                with self._lock:
                    self._is_away = True
                    self._next_try_at = self._clock() + RETRY_SECONDS
                raise
            self._note_there(version)
            yield link
        finally:
            link.close()

    def _may_try(self) -> bool:
        with self._lock:
            now = self._clock()
            if self._is_away and now < self._next_try_at:
                return False
            self._next_try_at = now + RETRY_SECONDS
            return True

    def _note_there(self, version: str) -> None:
        with self._lock:
            was_away, self._is_away = self._is_away, False
            is_new, self._version = version != self._version, version
            if was_away:
                self._next_told_at = 0.0
        if is_new or was_away:
            logger.info("antivirus answers", extra={"version": version})

    def _note_away(self, cause: str) -> None:
        """One line at once, then one a minute, however much mail is put off."""
        with self._lock:
            now = self._clock()
            if now < self._next_told_at:
                return
            self._next_told_at = now + TOLD_SECONDS
        logger.error("antivirus away, mail is put off", extra={"cause": cause})


class _Away(Exception):
    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class _Link:
    """One session of clamd's protocol: ``z`` commands, replies "number: text" that end in NUL."""

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self._clock = clock
        self._ends_at = clock() + seconds
        self._socket: socket.socket | None = None
        self._asked = 0

    def connect(self, daemon: PurePath | NextHop) -> None:
        with _quietly():
            if isinstance(daemon, NextHop):
                self._socket = socket.create_connection((daemon.host, daemon.port), self._left())
            else:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self._socket.settimeout(self._left())
                self._socket.connect(str(daemon))
            self._send(b"zIDSESSION\0")

    def ask_version(self) -> str:
        """Engine and database. Raises _Away when this is no clamd."""
        self._asked += 1
        with _quietly():
            self._send(b"zVERSION\0")
            version = self._read_reply()
        if not _VERSION.fullmatch(version):
            raise _Away("not a clamd")
        return version

    def stream(self, pieces: Iterator[bytes]) -> str:
        """INSTREAM: each piece with its length in 4 octets, an empty one at the end."""
        self._ends_at = self._clock() + SCAN_SECONDS
        self._asked += 1
        is_open = self._try_send(b"zINSTREAM\0")
        for piece in pieces:
            if not is_open:
                break
            is_open = self._try_send(len(piece).to_bytes(4, "big") + piece)
        if is_open:
            self._try_send(bytes(4))
        with _quietly():
            return self._read_reply()

    def _try_send(self, octets: bytes) -> bool:
        """False when clamd closed in the middle: why is in its reply, if there is one."""
        try:
            self._send(octets)
        except TimeoutError:
            raise _Away("no answer in time") from None
        except OSError:
            return False
        return True

    def _send(self, octets: bytes) -> None:
        self._timed().sendall(octets)

    def _read_reply(self) -> str:
        reply = bytearray()
        while not reply.endswith(b"\0"):
            octets = self._timed().recv(_REPLY_BYTES)
            reply += octets
            if not octets or len(reply) > _REPLY_BYTES or b"\0" in reply[:-1]:
                raise _Away("no answer")
        number, colon, text = reply[:-1].partition(b": ")
        if not colon or bytes(number) != b"%d" % self._asked:
            raise _Away("not a clamd")
        return text.decode("ascii", "replace")

    def _timed(self) -> socket.socket:
        if self._socket is None:
            raise _Away("no connection")
        self._socket.settimeout(self._left())
        return self._socket

    def _left(self) -> float:
        left = self._ends_at - self._clock()
        if left <= 0:
            raise _Away("no answer in time")
        return left

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """What a socket raises → _Away, without an address in it."""
    try:
        yield
    except TimeoutError:
        raise _Away("no answer in time") from None
    except OSError:
        raise _Away("no connection") from None
