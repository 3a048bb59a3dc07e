"""Random commands of three clients against a plain dict (``imap_machine``), over TLS, on a running server."""

from collections.abc import Iterator

import pytest
from harness.imap_harness import RunningImap, TlsFiles, make_node, make_tls, running_imap
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from service.imap_machine import ImapMachine


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> Iterator[RunningImap]:
    node = make_node(tmp_path_factory.mktemp("node"))
    with running_imap(node, tls) as server:
        yield server
    node.close()


def test_three_clients_believe_what_is_true(running: RunningImap, tls: TlsFiles) -> None:
    machine = type("ImapMachine", (ImapMachine,), {"running": running, "tls": tls})
    examples = max(10, settings.default.max_examples // 10)
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=30))
