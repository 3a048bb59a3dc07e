"""``pli account bounce``: a report on standard input marks the address of its notice; ``pli check`` tells of the mailbox."""

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from harness.dsn_words import dsn, qmail_words

from mailserver.app.bounce_watch import load_record, record_path
from mailserver.cli import main as command
from mailserver.cli.opened import opened
from mailserver.config import load_config
from mailserver.model.address import parse_address
from mailserver.model.errors import Unavailable
from mailserver.service.bounces import BOUNCE_BYTES
from mailserver.service.notice_tokens import format_token
from mailserver.store import jobs
from mailserver.store.jobs import JobState
from mailserver.store.writer import Unit
from mailserver.sync.fetch_record import format_record

ADDRESS, MAIL = "p@a.localhost", "dominique@courriel.example"


@pytest.fixture
def config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert command.run(["init", str(tmp_path / "a"), "--domain", "a.localhost"]) == 0
    path = tmp_path / "a" / "pli.toml"
    add = [
        "account",
        "add",
        "-c",
        str(path),
        "--kind",
        "PER",
        "--address",
        ADDRESS,
        "--name",
        "Dominique FICTIF",
    ]
    assert command.run([*add, "--contact-email", MAIL]) == 0
    capsys.readouterr()
    return path


def sent_notice(config: Path, address: str = ADDRESS, *, is_sent: bool = True) -> str:
    """The mark of a notice, which the relay took."""
    with opened(config) as pli:
        services, now = pli.services, datetime.now(UTC)
        with services.store.database.read() as connection:
            row = services.directory.find_account(connection, parse_address(address))
        assert row is not None
        waiting = services.notices.waiting_job(row, now)
        assert waiting is not None
        job = waiting.job

        def run(connection: object) -> None:
            services.store.jobs.add_jobs(connection, [job])  # type: ignore[arg-type]
            if is_sent:
                jobs.mark_final(connection, job, JobState.DONE)  # type: ignore[arg-type]

        services.store.writer.commit(Unit(row.account_id, run))
        return format_token(services.store.macs, job.job_id)


@pytest.fixture
def give(config, capsys, monkeypatch):
    def run(octets: bytes, *options: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(octets)))
        code = command.run(["account", "bounce", "-c", str(config), *options])
        said = capsys.readouterr()
        assert MAIL not in said.out + said.err
        return code, said.out or said.err

    return run


def works(config, capsys) -> bool:
    assert command.run(["account", "contact", "-c", str(config), "--address", ADDRESS, "--json"]) == 0
    return bool(json.loads(capsys.readouterr().out)["email_works"])


def test_a_report_from_a_pipe(config, give, capsys) -> None:
    report = dsn(MAIL, original=f"<{sent_notice(config)}@a.localhost>")
    assert give(dsn(MAIL, original=f"<{'a' * 42}@a.localhost>"), "--json") == (0, '{"bounce": "strange"}\n')
    assert works(config, capsys)
    assert give(report, "--json") == (0, '{"bounce": "marked"}\n')
    assert not works(config, capsys)
    code, said = give(report)
    assert (code, said) == (0, "This is about a notice of ours, and nothing follows from it.\n")


@pytest.mark.parametrize("kind", ["empty", "qmail", "huge"])
def test_what_is_no_report_does_nothing(config, give, capsys, kind) -> None:
    token = sent_notice(config)
    report = dsn(MAIL, original=f"<{token}@a.localhost>")
    octets = {"empty": b"", "qmail": qmail_words(MAIL, token), "huge": report + b"\r\n" * BOUNCE_BYTES}[kind]
    code, said = give(octets)
    assert (code, "no delivery report about a notice of ours" in said) == (0, True)
    assert works(config, capsys)


def test_a_notice_in_hand_is_for_later(config, give, capsys) -> None:
    """A mail server's pipe is to try again (docs/operating.md)."""
    code, said = give(dsn(MAIL, original=f"<{sent_notice(config, is_sent=False)}@a.localhost>"))
    assert (code, "again in a minute" in said) == (3, True)
    assert works(config, capsys)


def test_an_address_that_is_given_again_works_again(config, give, capsys, monkeypatch) -> None:
    give(dsn(MAIL, original=f"<{sent_notice(config)}@a.localhost>"))
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"contact_email": "nouvelle@courriel.example"})))
    assert command.run(["account", "contact", "-c", str(config), "--address", ADDRESS, "--fields-stdin"]) == 0
    capsys.readouterr()
    assert works(config, capsys)
    with opened(config) as pli, pli.services.store.database.read() as connection:
        row = pli.services.directory.find_account(connection, parse_address(ADDRESS))
        assert row is not None
        assert not pli.services.directory.open_profile(row).is_email_returned


def test_check_tells_that_the_mailbox_is_not_read(config, capsys, monkeypatch) -> None:
    check = ["check", "-c", str(config)]
    assert command.run(check) == 0
    (config.parent / "secret").write_text("x")
    for name, value in {"HOST": "boites.example", "USER": "pli", "PASSWORD_FILE": "secret"}.items():
        monkeypatch.setenv(f"PLI_BOUNCES_{name}", value)
    read = load_config(config)
    failed = load_record(read).after_failure(
        datetime.now(UTC) - timedelta(hours=1), Unavailable("bounces-login")
    )
    record_path(read).write_bytes(format_record(failed))
    capsys.readouterr()
    assert command.run(check) == 1
    said = capsys.readouterr().out
    assert "bounces are not read (bounces-login): The bounce mailbox refuses the login. Check user" in said
    monkeypatch.setenv(
        "PLI_BOUNCES_HOST", "autres.example"
    )  # another box: what was said of the first is over
    assert command.run(check) == 0
