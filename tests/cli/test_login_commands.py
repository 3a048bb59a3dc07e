"""``pli account token-subject`` and ``certificate``: what is bound, shown, refused, and written down."""

import json
import warnings
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.tokens import AUDIENCE, ISSUER, RPPS

from mailserver.cli import main as command
from mailserver.cli import operator_folder
from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning, Variant
from mailserver.crypto.custodian import JOURNAL_NAME
from mailserver.crypto.custodian_journal import verify_journal

ANN, ROBOT = "ann@a.localhost", "robot@a.localhost"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(operator_folder, "RSA_BITS", 2048)
    for key, value in {
        "OAUTH_ISSUER": ISSUER,
        "OAUTH_AUDIENCES": AUDIENCE,
        "OAUTH_JWKS_FILE": "issuer.jwks",
    }.items():
        monkeypatch.setenv(f"PLI_{key}", value)
    monkeypatch.setenv("PLI_TLS_CLIENT_AUTHORITY", str(tmp_path / "authority" / "demo-ca.pem"))
    folder = tmp_path / "a"
    arguments = ["init", str(folder), "--domain", "a.localhost", "--base-port", "20000"]
    assert command.run([*arguments, "--demo-authority", str(tmp_path / "authority"), "--json"]) == 0
    for kind, address in (("PER", ANN), ("APP", ROBOT)):
        account = [
            "account",
            "add",
            "-c",
            str(folder / "pli.toml"),
            "--json",
            "--kind",
            kind,
            "--address",
            address,
        ]
        assert command.run([*account, "--name", "X FICTIF"]) == 0
    return folder / "pli.toml"


@pytest.fixture
def certificate(tmp_path: Path, config: Path) -> Path:
    return issue(tmp_path, Variant.CLIENT_ONLY)


def issue(tmp_path: Path, variant: Variant) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DemoAuthorityWarning)
        authority = DemoAuthority.open(tmp_path / "authority")
    now = datetime.now(UTC)
    issued = authority.issue_operator(
        "app.example", ["robot.example"], "LABO FICTIF", now=now, variant=variant
    )
    path = tmp_path / f"{variant.value}.pem"
    path.write_bytes(issued.cert_pem)
    return path


def run(
    capsys: pytest.CaptureFixture[str], config: Path, act: str, address: str, *arguments: str
) -> tuple[int, object]:
    capsys.readouterr()
    code = command.run(["account", act, "-c", str(config), "--address", address, "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_token_subjects(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = run(capsys, config, "token-subject", ANN, "--add", RPPS)
    assert (code, told) == (
        0,
        {"address": ANN, "kind": "token", "subject": f"{ISSUER} {RPPS}", "state": "bound"},
    )
    assert run(capsys, config, "token-subject", ANN, "--add", RPPS)[1]["error"] == "login-bound"
    code, listed = run(capsys, config, "token-subject", ANN, "--list")
    assert [each["subject"] for each in listed] == [f"{ISSUER} {RPPS}"]
    assert (
        run(capsys, config, "token-subject", ANN, "--remove", "899700000009")[1]["error"] == "login-binding"
    )
    assert run(capsys, config, "token-subject", ANN, "--remove", RPPS)[0] == 0
    assert run(capsys, config, "token-subject", ANN, "--list") == (0, [])
    assert run(capsys, config, "token-subject", "nobody@a.localhost", "--add", RPPS)[1]["error"] == "account"
    journal = config.parent / "keys" / JOURNAL_NAME
    assert RPPS not in journal.read_text()
    assert verify_journal(journal).count > 0
    assert command.run(["check", "-c", str(config), "--json"]) == 0


def test_certificates(config: Path, certificate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = run(capsys, config, "certificate", ROBOT, "--add", str(certificate))
    assert (code, told["kind"], len(told["subject"])) == (0, "certificate", 64)
    code, named = run(capsys, config, "certificate", ROBOT, "--add", str(certificate), "--by-name")
    assert (code, named["kind"]) == (0, "certificate-name")
    assert named["subject"].startswith("CN=robot.example,OU=3")
    code, listed = run(capsys, config, "certificate", ROBOT, "--list")
    assert [each["subject"] for each in listed] == [told["subject"], named["subject"]]
    assert command.run(["account", "list", "-c", str(config), "--json"]) == 0
    accounts = {each["addresses"][0]: each for each in json.loads(capsys.readouterr().out.splitlines()[-1])}
    assert [accounts[each]["opened_by_certificate"] for each in (ANN, ROBOT)] == [False, True]
    assert command.run(["account", "list", "-c", str(config)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("(certificate box: on the mail process's word)") == 1
    assert run(capsys, config, "certificate", ROBOT, "--remove", str(certificate))[0] == 0
    certificate.unlink()
    assert run(capsys, config, "certificate", ROBOT, "--remove", named["subject"])[0] == 0
    assert run(capsys, config, "certificate", ROBOT, "--list") == (0, [])


def test_who_logs_in_how(config: Path, certificate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, config, "certificate", ANN, "--add", str(certificate))[1]["error"] == "login-kind"
    assert run(capsys, config, "token-subject", ROBOT, "--add", RPPS)[0] == 0
    assert command.run(["account", "disable", "-c", str(config), "--address", ROBOT]) == 0
    assert (
        run(capsys, config, "certificate", ROBOT, "--add", str(certificate))[1]["error"] == "account-disabled"
    )


def test_certificates_that_are_not_taken(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "no.pem"
    text.write_text("no certificate")
    for path, error in (
        (issue(tmp_path, Variant.SERVER_ONLY), "certificate-usage"),
        (issue(tmp_path, Variant.EXPIRED), "certificate-over"),
        (text, "certificate-syntax"),
        (tmp_path / "missing.pem", "path"),
    ):
        assert run(capsys, config, "certificate", ROBOT, "--add", str(path))[1]["error"] == error


def test_without_the_configuration(
    config: Path, certificate: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(capsys, config, "token-subject", ANN, "--add", RPPS)[0] == 0
    for key in ("OAUTH_ISSUER", "OAUTH_JWKS_FILE", "TLS_CLIENT_AUTHORITY"):
        monkeypatch.setenv(f"PLI_{key}", "")
    assert run(capsys, config, "token-subject", ANN, "--add", RPPS)[1]["error"] == "oauth-off"
    told = run(capsys, config, "certificate", ROBOT, "--add", str(certificate))[1]
    assert told["error"] == "certificates-off"
    assert run(capsys, config, "token-subject", ANN, "--remove", f"{ISSUER} {RPPS}")[0] == 0
    assert run(capsys, config, "token-subject", ANN, "--list") == (0, [])
    assert run(capsys, config, "certificate", ROBOT, "--list") == (0, [])
