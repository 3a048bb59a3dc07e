"""INPROGRESS: a client that waits for a long command hears how far it is (RFC 9585 §4), by the clock and not by the page."""

import time
from collections.abc import Callable

from mailserver.imap.encode import Status, format_untagged
from mailserver.imap.session import Session

NOTICE_SECONDS = 10.0
"""RFC 9585 §4 recommends 10 to 15: a client whose patience ends after 30 hears two before."""


class Progress:
    """Of one command, which goes through messages in one or several rounds."""

    def __init__(self, session: Session, clock: Callable[[], float] = time.monotonic) -> None:
        self._session = session
        self._clock = clock
        self._told_at = clock()
        self._goal = self._rounds = self._later = 0

    def expect(self, rounds: int, items: int) -> None:
        """There will be so many rounds, the first through so many messages and none through more."""
        self._rounds = rounds
        self._goal = rounds * items

    def begin(self, items: int) -> None:
        """A round begins, through so many messages."""
        self._rounds = max(0, self._rounds - 1)
        self._later = self._rounds * items

    def note(self, left: int) -> None:
        """So many messages of this round are left; told when the last notice is old, and never at the end."""
        left = max(0, left) + self._later
        now = self._clock()
        if now - self._told_at < NOTICE_SECONDS or not 0 < left <= self._goal:
            return
        self._told_at = now
        tag = self._session.tag
        name = "NIL" if "]" in tag else f'"{tag}"'  # RFC 9585 §4: a bracket would end the code
        code = f"INPROGRESS ({name} {self._goal - left} {self._goal})"
        self._session.wire.send(format_untagged(Status.OK, "Still on it", code.encode("ascii")))
