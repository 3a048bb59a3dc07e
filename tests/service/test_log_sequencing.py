"""The access log from the act to the person's verified copy: chain, sequencer, signer, export, rewritten history."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from harness.log_reading import read_log, unlogged_copy
from harness.node import Node, make_node
from sqlalchemy import delete, insert, select, update

from mailserver.app import build_services
from mailserver.app.custody_link import LOG_STATE_NAME, LocalCustodian
from mailserver.audit import verify_export
from mailserver.audit.entry import AccountHead, parse_leaf
from mailserver.audit.events import Actor, ActorKind, AuditEvent, AuditObject, EventKind, ObjectKind
from mailserver.audit.sign_request import MAX_LEAVES
from mailserver.audit.signer import LogSigner, create_log_state
from mailserver.crypto.slots import ARGON2_FLOOR
from mailserver.model.errors import Conflict, Corrupt, Unavailable
from mailserver.service.access_log import add_entries, prepare_entry
from mailserver.service.keys import OpenAccount
from mailserver.service.log_export import LogCopy, copy_log
from mailserver.service.sequencer import LEASE_SECONDS, Sequencer
from mailserver.store import log_rows, schema
from mailserver.store.writer import Unit

PASSWORD = "un mot de passe long"
NOW = datetime(2026, 7, 6, 9, tzinfo=UTC)
WHO = Actor(ActorKind.PROFESSIONAL, "Camille FICTIF", "camille@a.localhost")


class Log:
    """A node with the log's signer beside its custodian."""

    def __init__(self, folder: Path) -> None:
        node = make_node(folder)
        config = node.services.config
        node.close()
        self.local = LocalCustodian(config)
        self.custody = self.local.custody
        services = build_services(config, self.custody.verbs, argon2=ARGON2_FLOOR)
        self.node = Node(node.folder, self.local._custodian, services)
        self.store = services.store
        self.sequencer = Sequencer(self.store, self.custody.sign_log)

    def person(self, local: str) -> OpenAccount:
        self.node.add(f"{local}@a.localhost", password=PASSWORD)
        return self.node.services.keys.open_with_password(f"{local}@a.localhost", PASSWORD)[0]

    def act(self, account: OpenAccount, words: str = "lettre") -> None:
        event = AuditEvent(EventKind.DELIVERED, NOW, WHO, AuditObject(ObjectKind.MESSAGE, words))
        entry = prepare_entry(account.account, event)
        self.store.writer.commit(Unit(account.account_id, lambda c: add_entries(c, self.store.macs, [entry])))

    def pending(self) -> int:
        with self.store.database.read() as connection:
            return len(log_rows.list_pending(connection, self.store.macs, None))

    def tree_size(self) -> int:
        with self.store.database.read() as connection:
            found = log_rows.find_checkpoint(connection)
        return 0 if found is None else found[0]

    def copy(self, account: OpenAccount, *earlier: int) -> LogCopy:
        return copy_log(self.store, account, unlogged_copy(account), self.custody.log_publics, earlier)

    def close(self) -> None:
        self.node.services.close()
        self.local.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path)
    yield log
    log.close()


