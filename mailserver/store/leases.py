"""Fenced leases: one holder at a time for work that must be single (the log's sequencer)."""

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from mailserver.store import schema

_table = schema.lease


def take_lease(connection: Connection, name: str, holder: bytes, now: int, seconds: int) -> bool:
    """Take or renew the lease; False while another holder's is not over."""
    mine = (_table.c.holder == holder) | (_table.c.until < now)
    changed = connection.execute(
        update(_table)
        .where(_table.c.name == name, mine)
        .values(holder=holder, until=now + seconds, fence=_table.c.fence + 1)
    )
    if changed.rowcount:
        return True
    if connection.execute(select(_table.c.name).where(_table.c.name == name)).first() is not None:
        return False
    values = {"name": name, "holder": holder, "until": now + seconds, "fence": 1}
    try:
        with connection.begin_nested():
            connection.execute(insert(_table), [values])
    except IntegrityError:  # another node was first
        return False
    return True
