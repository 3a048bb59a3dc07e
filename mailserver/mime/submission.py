"""Line discipline of DATA (S1, RFC 5321 §2.3.8): CR and LF stand only together, NUL not at all."""

from enum import StrEnum


class LineDefect(StrEnum):
    """Why DATA is refused; the first kind found in the order below."""

    NUL = "nul"
    BARE_CR = "bare-cr"
    BARE_LF = "bare-lf"


class LineDiscipline:
    """Checks octets chunk by chunk; remembers one octet. A pair may be cut between two chunks."""

    __slots__ = ("_ends_in_cr", "defect")

    def __init__(self) -> None:
        self._ends_in_cr = False
        self.defect: LineDefect | None = None

    def feed(self, chunk: bytes) -> LineDefect | None:
        """Take the next octets; the defect found so far, or None."""
        if self.defect or not chunk:
            return self.defect
        if b"\0" in chunk:
            self.defect = LineDefect.NUL
            return self.defect
        begins_with_lf = chunk[0] == 0x0A
        pairs = chunk.count(b"\r\n")
        line_feeds = chunk.count(b"\n") - pairs
        returns = chunk.count(b"\r") - pairs
        if self._ends_in_cr and not begins_with_lf:
            self.defect = LineDefect.BARE_CR
        line_feeds -= self._ends_in_cr and begins_with_lf
        self._ends_in_cr = chunk[-1] == 0x0D
        returns -= self._ends_in_cr
        if returns and not self.defect:
            self.defect = LineDefect.BARE_CR
        elif line_feeds and not self.defect:
            self.defect = LineDefect.BARE_LF
        return self.defect

    def close(self) -> LineDefect | None:
        """The verdict on the whole: a CR at the very end is bare."""
        if self._ends_in_cr and not self.defect:
            self.defect = LineDefect.BARE_CR
        return self.defect


def check_line_discipline(octets: bytes) -> LineDefect | None:
    """The defect of a whole text, or None."""
    discipline = LineDiscipline()
    discipline.feed(octets)
    return discipline.close()
