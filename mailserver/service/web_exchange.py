"""One HTTP exchange with an address of the configuration: bounded in octets and in time, no redirect, no proxy.

Nothing here follows an address that a peer gave. TLS of https addresses is checked against the machine's authorities.
"""

import contextlib
import http
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from mailserver.model.errors import Unavailable

_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Question:
    """GET, or POST when there is a body. ``seconds`` bounds the whole exchange."""

    url: str
    limit_bytes: int
    seconds: float
    body: bytes | None = None
    content_type: str = ""


def exchange(question: Question) -> bytes:
    """The body of a 200. Raises Unavailable("web-exchange") with what is wrong; blocks: pool threads only."""
    deadline = time.monotonic() + question.seconds
    parts = urlsplit(question.url)
    host, port = parts.hostname or "", parts.port
    link: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        link = http.client.HTTPSConnection(host, port, timeout=question.seconds, context=context)
    else:
        link = http.client.HTTPConnection(host, port, timeout=question.seconds)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        return _ask(link, path, question, deadline)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable("web-exchange", type(error).__name__) from error
    finally:
        link.close()


def _ask(link: http.client.HTTPConnection, path: str, question: Question, deadline: float) -> bytes:
    headers = {"Connection": "close"}
    if question.body is not None:
        headers["Content-Type"] = question.content_type
    link.connect()
    with _cut_at(deadline, link.sock):
        link.request("GET" if question.body is None else "POST", path, question.body, headers)
        with link.getresponse() as response:
            if response.status != http.HTTPStatus.OK:
                raise Unavailable("web-exchange", f"status {response.status}")
            return _read(response, question, deadline)


@contextlib.contextmanager
def _cut_at(deadline: float, sock: socket.socket) -> Iterator[None]:
    """End the link then, however slowly its octets drip."""

    def cut() -> None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _read(response: http.client.HTTPResponse, question: Question, deadline: float) -> bytes:
    found = bytearray()
    while piece := response.read1(_PIECE_BYTES):
        found += piece
        if len(found) > question.limit_bytes:
            raise Unavailable("web-exchange", "too long")
    if time.monotonic() >= deadline:  # what was cut may look whole
        raise Unavailable("web-exchange", "too slow")
    return bytes(found)
