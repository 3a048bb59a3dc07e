"""What a conversation says to the wire: octets to send, and what comes next."""

from dataclasses import dataclass
from enum import Enum, auto

from mailserver.smtp import replies
from mailserver.smtp.grammar import Bdat


class Next(Enum):
    """What the wire does after an answer."""

    LINE = auto()
    START_TLS = auto()
    DATA = auto()
    CHUNK = auto()
    """The octets of ``Answer.chunk`` follow its line at once."""
    CLOSE = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    octets: bytes
    next: Next = Next.LINE
    chunk: Bdat | None = None


OK = Answer(replies.OK)
