"""One document over HTTPS (RFC 9112), within bounds: octets, seconds, one address; certificate and host name checked.

A redirect is refused, not followed: the address is the operator's choice, not the server's. Nothing is decoded that
was not asked for. The request is conditional when the caller still has what it fetched last (RFC 9110 §13).
"""

import asyncio
import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import h11

from mailserver.model.errors import Unavailable
from mailserver.sync.link_errors import link_errors

CHUNK_BYTES = 64 * 1024
HEAD_BYTES = 16 * 1024
VALIDATOR_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class FetchLimits:
    octets: int
    seconds: float = 120.0
    """For the whole of it: name, connection, handshake, answer."""


@dataclass(frozen=True, slots=True)
class Validators:
    """What the server said of a document, given back to it later: opaque text, empty when it said nothing."""

    etag: str = ""
    last_modified: str = ""


NO_VALIDATORS = Validators()


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for, and how: by POST when there is a ``body``. ``more`` are further headers."""

    accept: str = "application/xml, text/xml, */*;q=0.1"
    more: tuple[tuple[str, str], ...] = ()
    body: bytes | None = field(default=None, repr=False)

    @property
    def method(self) -> str:
        return "GET" if self.body is None else "POST"


A_LIST = Request()


@dataclass(frozen=True, slots=True)
class Fetched:
    """``body`` is None when the document is the one that the validators name."""

    body: bytes | None
    validators: Validators


async def fetch(
    url: str,
    context: ssl.SSLContext,
    validators: Validators,
    limits: FetchLimits,
    request: Request = A_LIST,
) -> Fetched:
    """Get one document. Raises Unavailable: "fetch-name", "fetch-connection", "fetch-tls-authority", "fetch-tls-host",
    "fetch-tls", "fetch-timeout", "fetch-status", "fetch-redirect", "fetch-length", "fetch-answer", "fetch-truncated".
    """
    with link_errors("fetch"):
        async with asyncio.timeout(limits.seconds):
            return await _fetch(url, context, validators, limits, request)


async def _fetch(
    url: str, context: ssl.SSLContext, validators: Validators, limits: FetchLimits, request: Request
) -> Fetched:
    parts = urlsplit(url)
    host = parts.hostname or ""
    reader, writer = await asyncio.open_connection(
        host, parts.port or 443, ssl=context, server_hostname=host, limit=CHUNK_BYTES
    )
    try:
        wire = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = _headers(parts.netloc, validators, request)
        head = h11.Request(method=request.method, target=target, headers=headers)
        writer.write(wire.send(head) or b"")
        if request.body is not None:
            writer.write(wire.send(h11.Data(request.body)) or b"")
        writer.write(wire.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        return await _read_answer(wire, reader, validators, limits)
    finally:
        writer.transport.abort()  # nothing more is wanted, and nobody waits for a slow farewell


def _headers(host: str, validators: Validators, request: Request) -> list[tuple[str, str]]:
    headers = [
        ("Host", host),
        ("User-Agent", "Pli"),
        ("Accept", request.accept),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
        *request.more,
    ]
    if request.body is not None:
        headers.append(("Content-Length", str(len(request.body))))
    if validators.etag:
        headers.append(("If-None-Match", validators.etag))  # RFC 9110 §13.1.2
    if validators.last_modified:
        headers.append(("If-Modified-Since", validators.last_modified))  # RFC 9110 §13.1.3
    return headers


async def _read_answer(
    wire: h11.Connection, reader: asyncio.StreamReader, validators: Validators, limits: FetchLimits
) -> Fetched:
    body = bytearray()
    given = NO_VALIDATORS
    while True:
        event = await _next_event(wire, reader)
        match event:
            case h11.Response():
                given = _validators_of(event)
                if event.status_code == 304 and validators != NO_VALIDATORS:  # RFC 9110 §15.4.5
                    return Fetched(None, given if given != NO_VALIDATORS else validators)
                _check_head(event, limits)
            case h11.Data():
                body += event.data
                if len(body) > limits.octets:
                    raise Unavailable("fetch-length")
            case h11.EndOfMessage():
                return Fetched(bytes(body), given)
            case h11.InformationalResponse():
                pass
            case _:  # the connection's end, before an answer
                raise Unavailable("fetch-truncated")


async def _next_event(wire: h11.Connection, reader: asyncio.StreamReader) -> object:
    while True:
        try:
            event = wire.next_event()
        except h11.RemoteProtocolError as error:
            _rest, is_ended = wire.trailing_data
            raise Unavailable("fetch-truncated" if is_ended else "fetch-answer") from error
        if event is not h11.NEED_DATA:
            return event
        wire.receive_data(await reader.read(CHUNK_BYTES))


def _check_head(response: h11.Response, limits: FetchLimits) -> None:
    """RFC 9110 §15: 200 and nothing else is the document."""
    headers = {bytes(name): bytes(value) for name, value in response.headers}
    if 300 <= response.status_code < 400 and response.status_code != 304:
        raise Unavailable("fetch-redirect")
    if response.status_code != 200:
        raise Unavailable("fetch-status", str(response.status_code))
    if headers.get(b"content-encoding", b"identity").strip().lower() not in {b"identity", b""}:
        raise Unavailable("fetch-answer", "encoded")
    if int(headers.get(b"content-length", b"0")) > limits.octets:  # h11 took digits only
        raise Unavailable("fetch-length")


def _validators_of(response: h11.Response) -> Validators:
    headers = {bytes(name): bytes(value) for name, value in response.headers}
    return Validators(_text(headers.get(b"etag", b"")), _text(headers.get(b"last-modified", b"")))


def _text(value: bytes) -> str:
    """The value, when it is short printable ASCII; otherwise nothing, and the next request is unconditional."""
    text = value.decode("latin-1")
    return text if text.isascii() and text.isprintable() and len(text) <= VALIDATOR_CHARACTERS else ""
