"""Long answers leave piece by piece, as fast as the browser takes them, and give back what they held (S4)."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

SLICE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """Octets to send under exactly this type; ``pieces`` may block and is used once."""

    content_type: str
    size_bytes: int
    pieces: Iterable[bytes]

    def __repr__(self) -> str:
        return "Content(…)"


def slices(data: bytes) -> Iterator[bytes]:
    """What is in memory, so that no copy of it waits for the browser."""
    for start in range(0, len(data), SLICE_BYTES):
        yield data[start : start + SLICE_BYTES]


class HeldResponse(StreamingResponse):
    """Sends a content of known length; ``held`` is given back once it is out or the browser is gone."""

    def __init__(
        self, content: Content, headers: Mapping[str, str], held: ExitStack, status: int = 200
    ) -> None:
        length = {"content-length": str(content.size_bytes)}
        super().__init__(content.pieces, status, {**headers, **length}, content.content_type)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await super().__call__(scope, receive, send)
