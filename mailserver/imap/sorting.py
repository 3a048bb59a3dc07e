"""The order of messages (RFC 5256 §3, RFC 5957 §3): what each criterion compares, and the stable sort by all of them.

Texts compare folded, as SEARCH compares them: without case and without accents, so that a list of names reads as
people expect (RFC 5256 §3 asks for i;unicode-casemap or finer).
"""

from collections.abc import Callable, Sequence
from typing import TypeVar, assert_never

from mailserver.imap.base_subject import find_base
from mailserver.imap.commands import SortCriterion, SortKey
from mailserver.imap.envelope_fields import find_first_address
from mailserver.imap.search import fold
from mailserver.mime.encoded_words import decode_words
from mailserver.mime.summary_wire import SummaryView

T = TypeVar("T")
Value = int | str
"""Of one kind for each criterion."""
Reader = Callable[[int, SummaryView], Value]
"""From the internal date and the summary of a message."""


def sent_or_received(received_at: int, summary: SummaryView) -> int:
    """The sent date in seconds; the internal date stands in for one that cannot be read (RFC 5256 §2.2)."""
    sent_at = summary.sent_at
    return received_at if sent_at is None else sent_at


def reader_of(key: SortKey) -> Reader:
    """What a criterion compares."""
    match key:
        case SortKey.ARRIVAL:
            return lambda received_at, _: received_at
        case SortKey.DATE:
            return sent_or_received
        case SortKey.SIZE:
            return lambda _, summary: summary.size_bytes
        case SortKey.SUBJECT:
            return lambda _, summary: fold(find_base(summary.subject)[0])
        case SortKey.FROM | SortKey.TO | SortKey.CC:
            name = key.lower()
            return lambda _, summary: _mailbox(find_first_address(summary.envelope, name))
        case SortKey.DISPLAYFROM | SortKey.DISPLAYTO:
            field = key.removeprefix("DISPLAY").lower()
            return lambda _, summary: _display(find_first_address(summary.envelope, field))
        case _:
            assert_never(key)


def sort_all(
    items: Sequence[T], columns: Sequence[Sequence[Value]], criteria: Sequence[SortCriterion]
) -> list[T]:
    """``items`` ordered by parallel ``columns``, one for each criterion. Those alike in all keep their order, which
    REVERSE does not turn (RFC 5256 §3).
    """
    order = list(range(len(items)))
    for column, criterion in reversed(list(zip(columns, criteria, strict=True))):
        order.sort(key=column.__getitem__, reverse=criterion.is_reverse)
    return [items[at] for at in order]


def _mailbox(address: tuple[bytes, bytes, bytes]) -> str:
    """addr-mailbox (RFC 5256 §3); of a group, its name."""
    return fold(decode_words(address[1]))


def _display(address: tuple[bytes, bytes, bytes]) -> str:
    """RFC 5957 §3: the name, else the address, else of a group its name."""
    name, local, domain = address
    return fold(decode_words(name or (local + b"@" + domain if domain else local)))
