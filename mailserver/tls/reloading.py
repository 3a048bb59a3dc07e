"""A TLS context that follows its files: a new certificate or authority counts for the next handshake.

A file that cannot be used leaves the context in force as it is, and is tried again when it changes.
"""

import logging
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from mailserver.model.errors import Malformed

logger = logging.getLogger("pli.tls")

States = tuple[tuple[int, int], ...]


ContextSource: TypeAlias = ssl.SSLContext | Callable[[], ssl.SSLContext]
"""A context, or a call that gives the current one."""


def current_context(source: ContextSource) -> Callable[[], ssl.SSLContext]:
    """A call, whichever it is."""
    return (lambda: source) if isinstance(source, ssl.SSLContext) else source


class ReloadingContext:
    """Call it for the context of now: a look at the files' dates, and a new context only when one has changed."""

    def __init__(self, paths: Sequence[Path], build: Callable[[], ssl.SSLContext]) -> None:
        """Raises Malformed when the files cannot be used from the start."""
        self._paths = tuple(paths)
        self._build = build
        self._seen = self._look()
        self._context = build()

    def __call__(self) -> ssl.SSLContext:
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            try:
                self._context = self._build()
            except Malformed as error:
                logger.error("TLS files not taken, the last good ones are kept", extra={"code": error.code})  # noqa: TRY400 # no trace of use
            else:
                logger.info("TLS files read again")
        return self._context

    def _look(self) -> States:
        return tuple(_state(path) for path in self._paths)


def _state(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_ino)
