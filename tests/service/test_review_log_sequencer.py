"""One account's broken chain keeps nobody else's entries from the tree; nobody who writes rows stops the sequencer."""

import logging
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from harness.log_stage import NOW, LogStage
from sqlalchemy import delete, select, update

from mailserver.app.custody_link import connected
from mailserver.audit.sign_request import MAX_LEAVES, format_sign_request
from mailserver.crypto.custodian_channel import CustodianClient
from mailserver.model.errors import Conflict, Corrupt, Denied, Unavailable
from mailserver.service.sequencer import ASIDE_SECONDS, LEASE_SECONDS, Sequencer
from mailserver.store import schema

ASIDE = "an account's log does not follow and is set aside"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[LogStage]:
    stage = LogStage(tmp_path)
    yield stage
    stage.close()


def _aside(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [
        (str(record.__dict__["pseudonym"]), str(record.__dict__["code"]))
        for record in caplog.records
        if record.getMessage() == ASIDE
    ]


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("out-of-chain", "log-sequence"),
        ("unsigned-row", "row-mac"),
        ("no-leaf", "log-leaf"),
        ("anothers-name", "log-leaf"),
    ],
)
def test_a_broken_chain_is_set_aside_and_the_others_go_on(
    stage: LogStage, caplog: pytest.LogCaptureFixture, what: str, code: str
) -> None:
    bad, *good = (stage.person(name) for name in ("bad", "one", "two"))
    assert stage.sequencer.step(NOW) == 3
    for who in (bad, bad, *good):
        stage.act(who)
    leaf = {
        "out-of-chain": stage.forged_leaf(bad),
        "unsigned-row": stage.forged_leaf(bad),
        "no-leaf": b"\xff" * 89,
        "anothers-name": stage.forged_leaf(bad, good[0].account.pseudonym),
    }[what]
    stage.replace_pending(bad, leaf, is_signed=what != "unsigned-row")
    with caplog.at_level(logging.ERROR, "pli.sequencer"):
        assert stage.sequencer.step(NOW) == 2
        assert stage.sequencer.step(NOW) == 0
    assert stage.sequencer.set_aside == {bad.account_id}
    assert _aside(caplog) == [(bad.account.pseudonym.hex(), code)], "told once, by pseudonym"
    for who in good:
        stage.act(who)
    assert stage.sequencer.step(NOW) == 2
    assert [stage.pending(who) for who in good] == [0, 0]
    assert stage.pending(bad) > 0
    later = NOW + timedelta(seconds=ASIDE_SECONDS)
    with caplog.at_level(logging.ERROR, "pli.sequencer"):
        stage.sequencer.step(later)
    assert _aside(caplog)[1:] == [(bad.account.pseudonym.hex(), code)], "and again while it lasts"


def test_a_whole_page_that_is_set_aside_hides_nobody(stage: LogStage) -> None:
    first, last = sorted((stage.person(name) for name in ("one", "two")), key=lambda who: who.account_id)
    stage.sequencer.step(NOW)
    stage.act(first, count=MAX_LEAVES)
    stage.act(last)
    with stage.store.database.write() as connection:
        table = schema.log_pending
        connection.execute(
            update(table).where(table.c.account_id == first.account_id).values(row_mac=bytes(32))
        )
    assert stage.sequencer.step(NOW) == 1
    assert stage.pending(last) == 0


def test_a_mended_account_goes_on(stage: LogStage) -> None:
    bad = stage.person("bad")
    stage.sequencer.step(NOW)
    stage.act(bad)
    table = schema.log_pending
    with stage.store.database.read() as connection:
        honest = bytes(connection.execute(select(table.c.leaf)).scalar_one())
    stage.replace_pending(bad, stage.forged_leaf(bad))
    assert stage.sequencer.step(NOW) == 0
    stage.replace_pending(bad, honest)
    assert stage.sequencer.step(NOW + timedelta(seconds=ASIDE_SECONDS)) == 1
    assert stage.sequencer.set_aside == frozenset()


