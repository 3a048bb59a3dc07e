"""Fenced leases: one holder at a time for work that must be single (the log's sequencer).

A lease carries a MAC and never counts beyond its own length from now, so that nobody who writes into the database
can keep the work from being done: an altered row is taken over, with a line in the operator's log.
"""

import logging

from sqlalchemy import Connection, Row, Select, insert, select, update
from sqlalchemy.exc import IntegrityError

from mailserver.store import schema
from mailserver.store.row_macs import RowMacs

_table = schema.lease
_query: Select[tuple[str, bytes, int, int, bytes]] = select(_table)
_Found = Row[tuple[str, bytes, int, int, bytes]]

logger = logging.getLogger("pli.lease")


def take_lease(
    connection: Connection, macs: RowMacs, name: str, holder: bytes, period: tuple[int, int]
) -> bool:
    """Take or renew the lease for ``period`` = (now, seconds); False while another holder's is not over."""
    now, seconds = period
    found = connection.execute(_query.where(_table.c.name == name).with_for_update()).first()
    fence = 0
    if found is not None and macs.is_sound("lease", _fields(found), found.row_mac):
        fence = found.fence
        if found.holder != holder and now <= found.until <= now + seconds:
            return False
    elif found is not None:
        logger.error("a lease was altered and is taken over", extra={"lease": name})
    until = now + seconds
    values = {"holder": holder, "until": until, "fence": fence + 1}
    values["row_mac"] = macs.sign("lease", (name, holder, until, fence + 1))
    if found is not None:
        connection.execute(update(_table).where(_table.c.name == name).values(**values))
        return True
    try:
        with connection.begin_nested():
            connection.execute(insert(_table), [values | {"name": name}])
    except IntegrityError:  # another node was first
        return False
    return True


def list_leases(connection: Connection, macs: RowMacs) -> list[str]:
    """Names of the leases; every row's MAC is checked. Raises Corrupt on an altered one."""
    rows = connection.execute(_query.order_by(_table.c.name)).all()
    for found in rows:
        macs.check("lease", _fields(found), found.row_mac)
    return [found.name for found in rows]


def _fields(found: _Found) -> tuple[str, bytes, int, int]:
    return found.name, found.holder, found.until, found.fence
