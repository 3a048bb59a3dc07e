"""The limits of pli.toml are the ones in force."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from service.delivery_peers import PEER_DOMAIN, Bench, make_bench, message, open_with_password

from mailserver.model.account import Role
from mailserver.model.address import parse_address
from mailserver.model.errors import OverLimit
from mailserver.policy.decision import Reason
from mailserver.service.quotas import Amount

ADDRESS, PASSWORD = "camille@a.localhost", "un mot de passe long"


@pytest.fixture
def bench(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    limits = {"MESSAGE_BYTES": 70_000, "RECIPIENTS": 2, "MESSAGES": 3}
    for key, value in limits.items():
        monkeypatch.setenv(f"PLI_LIMITS_{key}", str(value))
    monkeypatch.setenv("PLI_LARGE_LIMIT_BYTES", "0")
    bench = make_bench(tmp_path)
    bench.node.add(ADDRESS, password=PASSWORD)
    yield bench
    bench.node.close()


def test_recipients_from_another_operator(bench: Bench) -> None:
    reception, now = bench.services.reception, datetime.now(UTC)
    reasons = [reception.decide_recipient(parse_address(ADDRESS), so_far, now)[0].reason for so_far in (1, 2)]
    assert reasons == [Reason.ACCEPTED, Reason.TOO_MANY_RECIPIENTS]


def test_recipients_of_ours(bench: Bench) -> None:
    submission, now = bench.services.submission, datetime.now(UTC)
    away = parse_address(f"noa@{PEER_DOMAIN}")
    reasons = [submission.decide_recipient(away, so_far, now)[0].reason for so_far in (1, 2)]
    assert reasons == [Reason.ACCEPTED, Reason.TOO_MANY_RECIPIENTS]


def test_size(bench: Bench) -> None:
    assert bench.services.reception.limit_bytes == bench.services.submission.limit_bytes == 70_000
    with pytest.raises(OverLimit, match="message-too-large"):
        bench.accept([ADDRESS], message("large", body=b"x" * 71_000))


def test_messages_in_one_account(bench: Bench) -> None:
    for number in range(4):
        bench.deliver([ADDRESS], message(number))
    account, messages = open_with_password(bench, ADDRESS), bench.services.messages
    one = Amount(1, 0)
    with pytest.raises(OverLimit, match="quota"):
        messages.quotas.demand_room(account.account_id, one)
    boxes = bench.box(account).mailbox_id, bench.box(account, Role.ARCHIVE).mailbox_id
    with pytest.raises(OverLimit, match="quota"):
        messages.copy(account, boxes, [(1, 4)], 0)
    messages.expunge(account, boxes[0], [(1, 2)])
    messages.quotas.demand_room(account.account_id, one)
