"""What is clear of the items of a mailbox, many at a time: columns for views, stamps for FETCH."""

import json
from collections.abc import Sequence
from itertools import starmap
from typing import NamedTuple

from sqlalchemy import Connection, String, bindparam, cast, func, select

from mailserver.model.ids import AccountId, EmailId, MailboxId
from mailserver.model.mailbox_columns import MailboxColumns, parse_columns
from mailserver.store import schema
from mailserver.store.items import UidRange, merged, slices, within

_item = schema.item
_COLUMNS = (
    select(_item.c.uid, _item.c.flags, _item.c.modseq)
    .where(_item.c.account_id == bindparam("account"), _item.c.mailbox_id == bindparam("mailbox"))
    .order_by(_item.c.uid)
    .subquery()
)
_COLUMNS_OF = {
    "sqlite": select(*(cast(func.json_group_array(column), String) for column in _COLUMNS.c)),
    "postgresql": select(*(cast(func.json_agg(column), String) for column in _COLUMNS.c)),
}
"""One row for a whole mailbox: a hundred thousand rows cost Python seven times as much."""


def load_columns(connection: Connection, account_id: AccountId, mailbox_id: MailboxId) -> MailboxColumns:
    """UIDs, flags and mod-sequences of every item, by UID: what a session's view is made of."""
    place = {"account": account_id, "mailbox": mailbox_id}
    found = connection.execute(_COLUMNS_OF[connection.dialect.name], place).one()
    return parse_columns(*(json.loads(column or "[]") for column in found))


def list_uids(connection: Connection, account_id: AccountId, mailbox_id: MailboxId) -> list[int]:
    """The UID of every item, ascending."""
    query = select(_item.c.uid).where(_item.c.account_id == account_id, _item.c.mailbox_id == mailbox_id)
    return list(connection.execute(query.order_by(_item.c.uid)).scalars())


class ItemStamp(NamedTuple):
    """An item without its seal."""

    uid: int
    email_id: EmailId
    received_at: int
    saved_at: int


_STAMPS = select(_item.c.uid, _item.c.email_id, _item.c.received_at, _item.c.saved_at)


def list_stamps(
    connection: Connection, account_id: AccountId, mailbox_id: MailboxId, ranges: Sequence[UidRange]
) -> list[ItemStamp]:
    """The items in these ranges, by UID."""
    here = _STAMPS.where(_item.c.account_id == account_id, _item.c.mailbox_id == mailbox_id)
    found: list[ItemStamp] = []
    for part in slices(merged(ranges)):
        rows = connection.execute(here.where(within(_item.c.uid, part)).order_by(_item.c.uid)).all()
        found.extend(starmap(ItemStamp, rows))
    return found
