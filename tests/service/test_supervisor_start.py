"""A server that cannot start says why, once, with the exit code of its reason."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailserver.app import supervisor
from mailserver.app.ports import demand_ports
from mailserver.app.supervisor import Supervisor
from mailserver.cli import main as command
from mailserver.config import ListenConfig, demand_revocation, load_config
from mailserver.model.errors import Unavailable

OFF = {"submission": 0, "submissions": 0, "imap": 0, "imaps": 0, "web": 0}


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another operator's worker would share."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    assert command.run(["init", str(tmp_path / "a"), "--domain", "a.localhost"]) == 0
    return tmp_path / "a/pli.toml"


def test_a_port_that_is_free_stays_free(taken: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    listen = ListenConfig(mx=free, **OFF)
    demand_ports(listen, 0)
    demand_ports(listen, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_shared_port_is_a_taken_one(taken: int, host: str) -> None:
    with pytest.raises(Unavailable, match=f"Port {taken} of {host} ") as refused:
        demand_ports(ListenConfig(host=host, mx=taken, **OFF), 0)
    assert refused.value.code == "port-in-use"
    assert "(mx in [listen] of pli.toml)" in refused.value.detail


def test_a_port_that_is_let_go_in_time() -> None:
    """The workers of a killed supervisor end a moment after it."""
    other = socket.create_server(("127.0.0.1", 0))
    listen = ListenConfig(mx=other.getsockname()[1], **OFF)
    with pytest.raises(Unavailable):
        demand_ports(listen, 0)
    threading.Timer(0.1, other.close).start()
    demand_ports(listen, 30)


def test_a_lingering_connection_holds_no_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted = listener.accept()[0]
    accepted.close()
    client.close()
    demand_ports(ListenConfig(mx=port, **OFF), 0)


def test_serve_names_the_port(
    config: Path, taken: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "PORT_SECONDS", 0)
    monkeypatch.setenv("PLI_LISTEN_MX", str(taken))
    monkeypatch.setenv("PLI_TLS_REVOCATION", "unchecked")
    capsys.readouterr()
    assert command.run(["serve", "-c", str(config)]) == 3
    captured = capsys.readouterr()
    assert f"Port {taken} of 127.0.0.1 (mx in [listen] of pli.toml) is in use" in captured.err
    assert not (config.parent / "keys/custodian.sock").exists()


@pytest.mark.parametrize(
    ("ends_with", "code"),
    [("raise SystemExit(3)", 3), ("raise SystemExit(1)", 1), ("os.kill(os.getpid(), 9)", 70)],
)
def test_the_exit_code_is_the_workers(config: Path, ends_with: str, code: int) -> None:
    server = Supervisor(load_config(config), config, 1)
    process = subprocess.Popen([sys.executable, "-c", f"import os; {ends_with}"])
    server._fleet = [supervisor._Worker(0, process)]
    server._await_ready()
    assert server.is_stopping
    assert server._stop() == code


def test_a_start_that_takes_too_long(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "START_SECONDS", 0)
    server = Supervisor(load_config(config), config, 1)
    server._fleet = [
        supervisor._Worker(0, subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]))
    ]
    server._await_ready()
    assert server._stop() == 3


def test_nobody_serves_without_revocation_unless_they_wrote_so(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    capsys.readouterr()
    assert command.run(["serve", "-c", str(config)]) == 2
    said = capsys.readouterr().err
    for word in (
        "peer_crl and peer_ocsp in [tls] are both empty",
        "was revoked",
        'write revocation = "unchecked"',
    ):
        assert word in said
    monkeypatch.setenv("PLI_TLS_PEER_OCSP", "http://ocsp.example/")
    monkeypatch.setenv("PLI_TLS_REVOCATION", "unchecked")
    assert command.run(["serve", "-c", str(config)]) == 2
    assert "one of them is meant otherwise" in capsys.readouterr().err


@pytest.mark.parametrize(
    "tls",
    [
        'revocation = "unchecked"',
        'peer_crl = "igc.crl"',
        'peer_ocsp = "http://ocsp.example/"',
        'peer_crl = "igc.crl"\nrevocation = "prefer"',
    ],
)
def test_what_is_decided_about_revocation_may_serve(tmp_path: Path, tls: str) -> None:
    path = tmp_path / "pli.toml"
    path.write_text(f'[operator]\ndomains = ["a.localhost"]\n[tls]\n{tls}\n')
    demand_revocation(load_config(path), path)


def test_other_commands_need_no_revocation(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Accounts are made before it serves."""
    assert command.run(["account", "list", "-c", str(config)]) == 0
    assert command.run(["check", "-c", str(config)]) == 0