def _verify(tmp_path: Path, export: bytes, receipt: bytes | None = None) -> tuple[int, str]:
    """The offline verifier, alone: no Pli on its path, no environment."""
    path, saved = tmp_path / "copy.jsonl", tmp_path / "receipt"
    path.write_bytes(export)
    command = [sys.executable, "-I", verify_export.__file__, str(path), "--lang", "en"]
    if receipt is not None:
        saved.write_bytes(receipt)
        command += ["--checkpoint", str(saved)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_entries_are_chained_and_opened_by_their_owner_alone(log: Log) -> None:
    one, two = log.person("one"), log.person("two")
    for number in range(5):
        log.act(one, f"lettre {number}")
    events = read_log(log.store, one.account, one.space_root())
    assert [each.sequence for each in events] == list(range(6))
    assert [each.event.what.words for each in events[1:]] == [f"lettre {number}" for number in range(5)]
    head = AccountHead(one.account.pseudonym)
    for each in events:
        head = head.accept(parse_leaf(each.leaf))
    assert [each.sequence for each in read_log(log.store, one.account, one.space_root(), newest=2)] == [4, 5]
    with pytest.raises(Corrupt):
        read_log(log.store, one.account, two.space_root())
    with pytest.raises(Corrupt):
        read_log(log.store, two.account, one.space_root())


def test_no_entry_no_act(log: Log, monkeypatch) -> None:
    """L4: when the log cannot be written, the account is not made either."""

    def fail(*_given: object) -> None:
        raise Unavailable("disk-full")

    with monkeypatch.context() as patch:
        patch.setattr(log_rows, "add_entries", fail)
        with pytest.raises(Unavailable):
            log.node.add("none@a.localhost")
    assert log.node.services.administration.list_accounts() == []


@pytest.mark.parametrize("cut", ["first", "middle", "last"])
def test_a_missing_entry_is_told(log: Log, cut: str) -> None:
    one = log.person("one")
    for _act in range(4):
        log.act(one)
    sequence = {"first": 0, "middle": 2, "last": 4}[cut]
    table = schema.log_entry
    with log.store.database.write() as connection:
        connection.execute(delete(table).where(table.c.sequence == sequence))
    with pytest.raises(Corrupt) as refused:
        read_log(log.store, one.account, one.space_root())
    assert refused.value.code == "log-chain"


def test_what_waits_is_signed_and_placed(log: Log) -> None:
    one, two = log.person("one"), log.person("two")
    assert log.sequencer.step(NOW) == 2
    assert log.sequencer.step(NOW) == 0
    for _act in range(7):
        log.act(one)
        log.act(two)
    assert log.sequencer.step(NOW) == 14
    assert (log.pending(), log.tree_size()) == (0, 16)
    places = {
        each.leaf_index for who in (one, two) for each in read_log(log.store, who.account, who.space_root())
    }
    assert places == set(range(16))


def test_a_copy_is_verified_without_pli(log: Log, tmp_path: Path) -> None:
    one = log.person("one")
    with pytest.raises(Conflict) as refused:
        log.copy(one)
    assert refused.value.code == "log-empty"
    _act_often(log, one, 300)
    log.sequencer.step(NOW)
    log.act(one, "pas encore")
    copy = log.copy(one)
    assert (copy.entries, copy.waiting) == (301, 1)
    code, words = _verify(tmp_path, b"".join(copy.lines))
    assert code == 0, words


def test_a_later_copy_follows_an_earlier_receipt(log: Log, tmp_path: Path) -> None:
    one, two = log.person("one"), log.person("two")
    log.sequencer.step(NOW)
    earlier = log.tree_size()
    receipt = log.copy(one).receipt
    for _act in range(5):
        log.act(two)
        log.act(one)
    log.sequencer.step(NOW)
    export = b"".join(log.copy(one, earlier).lines)
    assert _verify(tmp_path, export, receipt)[0] == 0
    foreign = log.copy(two).receipt
    code, words = _verify(tmp_path, export, foreign)
    assert code == 1
    assert "another account" in words


@pytest.mark.parametrize("what", ["edit", "drop", "repeat", "swap", "cut-tail"])
def test_an_altered_copy_fails(log: Log, tmp_path: Path, what: str) -> None:
    one = log.person("one")
    for number in range(5):
        log.act(one, f"lettre {number}")
    log.sequencer.step(NOW)
    head, *entries = b"".join(log.copy(one).lines).splitlines(keepends=True)
    if what == "edit":
        fields = json.loads(entries[2])
        name = next(key for key, value in fields.items() if isinstance(value, str) and len(value) > 100)
        entries[2] = entries[2].replace(fields[name][:20].encode(), fields[name][1:20].encode() + b"A", 1)
    altered = {
        "edit": entries,
        "drop": entries[:2] + entries[3:],
        "repeat": [*entries[:3], entries[2], *entries[3:]],
        "swap": [entries[0], entries[2], entries[1], *entries[3:]],
        "cut-tail": entries[:-1],
    }[what]
    code, words = _verify(tmp_path, b"".join([head, *altered]))
    assert code == 1
    assert words.startswith("FAILED")


def test_a_rewritten_history_fails_against_a_receipt(log: Log, tmp_path: Path) -> None:
    """Who holds the database, the custodian's folder and every key writes a whole other past, signed and consistent:
    the receipt that the person kept elsewhere tells.
    """
    one = log.person("one")
    for number in range(5):
        log.act(one, f"vraie lettre {number}")
    log.sequencer.step(NOW)
    size, kept = log.tree_size(), log.copy(one).receipt
    with log.store.database.write() as connection:
        for table in ("log_entry", "log_head", "log_pending", "log_tile", "log_checkpoint"):
            connection.execute(delete(schema.metadata.tables[table]))
    state = log.node.services.config.keys_folder / LOG_STATE_NAME
    origin = log.local._signer.origin
    log.local._signer.close()
    state.unlink()
    create_log_state(state, origin)
    log.local._signer = LogSigner(state, log.local._custodian.log_keys(), origin)
    for number in range(9):
        log.act(one, f"fausse lettre {number}")
    assert log.sequencer.step(NOW) == 9
    export = b"".join(log.copy(one, size).lines)
    assert _verify(tmp_path, export)[0] == 0, "alone, the other past looks whole"
    code, words = _verify(tmp_path, export, kept)
    assert code == 1
    assert "receipt" in words


class LostCommit:
    """A custodian whose answer is signed and then never reaches the store: the process dies in between."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def __call__(self, request: bytes) -> bytes:
        answer = self._log.custody.sign_log(request)
        if len(request) > 13:  # leaves were signed
            raise Unavailable("killed")
        return answer


def test_a_crash_between_signature_and_commit_recovers_in_the_signers_order(log: Log, tmp_path: Path) -> None:
    one, two = log.person("one"), log.person("two")
    for _act in range(3):
        log.act(one)
        log.act(two)
    with pytest.raises(Unavailable):
        Sequencer(log.store, LostCommit(log)).step(NOW)
    assert (log.pending(), log.tree_size()) == (8, 0)
    # new acts, of an account that would come first: the signed ones keep the places that they were signed at
    for _act in range(4):
        log.act(min(one, two, key=lambda who: who.account_id))
    assert log.sequencer.step(NOW + timedelta(seconds=LEASE_SECONDS + 1)) == 12
    assert (log.pending(), log.tree_size()) == (0, 12)
    for who in (one, two):
        assert _verify(tmp_path, b"".join(log.copy(who).lines))[0] == 0


def test_a_crash_with_a_full_batch_is_no_fork(log: Log, tmp_path: Path) -> None:
    """More waits than one batch holds: what was signed is found wherever it lies among the pending leaves."""
    accounts = sorted((log.person(name) for name in ("one", "two")), key=lambda who: who.account_id)
    first, last = accounts
    _act_often(log, last, MAX_LEAVES - 2)
    with pytest.raises(Unavailable):
        Sequencer(log.store, LostCommit(log)).step(NOW)
    _act_often(log, first, 50)
    later = NOW + timedelta(seconds=LEASE_SECONDS + 1)
    assert log.sequencer.step(later) == MAX_LEAVES
    assert log.sequencer.step(later) == 50
    assert (log.pending(), log.tree_size()) == (0, MAX_LEAVES + 50)
    for who in accounts:
        assert _verify(tmp_path, b"".join(log.copy(who).lines))[0] == 0


def _act_often(log: Log, account: OpenAccount, count: int) -> None:
    """Many entries in one Unit; they share one sealed text, which no test here opens but the verifier."""
    event = AuditEvent(EventKind.DELIVERED, NOW, WHO, AuditObject(ObjectKind.MESSAGE, "lettre"))
    entry = prepare_entry(account.account, event)
    entries = [replace(entry) for _each in range(count)]
    log.store.writer.commit(Unit(account.account_id, lambda c: add_entries(c, log.store.macs, entries)))


def test_two_sequencers_take_turns(log: Log) -> None:
    one = log.person("one")
    log.act(one)
    other = Sequencer(log.store, log.custody.sign_log)
    assert log.sequencer.step(NOW) == 2
    log.act(one)
    assert other.step(NOW + timedelta(seconds=LEASE_SECONDS)) == 0, "the lease is another's"
    assert log.sequencer.step(NOW + timedelta(seconds=LEASE_SECONDS)) == 1
    log.act(one)
    assert other.step(NOW + timedelta(seconds=2 * LEASE_SECONDS + 1)) == 1
    log.act(one)
    assert log.sequencer.step(NOW + timedelta(seconds=2 * LEASE_SECONDS + 2)) == 0


def test_a_sequencer_that_lost_its_lease_writes_nothing(log: Log) -> None:
    """Signed, then paused until another did the work: the fence is the checkpoint."""
    one = log.person("one")
    log.act(one)
    other = Sequencer(log.store, log.custody.sign_log)
    turns = []

    def pause(request: bytes) -> bytes:
        answer = log.custody.sign_log(request)
        if len(request) > 13 and not turns:
            turns.append(other.step(NOW + timedelta(seconds=LEASE_SECONDS + 1)))
        return answer

    with pytest.raises(Conflict) as refused:
        Sequencer(log.store, pause).step(NOW)
    assert (refused.value.code, turns) == ("log-lease", [2])
    assert (log.pending(), log.tree_size()) == (0, 2)


def test_a_store_restored_from_yesterday_is_a_fork(log: Log) -> None:
    """The signer is more than one batch ahead: an operator must look; nothing is signed again."""
    one = log.person("one")
    log.sequencer.step(NOW)
    tables = [
        schema.metadata.tables[name]
        for name in ("log_checkpoint", "log_tile", "log_pending", "log_entry", "log_head")
    ]
    with log.store.database.read() as connection:
        yesterday = {
            table: [dict(row) for row in connection.execute(select(table)).mappings().all()]
            for table in tables
        }
    for _batch in range(2):
        log.act(one)
        log.sequencer.step(NOW)
    with log.store.database.write() as connection:
        for table, rows in yesterday.items():
            connection.execute(delete(table))
            if rows:
                connection.execute(insert(table), rows)
    log.act(one, "autre chose")
    with pytest.raises(Conflict) as refused:
        log.sequencer.step(NOW)
    assert refused.value.code == "log-fork"
    assert log.tree_size() == 1


def test_a_planted_leaf_is_not_signed(log: Log) -> None:
    one = log.person("one")
    table = schema.log_pending
    with log.store.database.write() as connection:
        connection.execute(update(table).values(leaf=bytes(89)))
    assert log.sequencer.step(NOW) == 0
    assert log.sequencer.set_aside == {one.account_id}
    assert log.tree_size() == 0
