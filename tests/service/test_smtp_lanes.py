"""A message whose archive waits for its turn, and a large one, hold up no letter of the same port."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.smtp_harness import inbox, letter, operator_context, running_smtp
from harness.web_node import health_mail, make_peers

from mailserver.service import receive
from mailserver.service.filing import READINGS_AT_ONCE

OURS, PEER = "camille@a.localhost", "camille@b.localhost"
SECONDS = 30


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    ours, peer = make_peers(tmp_path_factory.mktemp("operators"))
    password = ours.add(OURS).app_password
    yield ours, peer, password
    ours.close()
    peer.close()


def send(running, context, octets):
    with contextlib.closing(running.call_mx(context)) as client:
        return client.sendmail(PEER, [OURS], octets)


def test_a_letter_overtakes_an_archive(operators, monkeypatch):
    ours, peer, password = operators
    context, turns = operator_context(peer), ours.services.delivery.archives._turns
    judged: list[bool] = []
    is_unhurried = threading.Event()
    judge = receive.judge_octets

    def watched(intake, limit_bytes, *, has_bare_octets):
        judged.append(intake.is_hurried)
        if not intake.is_hurried:
            is_unhurried.set()
        return judge(intake, limit_bytes, has_bare_octets=has_bare_octets)

    monkeypatch.setattr(receive, "judge_octets", watched)
    with running_smtp(ours) as running, ThreadPoolExecutor(1) as pool:
        for _ in range(READINGS_AT_ONCE):
            assert turns.acquire(timeout=SECONDS)
        try:
            archive = pool.submit(send, running, context, health_mail("waits"))
            assert is_unhurried.wait(SECONDS)
            for number in range(3):
                assert send(running, context, letter(PEER, OURS, number)) == {}
            assert not archive.done()
        finally:
            for _ in range(READINGS_AT_ONCE):
                turns.release()
        assert archive.result(SECONDS) == {}
        running.settle()
    assert sorted(judged) == [False, True, True, True, True], "the archive once more, unhurried"
    subjects = [octets.count(b"IHE_XDM.ZIP") > 0 for octets in inbox(ours, OURS, password)]
    assert sorted(subjects) == [False, False, False, True], "each once, the archive whole"
