"""One browser's connection: who may have how many, and how long it may do nothing (S4).

Uvicorn's own timer starts after the first answer and any octet stops it. Here a connection always has a deadline
unless a whole request is being answered: a request's head must be there in time, and what is sent must be taken.
"""

import asyncio
import logging
from typing import cast

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from mailserver.audit.wording import Language
from mailserver.tls.crowd import Crowd
from webmail.words import load_words

REQUEST_SECONDS = 20.0
"""From the connection, or from the last answer, to a whole request head."""
STALL_SECONDS = 120.0
"""A browser that takes nothing of what waits for it for so long is gone: about 500 octets a second."""

_LIBRARY = logging.getLogger("pli.web.http")
_LIBRARY.setLevel(logging.ERROR)  # its warnings are one for each bad request: anybody could fill the log


class WebConnection(H11Protocol):
    """``crowd`` counts the connections of the server."""

    def __init__(
        self, config: Config, state: ServerState, crowd: Crowd, app_state: dict[str, object]
    ) -> None:
        super().__init__(config, state, app_state)
        self.logger = _LIBRARY
        self._crowd = crowd
        self._peer: str | None = None
        """Of a connection that was let in."""
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, or say why not and close."""
        wire = cast("asyncio.Transport", transport)  # uvloop's own classes do not derive from it
        super().connection_made(wire)
        peer = self.client[0] if self.client else ""
        if not self._crowd.may_enter(peer):
            wire.write(format_crowded())
            wire.close()
            return
        self._crowd.enter(peer)
        self._peer = peer
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it out, once."""
        self._stop_waiting()
        if self._peer is not None:
            self._crowd.leave(self._peer)
            self._peer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Octets alone do not stop the clock: a whole head does."""
        if self._peer is None:
            return
        super().data_received(data)
        if self._is_answering():
            self._stop_waiting()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._is_answering() and not self.flow.write_paused:
            self._wait_for_request()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait(STALL_SECONDS, is_lost=True)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_waiting()
        if not self._is_answering():
            self._wait_for_request()

    def _is_answering(self) -> bool:
        """Whether a request is in our hands."""
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_request(self) -> None:
        self._wait(REQUEST_SECONDS, is_lost=False)

    def _wait(self, seconds: float, *, is_lost: bool) -> None:
        self._stop_waiting()
        if not self.transport.is_closing():
            end = self.transport.abort if is_lost else self.transport.close
            self._deadline = self.loop.call_later(seconds, end)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def format_crowded() -> bytes:
    """The whole answer (RFC 9110 §15.6.4) to one connection too many, in both languages: nothing was asked yet."""
    texts = [load_words(language)("error.crowded") for language in (Language.FRENCH, Language.ENGLISH)]
    body = "\n\n".join([*texts, ""]).encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 60\r\n"
        f"Cache-Control: no-store\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
