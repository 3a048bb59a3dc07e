"""What a search over many messages reads of each: its summary and four columns, with a statement as narrow as that."""

from collections.abc import Sequence
from itertools import starmap
from typing import NamedTuple

from sqlalchemy import Connection, and_, bindparam, select

from mailserver.model.ids import AccountId, EmailId, ItemId, MailboxId
from mailserver.store import schema
from mailserver.store.hot_statements import HotRead
from mailserver.store.items import UIDS_PER_STATEMENT

_item, _seal = schema.item, schema.seal
_GAPS = 2
"""A range that holds up to so many times the UIDs asked for is cheaper to read than their list."""


class SummaryRow(NamedTuple):
    """A tuple, because a search makes thousands of them. ``summary`` is sealed."""

    uid: int
    item_id: ItemId
    email_id: EmailId
    received_at: int
    saved_at: int
    is_adopted: bool
    summary: bytes


_ROWS = (
    select(
        _item.c.uid,
        _item.c.item_id,
        _item.c.email_id,
        _item.c.received_at,
        _item.c.saved_at,
        _item.c.is_adopted,
        _seal.c.summary,
    )
    .join(
        _seal,
        and_(
            _seal.c.account_id == _item.c.account_id,
            _seal.c.mailbox_id == _item.c.mailbox_id,
            _seal.c.uid == _item.c.uid,
        ),
    )
    .where(_item.c.account_id == bindparam("account"), _item.c.mailbox_id == bindparam("mailbox"))
    .order_by(_item.c.uid)
)
_BETWEEN = HotRead(_ROWS.where(_item.c.uid.between(bindparam("first"), bindparam("last"))), SummaryRow)
_AMONG = _ROWS.where(_item.c.uid.in_(bindparam("uids", expanding=True)))


def list_summary_rows(
    connection: Connection, account_id: AccountId, mailbox_id: MailboxId, uids: Sequence[int]
) -> list[SummaryRow]:
    """The rows of these items, by UID; ``uids`` ascend and are a page."""
    if not uids:
        return []
    place = {"account": account_id, "mailbox": mailbox_id}
    span = uids[-1] - uids[0] + 1
    if span <= _GAPS * len(uids):
        rows = _BETWEEN.all(connection, {**place, "first": uids[0], "last": uids[-1]})
        if span == len(uids):
            return rows
        wanted = frozenset(uids)
        return [row for row in rows if row.uid in wanted]
    rows = []
    for start in range(0, len(uids), UIDS_PER_STATEMENT):
        part = list(uids[start : start + UIDS_PER_STATEMENT])
        rows.extend(starmap(SummaryRow, connection.execute(_AMONG, {**place, "uids": part}).all()))
    return rows
