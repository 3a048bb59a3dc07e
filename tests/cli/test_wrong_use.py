"""What a user gets wrong is told in words, with an exit code of its own: never as a fault of Pli's."""

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mailserver.cli import main as command
from mailserver.cli import operator_folder
from mailserver.config import load_config


@pytest.fixture(autouse=True)
def short_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_folder, "RSA_BITS", 2048)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    assert command.run(["init", str(tmp_path / "a"), "--domain", "a.localhost"]) == 0
    return tmp_path / "a/pli.toml"


def test_init_where_no_folder_can_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    for folder in ("file", "file/inner"):
        assert command.run(["init", str(tmp_path / folder), "--domain", "a.localhost"]) == 2
        assert str(tmp_path / folder) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "exit_code", "said"),
    [
        (errno.ENOENT, 2, "/srv/x does not exist"),
        (errno.EEXIST, 2, "/srv/x is there already"),
        (errno.ENOTDIR, 2, "/srv/x leads through a file"),
        (errno.EISDIR, 2, "/srv/x is a folder"),
        (errno.ENAMETOOLONG, 2, "/srv/x is too long"),
        (errno.EROFS, 2, "/srv/x is on a disk that may only be read"),
        (errno.EACCES, 3, "not ours to use"),
        (errno.EPERM, 3, "not ours to use"),
        (errno.ENOSPC, 3, "The disk is full"),
        (errno.EBADF, 70, "incident"),
    ],
)
def test_what_the_system_refuses(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    exit_code: int,
    said: str,
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number), "/srv/x")

    monkeypatch.setattr("mailserver.cli.init_command.make_operator", fail)
    assert command.run(["init", "x", "--domain", "a.localhost"]) == exit_code
    assert said in capsys.readouterr().err


def test_a_fault_without_a_path_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(errno.ENOENT, "no path")

    monkeypatch.setattr("mailserver.cli.init_command.make_operator", fail)
    assert command.run(["init", "x", "--domain", "a.localhost"]) == 70


@pytest.mark.parametrize("locale", ["C.UTF-8", "POSIX"])
@pytest.mark.parametrize(
    ("option", "given", "code"),
    [
        ("--password-stdin", b"mot de pass\xe9 long\n", "secret-encoding"),
        ("--password-stdin", b"\n", "secret-empty"),
        ("--password-stdin", b"", "secret-empty"),
        ("--fields-stdin", b'{"name": "Ren\xe9e"}', "fields"),
        ("--fields-stdin", b'{"name": "\\ud800"}', "fields"),
    ],
)
def test_secrets_that_are_no_text(config: Path, locale: str, option: str, given: bytes, code: str) -> None:
    add = ["account", "add", "-c", str(config), "--kind", "PER", "--address", "c@a.localhost", "--json"]
    name = [] if option == "--fields-stdin" else ["--name", "C"]
    done = subprocess.run(
        [sys.executable, "-m", "mailserver", *add, *name, option],
        input=given,
        capture_output=True,
        timeout=60,
        check=False,
        env=os.environ | {"LC_ALL": locale},
    )
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["error"] == code


def test_a_name_in_another_encoding(config: Path) -> None:
    add = [sys.executable, "-m", "mailserver", "account", "add", "-c", str(config), "--kind", "PER", "--json"]
    arguments = [os.fsencode(each) for each in [*add, "--address", "c@a.localhost", "--name"]]
    done = subprocess.run([*arguments, b"Ren\xe9e"], capture_output=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["error"] == "fields"


def init(folder: Path, domain: str, authority: Path) -> int:
    return command.run(
        ["init", str(folder), "--domain", domain, "--demo-authority", str(authority), "--json"]
    )


@pytest.mark.parametrize("left", [["demo-ca.pem", "demo-ca.key", "demo-ca.crl"], ["demo-ca.key"], []])
def test_an_interrupted_authority_is_finished(tmp_path: Path, left: list[str]) -> None:
    authority = tmp_path / "authority"
    assert init(tmp_path / "a", "a.localhost", authority) == 0
    for path in list(authority.iterdir()):
        if path.name not in left:
            path.unlink()
    assert init(tmp_path / "b", "b.localhost", authority) == 0
    assert {"signer.pem", "signer.key", "list.xml", "demo-ca.crl"} <= {
        path.name for path in authority.iterdir()
    }


@pytest.mark.parametrize("lost", ["signer.key", "signer.pem", "demo-ca.key", "demo-ca.pem"])
def test_an_authority_that_signed_a_list_is_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lost: str
) -> None:
    authority = tmp_path / "authority"
    assert init(tmp_path / "a", "a.localhost", authority) == 0
    (authority / lost).unlink()
    kept = {path.name: path.read_bytes() for path in authority.iterdir()}
    capsys.readouterr()
    assert init(tmp_path / "b", "b.localhost", authority) == 1
    assert json.loads(capsys.readouterr().out)["error"] == "demo-authority"
    assert {path.name: path.read_bytes() for path in authority.iterdir()} == kept


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--base-port", "99999"),
        ("--base-port", "64543"),
        ("--base-port", "-5"),
        ("--base-port", "²"),
        ("--relay-port", "65536"),
        ("--relay-port", "smtp"),
    ],
)
def test_init_takes_ports_that_exist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.run(["init", str(tmp_path / "a"), "--domain", "a.localhost", option, value])
    assert stopped.value.code == 2
    assert f"argument {option}" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_the_highest_base_port(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    assert command.run(["init", str(folder), "--domain", "a.localhost", "--base-port", "64542"]) == 0
    assert load_config(folder / "pli.toml").listen.imaps == 65535


@pytest.mark.parametrize("again", ["a.localhost", "A.localhost", "a.localhost."])
def test_init_takes_each_domain_once(tmp_path: Path, capsys: pytest.CaptureFixture[str], again: str) -> None:
    domains = ["--domain", "a.localhost", "--domain", again]
    assert command.run(["init", str(tmp_path / "a"), *domains, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"] == "domain-repeated"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("workers", ["0", "-1", "many"])
def test_serve_takes_a_number_of_workers(config: Path, workers: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.run(["serve", "-c", str(config), "--workers", workers])
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("password", "code"),
    [("huit car", "password-short"), ("e\u0301" * 8, "password-short"), ("é" * 513, "password-long")],
)
def test_web_passwords_have_a_floor(
    config: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    password: str,
    code: str,
) -> None:
    add = ["account", "add", "-c", str(config), "--kind", "PER", "--address", "c@a.localhost", "--name", "C"]
    monkeypatch.setattr("sys.stdin", io.StringIO(password + "\n"))
    capsys.readouterr()
    assert command.run([*add, "--password-stdin", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"] == code
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"name": "C", "password": password})))
    assert command.run([*add, "--fields-stdin", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"] == code
    monkeypatch.setattr("sys.stdin", io.StringIO("neuf cara\n"))
    assert command.run([*add, "--password-stdin", "--json"]) == 0


@pytest.mark.parametrize("arguments", [["nonsense"], [], ["--help"]])
def test_the_supervisors_own_command_is_offered_to_nobody(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit):
        command.run(arguments)
    captured = capsys.readouterr()
    assert "pli" in captured.out + captured.err
    assert "worker" not in captured.out + captured.err
