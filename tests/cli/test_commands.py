"""The command's contract: names, JSON, exit codes, and no traceback ever."""

import io
import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mailserver.cli import main as command
from mailserver.cli import operator_folder
from mailserver.config import load_config
from mailserver.crypto.custodian_journal import parse_journal_line
from mailserver.model.errors import Unavailable

INS = "1.2.250.1.213.1.4.10|279035121518989"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(operator_folder, "RSA_BITS", 2048)
    folder = tmp_path / "a"
    arguments = ["init", str(folder), "--domain", "a.localhost", "--base-port", "20000"]
    assert command.run([*arguments, "--demo-authority", str(tmp_path / "authority"), "--json"]) == 0
    return folder / "pli.toml"


def add(config: Path, *arguments: str) -> list[str]:
    return ["account", "add", "-c", str(config), "--json", *arguments]


def facts(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_accounts(config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    person = ["--kind", "PER", "--address", "camille@a.localhost", "--name", "Camille FICTIF", "--totp"]
    assert command.run(add(config, *person)) == 0
    made = facts(capsys)
    assert made["address"] == "camille@a.localhost"
    assert len(str(made["app_password"]).replace("-", "")) == 40
    assert str(made["otpauth"]).startswith("otpauth://totp/")
    monkeypatch.setattr("sys.stdin", io.StringIO("un mot de passe long\n"))
    patient = ["--kind", "PATIENT", "--address", "279035121518989@a.localhost", "--name", "D", "--ins", INS]
    assert (
        command.run(add(config, *patient, "--password-stdin", "--contact-email", "d@courriel.example")) == 0
    )
    assert facts(capsys)["app_password"] is None
    box = [
        "--kind",
        "ORG",
        "--address",
        "service@a.localhost",
        "--name",
        "Service",
        "--member",
        "camille@a.localhost",
    ]
    assert command.run(add(config, *box)) == 0
    assert facts(capsys)["app_password"] is None
    assert command.run(["account", "list", "-c", str(config), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [each["kind"] for each in listed] == ["PER", "PATIENT", "ORG"]
    base = ["-c", str(config), "--address", "camille@a.localhost", "--json"]
    assert command.run(["account", "app-password", *base, "--scope", "smtp"]) == 0
    assert facts(capsys)["scope"] == "smtp"
    assert command.run(["account", "app-password", *base, "--scope", "api"]) == 0
    assert facts(capsys)["scope"] == "api"
    hidden = ["--hide", "QRESYNC", "--hide", "CONDSTORE", "--trace", "30"]
    assert command.run(["account", "imap", *base, *hidden]) == 0
    told = facts(capsys)
    assert told["hidden"] == ["CONDSTORE", "QRESYNC"]
    assert isinstance(told["traced_until"], int)
    assert command.run(["account", "imap", *base, "--show", "QRESYNC", "--trace", "0"]) == 0
    told = facts(capsys)
    assert (told["hidden"], told["traced_until"]) == (["CONDSTORE"], None)
    assert command.run(["account", "disable", *base]) == 0
    assert facts(capsys)["state"] == "disabled"
    assert command.run(["account", "app-password", *base]) == 1
    assert facts(capsys)["error"] == "account-disabled"
    assert command.run(["check", "-c", str(config), "--json"]) == 0
    assert facts(capsys)["problems"] == []


def test_a_patient_who_could_not_log_in_is_told_of(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = ["account", "add", "-c", str(config), "--kind", "PATIENT", "--name", "D"]
    assert command.run([*patient, "--address", "d@a.localhost", "--ins", INS]) == 0
    assert "pli account web-password" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("un mot de passe long\n"))
    other = [
        "--address",
        "e@a.localhost",
        "--ins",
        "1.2.250.1.213.1.4.10|255069999999934",
        "--password-stdin",
    ]
    assert command.run([*patient, *other]) == 0
    assert "pli account contact" in capsys.readouterr().out


def test_init_says_what_comes_before_serving(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["init", str(tmp_path / "b"), "--domain", "b.localhost"]) == 0
    said = capsys.readouterr().out
    for section in ("[listen]", "[tls]", "[trust]", "[antivirus]", "[relay]", "docs/operating.md"):
        assert section in said


def test_members_of_a_box(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("camille", "alix"):
        person = ["--kind", "PER", "--address", f"{name}@a.localhost", "--name", f"{name} FICTIF"]
        assert command.run(add(config, *person)) == 0
    box = ["--kind", "CAB", "--address", "cabinet@a.localhost", "--name", "Cabinet"]
    assert command.run(add(config, *box, "--member", "camille@a.localhost")) == 0
    capsys.readouterr()
    base = ["-c", str(config), "--address", "cabinet@a.localhost", "--json"]
    alix = ["--member", "alix@a.localhost"]
    assert command.run(["account", "member", "add", *base, *alix]) == 0
    assert facts(capsys)["responsible"] is False
    assert command.run(["account", "member", "list", *base]) == 0
    listed = {each["address"]: each for each in json.loads(capsys.readouterr().out)}
    assert listed["camille@a.localhost"]["responsible"]
    assert listed["camille@a.localhost"]["rights"] == "lrswipkxteacd"
    assert listed["alix@a.localhost"]["rights"] == "lrswipkxtecd"
    assert command.run(["account", "member", "add", *base, *alix]) == 1
    assert facts(capsys)["error"] == "member-already"
    assert command.run(["account", "member", "remove", *base, *alix]) == 0
    capsys.readouterr()
    assert command.run(["account", "member", "remove", *base, *alix]) == 1
    assert facts(capsys)["error"] == "no-member"
    assert command.run(["account", "member", "remove", *base, "--member", "camille@a.localhost"]) == 1
    assert facts(capsys)["error"] == "last-member"
    assert (
        command.run(["account", "member", "list", "-c", str(config), "--address", "cabinet@a.localhost"]) == 0
    )
    assert capsys.readouterr().out == "camille@a.localhost  camille FICTIF  lrswipkxteacd  responsible\n"
    person = ["-c", str(config), "--address", "camille@a.localhost", "--json"]
    assert command.run(["account", "member", "add", *person, *alix]) == 1
    assert facts(capsys)["error"] == "members-unexpected"
    assert command.run(["check", "-c", str(config), "--json"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--kind", "PER", "--address", "x@elsewhere.example"], "domain-not-ours", "does not hold"),
        (["--kind", "PER", "--address", "no address"], "address-syntax", "name@domain"),
        (["--kind", "PATIENT", "--address", "p@a.localhost"], "ins-needed", "--ins"),
        (["--kind", "PATIENT", "--address", "p@a.localhost", "--ins", "1.2.3|1"], "ins-number", "fifteen"),
        (["--kind", "PER", "--address", "p@a.localhost", "--ins", INS], "ins-unexpected", "--kind PATIENT"),
        (
            ["--kind", "ORG", "--address", "o@a.localhost", "--member", "n@a.localhost"],
            "member",
            "has an account",
        ),
        (
            ["--kind", "PER", "--address", "p@a.localhost", "--contact-phone", "12"],
            "phone-syntax",
            "+33612345678",
        ),
        (
            ["--kind", "PER", "--address", "p@a.localhost", "--contact-phone", "+37120000078"],
            "phone-country",
            "prefixes in [sms]",
        ),
        (
            ["--kind", "PER", "--address", "p@a.localhost", "--contact-email", "not an email"],
            "contact-email",
            "name@domain",
        ),
    ],
)
def test_refusals_in_words(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: str, said: str
) -> None:
    capsys.readouterr()
    assert command.run(add(config, "--name", "X", *arguments)) == 1
    told = facts(capsys)
    assert told["error"] == code
    assert said in str(told["sentence"])
    assert command.run(["account", "list", "-c", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_no_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["check", "-c", str(tmp_path / "none.toml")]) == 2
    err = capsys.readouterr().err
    assert "pli init" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("is_demonstration", [False, True])
def test_the_antivirus_is_on_for_operators_and_off_for_demonstrations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_demonstration: bool
) -> None:
    more = (
        ["--demo-authority", str(tmp_path / "authority"), "--base-port", "20000"] if is_demonstration else []
    )
    assert command.run(["init", str(tmp_path / "a"), "--domain", "a.localhost", *more]) == 0
    config = load_config(tmp_path / "a" / "pli.toml", {})
    assert config.antivirus.clamd == ("" if is_demonstration else "unix:/run/clamav/clamd.ctl")
    assert ("clamav-daemon" in capsys.readouterr().out) is not is_demonstration


def test_init_refuses_a_folder_in_use(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(["init", str(config.parent), "--domain", "a.localhost"]) == 1
    assert "another folder" in capsys.readouterr().err


def test_a_fault_has_an_incident_and_no_traceback(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("secret words")

    monkeypatch.setattr("mailserver.service.administration.Administration.list_accounts", fail)
    assert command.run(["account", "list", "-c", str(config)]) == 70
    captured = capsys.readouterr()
    assert "incident" in captured.err
    assert "secret words" not in captured.err + captured.out


def test_check_finds_what_was_altered(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import sqlite3

    assert command.run(add(config, "--kind", "PER", "--address", "c@a.localhost", "--name", "C")) == 0
    with sqlite3.connect(config.parent / "data/pli.sqlite") as database:
        database.execute("UPDATE mailbox SET exists_count = 3 WHERE role = 'sent'")
        database.execute("UPDATE slot SET expires_at = 9999999999 WHERE kind = 'app-password'")
    database.close()
    capsys.readouterr()
    assert command.run(["check", "-c", str(config), "--json"]) == 1
    problems = " ".join(problem["what"] for problem in facts(capsys)["problems"])  # type: ignore[attr-defined]
    assert "mailbox counters differ" in problems
    assert "row MAC does not fit (slot)" in problems


def test_app_passwords(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(add(config, "--kind", "PER", "--address", "c@a.localhost", "--name", "C")) == 0
    base = ["account", "app-password", "-c", str(config), "--address", "c@a.localhost"]
    assert command.run([*base, "--expires", "30", "--scope", "imap", "--json"]) == 0
    made = facts(capsys)
    assert set(made) == {"address", "app_password", "id", "scope", "made", "expires", "state"}
    days = datetime.fromisoformat(str(made["expires"])) - datetime.fromisoformat(str(made["made"]))
    assert days == timedelta(days=30)
    assert command.run([*base, "--list", "--json"]) == 0
    listed = {each["id"]: each for each in json.loads(capsys.readouterr().out)}
    assert {(each["scope"], each["state"]) for each in listed.values()} == {
        ("imap+smtp", "good"),
        ("imap", "good"),
    }
    assert listed[str(made["id"])] == {key: made[key] for key in ("id", "scope", "made", "expires", "state")}
    assert command.run([*base, "--list"]) == 0
    assert str(made["id"]) in capsys.readouterr().out
    assert command.run([*base, "--revoke", str(made["id"]), "--json"]) == 0
    assert facts(capsys)["state"] == "revoked"
    assert command.run([*base, "--revoke", str(made["id"]), "--json"]) == 1
    assert "--list" in str(facts(capsys)["sentence"])
    assert command.run([*base, "--list", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1


@pytest.mark.parametrize(
    "wrong",
    [["--expires", "0"], ["--expires", "-1"], ["--expires", "99999"], ["--revoke", "x"], ["--revoke", "00"]],
)
def test_app_passwords_that_are_asked_for_wrongly(config: Path, wrong: list[str]) -> None:
    base = ["account", "app-password", "-c", str(config), "--address", "c@a.localhost"]
    with pytest.raises(SystemExit) as stopped:
        command.run([*base, *wrong])
    assert stopped.value.code == 2


def test_a_list_of_accounts_is_in_the_custodians_journal(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command.run(add(config, "--kind", "PER", "--address", "c@a.localhost", "--name", "C")) == 0
    assert command.run(["account", "list", "-c", str(config)]) == 0
    assert "c@a.localhost" in capsys.readouterr().out
    journal = config.parent / "keys/journal"
    lines = [parse_journal_line(raw) for raw in journal.read_bytes().splitlines(keepends=True)]
    assert [(line.verb, line.basis) for line in lines if line.verb == "act"] == [("act", "account list")]

    def full(*_arguments: object, **_more: object) -> None:
        raise Unavailable("custodian-journal")

    monkeypatch.setattr("mailserver.crypto.custodian_journal.Journal.append", full)
    assert command.run(["account", "list", "-c", str(config)]) == 3
    assert "c@a.localhost" not in capsys.readouterr().out
