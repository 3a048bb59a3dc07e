"""A clamd of a few lines on a Unix socket: it takes INSTREAM as the real one does, and answers what a test tells it."""

import contextlib
import os
import socket
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

EICAR = (rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-" + rb"ANTIVIRUS-TEST-FILE!$H+H*").strip()
"""The industry's harmless test file, put together here so that no scanner takes this file for it."""
VERSION = b"1: ClamAV 1.4.6/27500/Mon Jul  6 09:00:00 2026\0"


def judge(octets: bytes) -> bytes:
    """The test file, as it is or as the start of an attachment in base64."""
    is_infected = EICAR in octets or b64encode(EICAR)[:40] in octets
    return b"2: stream: Win.Test.EICAR_HDB-1 FOUND\0" if is_infected else b"2: stream: OK\0"


class FakeClamd:
    """``greeting`` answers VERSION, ``verdict`` the stream; None stays silent, empty octets hang up."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.greeting: bytes | None = VERSION
        self.verdict: Callable[[bytes], bytes | None] = judge
        self.stops_after: int | None = None
        """Octets of the stream after which it answers without reading on, as for its size limit."""
        self.seen: list[bytes] = []
        self.connections = 0
        self._open: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def start(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self._listener.bind(str(self.path))
        self._listener.listen(32)
        threading.Thread(target=self._run, name="clamd", daemon=True).start()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self.path.unlink()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link = self._listener.accept()[0]
                self.connections += 1
                self._open.append(link)
                threading.Thread(target=self._serve, args=(link,), name="clamd-link", daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            wire = link.makefile("rb")
            assert _until_nul(wire) + _until_nul(wire) == b"zIDSESSION\0zVERSION\0"
            if not self._say(link, self.greeting):
                return
            assert _until_nul(wire) == b"zINSTREAM\0"
            octets = b""
            while size := int.from_bytes(_exactly(wire, 4), "big"):
                octets += _exactly(wire, size)
                if self.stops_after is not None and len(octets) > self.stops_after:
                    break
            self.seen.append(octets)
            self._say(link, self.verdict(octets))

    def _say(self, link: socket.socket, reply: bytes | None) -> bool:
        if reply is None:
            return False
        if reply:
            link.sendall(reply)
        if not reply or (self.stops_after is not None and reply is not self.greeting):
            link.shutdown(socket.SHUT_RDWR)
        return bool(reply)


def _until_nul(wire) -> bytes:
    found = b""
    while not found.endswith(b"\0"):
        found += _exactly(wire, 1)
    return found


def _exactly(wire, size: int) -> bytes:
    octets = wire.read(size)
    if len(octets) < size:
        raise EOFError
    return octets


@contextmanager
def fake_clamd(path: Path) -> Iterator[FakeClamd]:
    clamd = FakeClamd(path)
    clamd.start()
    try:
        yield clamd
    finally:
        clamd.stop()


@contextmanager
def configured(path: Path) -> Iterator[None]:
    """Operators made inside have their antivirus at this socket."""
    os.environ["PLI_ANTIVIRUS_CLAMD"] = f"unix:{path}"
    try:
        yield
    finally:
        del os.environ["PLI_ANTIVIRUS_CLAMD"]
