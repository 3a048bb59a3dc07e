"""What a worker may not ask of the custodian, how often it may ask, and what is refused while the log is late."""

import socket
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from mailserver.crypto.custodian import JOURNAL_NAME, Custodian, utc_now
from mailserver.crypto.custodian_channel import CustodianClient, CustodianServer
from mailserver.crypto.custodian_journal import verify_journal
from mailserver.crypto.custodian_rates import (
    COUNT_SECONDS,
    HARDEN_LIMITS,
    MANY,
    HardenLimit,
    HardenRate,
    Standing,
)
from mailserver.crypto.seal import KeyPair
from mailserver.crypto.secret import Secret
from mailserver.model.errors import Denied, OverLimit, Unavailable

ACCOUNT, OTHER, SLOT = b"\x11" * 16, b"\x33" * 16, b"\x22" * 16
START = datetime(2030, 1, 1, 12, 30, tzinfo=UTC)
SESSION = KeyPair.from_seed(Secret(bytes(32)))
BURST = HARDEN_LIMITS[Standing.STRANGER].burst


class Clock:
    def __init__(self):
        self.time = START

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def custodian(tmp_path, clock):
    made = Custodian.create(tmp_path / "keys", clock)
    yield made
    made.close()


@contextmanager
def client_of(custodian, extra=None, *, administrator=False, on_broken=lambda: None):
    ours, theirs = socket.socketpair()
    server = CustodianServer(custodian, extra, reserved=["sign"])
    serve = lambda: server.serve_connection(theirs, administrator=administrator)
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield CustodianClient(ours, timeout_seconds=5, on_broken=on_broken)
    finally:
        ours.close()
        thread.join(10)
        assert not thread.is_alive()


def refusal(call):
    with pytest.raises(Denied) as refused:
        call()
    return refused.value.code


def test_a_reserved_verb_is_an_administrators(custodian):
    extra = {"sign": bytes, "echo": bytes}
    with client_of(custodian, extra) as worker:
        assert refusal(lambda: worker.call("sign", b"leaf")) == "custodian-verb"
        assert worker.call("echo", b"x") == b"x"
    with client_of(custodian, extra, administrator=True) as administrator:
        assert administrator.call("sign", b"leaf") == b"leaf"


def test_a_worker_drops_past_days_of_the_queue_only(custodian):
    today = int(utc_now().timestamp()) // 86400
    with client_of(custodian) as worker:
        for purpose, epoch in (("totp", 0), ("profile", 1), ("queue", today), ("queue", today + 1)):
            key = worker.service_key(purpose, epoch)
            assert refusal(lambda p=purpose, e=epoch: worker.drop_service_key(p, e)) == "custodian-verb"
            assert worker.service_key(purpose, epoch) == key
        old = worker.service_key("queue", today - 1)
        worker.drop_service_key("queue", today - 1)
        assert worker.service_key("queue", today - 1) != old
    with client_of(custodian, administrator=True) as administrator:
        key = administrator.service_key("totp", 0)
        administrator.drop_service_key("totp", 0)
        assert administrator.service_key("totp", 0) != key


def test_a_broken_link_is_told_once(custodian):
    told = []
    with client_of(custodian, on_broken=lambda: told.append(1)) as client:
        client.row_key()
        assert told == []
        client._sock.shutdown(socket.SHUT_RDWR)
        for _again in range(2):
            with pytest.raises(Unavailable) as refused:
                client.service_key("queue", 1)
            assert refused.value.code == "custodian"
    assert told == [1]


def release(custodian, account):
    made = custodian.provision(account)
    return custodian.release(account, made.custody_header, made.custody_body, SESSION.public, "enrolment")


def test_nothing_is_released_while_the_log_is_late(custodian, clock):
    custodian.mark_log(is_late=True)
    with pytest.raises(Unavailable) as refused:
        release(custodian, ACCOUNT)
    assert refused.value.code == "log-late"
    custodian.mark_log(is_late=False, set_aside=[OTHER])
    assert release(custodian, ACCOUNT)
    with pytest.raises(Unavailable) as refused:
        release(custodian, OTHER)
    assert refused.value.code == "log-late"
    custodian.mark_log(is_late=False)
    assert release(custodian, OTHER)


def harden(custodian, account=ACCOUNT, standing=Standing.STRANGER):
    return custodian.harden(account, SLOT, b"v", standing)