def test_what_was_signed_before_an_account_was_set_aside_keeps_its_place(stage: LogStage) -> None:
    """Signed, not committed, then a broken row behind it: no fork, and no gap."""
    bad, good = stage.person("bad"), stage.person("good")

    def lost(request: bytes) -> bytes:
        answer = stage.custody.sign_log(request)
        if len(request) > 13:
            raise Unavailable("killed")
        return answer

    with pytest.raises(Unavailable):
        Sequencer(stage.store, lost).step(NOW)
    stage.act(bad)
    stage.act(good)
    stage.replace_pending(bad, stage.forged_leaf(bad))
    later = NOW + timedelta(seconds=LEASE_SECONDS + 1)
    assert stage.sequencer.step(later) == 3
    assert (stage.tree_size(), stage.pending(bad), stage.pending(good)) == (3, 1, 0)


@pytest.mark.parametrize("values", [{"until": 2**40}, {"holder": b"x" * 16, "until": 2**40}])
def test_a_stolen_lease_stops_nothing(stage: LogStage, values: dict[str, object]) -> None:
    one = stage.person("one")
    stage.sequencer.step(NOW)
    stage.act(one)
    with stage.store.database.write() as connection:
        connection.execute(update(schema.lease).values(**values))
    assert stage.sequencer.step(NOW) == 1


def test_an_altered_head_is_refused_and_told(stage: LogStage) -> None:
    one = stage.person("one")
    stage.act(one)
    assert stage.problems() == ()
    with stage.store.database.write() as connection:
        connection.execute(update(schema.log_head).values(sequence=1))
    with pytest.raises(Corrupt) as refused:
        stage.act(one)
    assert (refused.value.code, refused.value.detail) == ("row-mac", "log_head")
    problems = stage.problems()
    assert ("row MAC does not fit (log_head)", one.account_id.hex()) in problems


def test_check_tells_an_altered_lease(stage: LogStage) -> None:
    stage.person("one")
    stage.sequencer.step(NOW)
    with stage.store.database.write() as connection:
        connection.execute(update(schema.lease).values(until=2**40))
    problems = stage.problems()
    assert ("row MAC does not fit (lease)", "") in problems


def test_a_worker_has_no_leaf_signed(stage: LogStage) -> None:
    one = stage.person("one")
    stage.act(one)
    stage.sequencer.step(NOW)
    ours, theirs = socket.socketpair()
    stage.local.serve(theirs, administrator=False)
    client = CustodianClient(ours)
    worker = connected(client)
    assert worker.log_publics == stage.custody.log_publics
    with pytest.raises(Denied) as refused:
        worker.sign_log(format_sign_request(2, [stage.forged_leaf(one)]))
    assert refused.value.code == "custodian-verb"
    client.close()
    stage.act(one)
    assert stage.sequencer.step(NOW) == 1, "nothing was signed in between"


def test_the_refusal_names_the_account(stage: LogStage) -> None:
    one = stage.person("one")
    stage.act(one)
    with pytest.raises(Conflict) as refused:
        stage.custody.sign_log(format_sign_request(0, [stage.forged_leaf(one)]))
    assert (refused.value.code, refused.value.detail) == ("log-sequence", one.account.pseudonym.hex())


def test_a_deleted_log_is_set_aside(stage: LogStage, caplog: pytest.LogCaptureFixture) -> None:
    """Head and entries of an account are gone: its chain begins anew, and the signer remembers the old one."""
    one, two = stage.person("one"), stage.person("two")
    stage.sequencer.step(NOW)
    with stage.store.database.write() as connection:
        for table in (schema.log_head, schema.log_entry):
            connection.execute(delete(table).where(table.c.account_id == one.account_id))
    stage.act(one)
    stage.act(two)
    with caplog.at_level(logging.ERROR, "pli.sequencer"):
        assert stage.sequencer.step(NOW) == 1
    assert _aside(caplog) == [(one.account.pseudonym.hex(), "log-sequence")]
