"""Rows of sealed text segments: each covers a range of one mailbox's UIDs, and no two ranges meet.

What ``drop_segments`` deletes goes in the transaction that expunges (K16, K18); nothing here needs a key. A segment
is put only while every message that it holds is still in its mailbox, so none outlives what it was made of.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from mailserver.model.ids import AccountId, MailboxId, SegmentId
from mailserver.store import schema

_table, _item = schema.text_segment, schema.item
_ROWS_PER_STATEMENT = 500


class SegmentSpan(NamedTuple):
    """What the row of a segment says in the clear. ``first_uid`` and ``last_uid`` are in it."""

    first_uid: int
    last_uid: int
    segment_id: SegmentId
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class SegmentRow:
    span: SegmentSpan
    octets: bytes = field(repr=False)


_HERE = (_table.c.account_id == bindparam("account"), _table.c.mailbox_id == bindparam("mailbox"))
_SPANS = (
    select(_table.c.first_uid, _table.c.last_uid, _table.c.segment_id, _table.c.stored_bytes)
    .where(*_HERE)
    .order_by(_table.c.first_uid)
)
_BETWEEN = _SPANS.where(_table.c.first_uid.between(bindparam("first"), bindparam("last")))
_FIRST = select(func.max(_table.c.first_uid)).where(*_HERE, _table.c.first_uid <= bindparam("uid"))
_ROWS = _SPANS.add_columns(_table.c.octets).where(
    _table.c.first_uid.in_(bindparam("first_uids", expanding=True))
)
_DROP = delete(_table).where(*_HERE, _table.c.first_uid.in_(bindparam("first_uids", expanding=True)))
_UIDS = select(_item.c.uid).where(
    _item.c.account_id == bindparam("account"),
    _item.c.mailbox_id == bindparam("mailbox"),
    _item.c.uid.between(bindparam("first"), bindparam("last")),
)
Place = tuple[AccountId, MailboxId]


def list_spans(connection: Connection, place: Place) -> list[SegmentSpan]:
    """Every segment of a mailbox, by UID."""
    return [SegmentSpan(*row) for row in connection.execute(_SPANS, _here(place)).all()]


def list_segments(connection: Connection, place: Place, first_uids: Sequence[int]) -> list[SegmentRow]:
    """The segments that begin at these UIDs; the caller bounds what they hold together."""
    rows = connection.execute(_ROWS, _here(place) | {"first_uids": list(first_uids)}).all()
    return [SegmentRow(SegmentSpan(*span), octets) for *span, octets in rows]


def put_segment(connection: Connection, place: Place, row: SegmentRow, uids: Sequence[int]) -> bool:
    """Store a segment that holds ``uids``, in the place of those that it meets; False when one of the messages left."""
    first, last = row.span.first_uid, row.span.last_uid
    present = set(connection.execute(_UIDS, _here(place) | {"first": first, "last": last}).scalars())
    if not present.issuperset(uids):
        return False
    drop_segments(connection, place, [(first, last)])
    values = {"account_id": place[0], "mailbox_id": place[1], **row.span._asdict(), "octets": row.octets}
    connection.execute(insert(_table), [values])
    return True


def drop_segments(connection: Connection, place: Place, ranges: Sequence[tuple[int, int]]) -> None:
    """Delete every segment that meets one of these ranges of UIDs, sorted and disjoint."""
    if not ranges:
        return
    parameters = {"uid": ranges[0][0], "last": ranges[-1][1]} | _here(place)
    first = connection.execute(_FIRST, parameters).scalar()
    parameters["first"] = ranges[0][0] if first is None else first
    spans = [SegmentSpan(*row) for row in connection.execute(_BETWEEN, parameters).all()]
    ends = [last for _first, last in ranges]
    doomed = []
    for span in spans:
        at = bisect_left(ends, span.first_uid)
        if at < len(ranges) and ranges[at][0] <= span.last_uid:
            doomed.append(span.first_uid)
    for start in range(0, len(doomed), _ROWS_PER_STATEMENT):
        part = doomed[start : start + _ROWS_PER_STATEMENT]
        connection.execute(_DROP, _here(place) | {"first_uids": part})


def _here(place: Place) -> dict[str, object]:
    return {"account": place[0], "mailbox": place[1]}
