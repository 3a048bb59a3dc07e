"""A lease that somebody else wrote into the database keeps nobody from the work."""

import logging

import pytest
from sqlalchemy import update
from store.store_rows import NOW, read, write

from mailserver.model.errors import Corrupt
from mailserver.store import leases, schema
from mailserver.store.store import Store

FIRST, SECOND = b"\x01" * 16, b"\x02" * 16


def _take(store: Store, holder: bytes, now: int = NOW) -> bool:
    return write(store, lambda c: leases.take_lease(c, store.macs, "log", holder, (now, 60)))


def _alter(store: Store, **values: object) -> None:
    write(store, lambda c: c.execute(update(schema.lease).values(**values)).rowcount)


@pytest.mark.parametrize("values", [{"until": 2**40}, {"holder": SECOND}, {"fence": 2**63 - 1}])
def test_an_altered_lease_is_told_and_taken_over(
    store: Store, caplog: pytest.LogCaptureFixture, values: dict[str, object]
) -> None:
    assert _take(store, FIRST)
    _alter(store, **values)
    with pytest.raises(Corrupt) as refused:
        read(store, lambda c: leases.list_leases(c, store.macs))
    assert (refused.value.code, refused.value.detail) == ("row-mac", "lease")
    with caplog.at_level(logging.ERROR, "pli.lease"):
        assert _take(store, FIRST)
    assert [record.getMessage() for record in caplog.records] == ["a lease was altered and is taken over"]
    assert read(store, lambda c: leases.list_leases(c, store.macs)) == ["log"]
    assert not _take(store, SECOND)


def test_a_lease_from_a_clock_that_ran_ahead_does_not_last(store: Store) -> None:
    """Honest, but longer than any lease given now could be: the work's own fence decides."""
    assert _take(store, FIRST, NOW + 10_000)
    assert _take(store, SECOND)
