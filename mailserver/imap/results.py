"""How a result is told: SEARCH as it always was, or ESEARCH when a client said what it wants (RFC 4731 §3.1)."""

from collections.abc import Sequence

from mailserver.imap.commands import ResultOption, ResultRange, Returns
from mailserver.imap.sequence_set import compact, format_sequence_set


def format_numbers(verb: str, numbers: Sequence[int], *, highest_modseq: int | None = None) -> bytes:
    """RFC 3501 §7.2.5, RFC 5256 §4; with a mod-sequence, RFC 7162 §3.1.5 and §3.1.6."""
    found = "".join([f" {number}" for number in numbers])
    suffix = f" (MODSEQ {highest_modseq})" if found and highest_modseq is not None else ""
    return f"* {verb}{found}{suffix}\r\n".encode("ascii")


def format_esearch(
    tag: str, numbers: Sequence[int], returns: Returns, *, uid: bool, highest_modseq: int | None = None
) -> bytes:
    """RFC 4731 §3.1; ``numbers`` in the result's order. MIN, MAX and ALL of an empty result are left out."""
    pieces = [b'* ESEARCH (TAG "%s")' % tag.encode("ascii")]
    if uid:
        pieces.append(b"UID")
    has = returns.options
    if ResultOption.MIN in has and numbers:
        pieces.append(b"MIN %d" % numbers[0])
    if ResultOption.MAX in has and numbers:
        pieces.append(b"MAX %d" % numbers[-1])
    if ResultOption.COUNT in has:
        pieces.append(b"COUNT %d" % len(numbers))
    if ResultOption.ALL in has and numbers:
        pieces.append(b"ALL " + format_sequence_set(compact(numbers)))
    if returns.partial is not None:
        pieces.append(_format_partial(numbers, returns.partial))
    if highest_modseq is not None:
        pieces.append(b"MODSEQ %d" % highest_modseq)
    return b" ".join(pieces) + b"\r\n"


def _format_partial(numbers: Sequence[int], asked: ResultRange) -> bytes:
    """RFC 9394 §3.1: the range as it was asked for, and what of the result lies in it."""
    part = asked.part_of(numbers)
    found = format_sequence_set(compact(part)) if part else b"NIL"
    return b"PARTIAL (%d:%d %s)" % (asked.first, asked.last, found)