def test_who_guesses_is_slowed_down(custodian, clock):
    for _guess in range(BURST):
        harden(custodian)
    with pytest.raises(OverLimit) as refused:
        harden(custodian)
    assert refused.value.code == "harden-rate"
    assert harden(custodian, OTHER), "another account is not locked out"
    clock.time += timedelta(seconds=2)
    assert harden(custodian)
    with pytest.raises(OverLimit):
        harden(custodian)


def test_a_stranger_does_not_spend_what_known_browsers_have(custodian):
    with pytest.raises(OverLimit):
        while True:
            harden(custodian)
    for _try in range(HARDEN_LIMITS[Standing.KNOWN].burst):
        assert harden(custodian, standing=Standing.KNOWN)
    with pytest.raises(OverLimit) as refused:
        harden(custodian, standing=Standing.KNOWN)
    assert refused.value.code == "harden-rate"


def test_strangers_together_do_not_spend_it_either():
    limits = HARDEN_LIMITS | {Standing.STRANGER: HardenLimit(3, 1.0, 3, 1.0)}
    rate = HardenRate(limits)
    for number in range(3):
        rate.take(number.to_bytes(16, "big"), Standing.STRANGER, START)
    with pytest.raises(OverLimit):
        rate.take(ACCOUNT, Standing.STRANGER, START)
    rate.take(ACCOUNT, Standing.KNOWN, START)


def test_a_worker_that_claims_every_standing_has_the_sum():
    """docs/threats.md says these figures."""
    limits = HARDEN_LIMITS.values()
    assert sum(limit.burst for limit in limits) == 300
    assert sum(limit.per_second for limit in limits) == pytest.approx(1.0)
    assert sum(limit.per_second_of_all for limit in limits) == pytest.approx(200.0)


def test_the_standing_crosses_the_channel(custodian):
    with client_of(custodian) as client:
        with pytest.raises(OverLimit):
            while True:
                harden(client)
        assert harden(client, standing=Standing.KNOWN)


def test_names_made_up_at_random_are_limited_in_all_and_fill_no_memory(monkeypatch):
    monkeypatch.setattr("mailserver.crypto.custodian_rates._MOST_ACCOUNTS", 100)
    rate, stranger = HardenRate(), Standing.STRANGER
    for number in range(HARDEN_LIMITS[stranger].burst_of_all):
        rate.take(number.to_bytes(16, "big"), stranger, START + timedelta(seconds=2 * number))
        assert len(rate._buckets) <= 101
    limited = HardenRate({stranger: HardenLimit(300, 1.0, 5, 1.0)})
    for number in range(5):
        limited.take(number.to_bytes(16, "big"), stranger, START)
    with pytest.raises(OverLimit) as refused:
        limited.take(ACCOUNT, stranger, START)
    assert refused.value.code == "harden-rate"


def test_the_journal_counts(custodian, clock, tmp_path):
    for _guess in range(BURST + 5):
        try:
            harden(custodian)
        except OverLimit:
            continue
    harden(custodian, OTHER)
    assert custodian.journal_head.count == 0, "no line a guess"
    clock.time += timedelta(seconds=COUNT_SECONDS)
    harden(custodian)
    assert custodian.journal_head.count == 2
    text = (tmp_path / "keys" / JOURNAL_NAME).read_text()
    assert f"{BURST + 6} calls, 2 accounts, 5 refused" in text
    assert f'"{ACCOUNT.hex()}","basis":"{BURST + 5} calls"' in text
    assert OTHER.hex() not in text
    assert verify_journal(tmp_path / "keys" / JOURNAL_NAME).count == 2


def test_the_last_counts_are_written_at_the_end(tmp_path, clock):
    custodian = Custodian.create(tmp_path / "keys", clock)
    for _guess in range(MANY - 1):
        harden(custodian)
    custodian.close()
    (line,) = (tmp_path / "keys" / JOURNAL_NAME).read_text().splitlines()
    assert f"{MANY - 1} calls, 1 accounts, 0 refused" in line


def test_a_closed_custodian_hardens_nothing(tmp_path, clock):
    custodian = Custodian.create(tmp_path / "keys", clock)
    custodian.close()
    with pytest.raises(Unavailable) as refused:
        harden(custodian)
    assert refused.value.code == "custodian"
