"""``pli queue`` beside a running server: mail for an operator that is away is seen, tried at once, held, removed."""

import imaplib
import json
import smtplib
import sqlite3
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailserver.cli import main as command
from mailserver.cli.demo_stage import Operator, add_account, reserve_ports
from mailserver.cli.operator_folder import OperatorPlan, make_operator, parse_domains

AWAIT_SECONDS = 30
Queue = Callable[..., tuple[int, object, str]]
SENDER, AWAY = "camille@a.localhost", "noa.secret@b.localhost"
LETTER = f"From: {SENDER}\r\nTo: {AWAY}\r\nSubject: Radio du genou\r\nMessage-ID: <un@a.localhost>\r\n\r\nBonjour.\r\n"


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    """The one that runs; the other is in the trust list and does not answer."""
    blocks = reserve_ports(2)
    for name, block in zip("ab", blocks, strict=True):
        domains = parse_domains([f"{name}.localhost"])
        plan = OperatorPlan(tmp_path / name, domains, block.base, tmp_path / "authority", key_bits=2048)
        make_operator(plan, datetime.now(UTC))
    made = Operator("a", tmp_path / "a", blocks[0])
    with ExitStack() as at_end:
        for block in blocks:
            at_end.callback(block.release)
        at_end.callback(made.stop)
        yield made


@pytest.fixture
def queue(operator: Operator, capsys: pytest.CaptureFixture[str]) -> Queue:
    """Exit code, what is printed, what is logged."""

    def run(*arguments: str) -> tuple[int, object, str]:
        code = command.run(["queue", *arguments, "-c", str(operator.config), "--json"])
        out, err = capsys.readouterr()
        assert "noa" not in out + err
        assert "genou" not in out + err
        return code, json.loads(out), err

    return run


def await_attempts(operator: Operator, count: int) -> None:
    """Until the one job has been tried that often, and is not being tried."""
    deadline = time.monotonic() + AWAIT_SECONDS
    with closing(sqlite3.connect(operator.folder / "data" / "pli.sqlite")) as database:
        while time.monotonic() < deadline:
            row = database.execute("SELECT attempts, lease_until FROM job").fetchone()
            if row is not None and row[0] >= count and row[1] == 0:
                return
            threading.Event().wait(0.02)
    raise AssertionError("the job was not tried")


def read_inbox(operator: Operator, password: str, context: ssl.SSLContext) -> list[bytes]:
    with imaplib.IMAP4_SSL("localhost", operator.port("imaps"), ssl_context=context) as client:
        client.login(SENDER, password)
        _status, count = client.select("INBOX")
        found = []
        for number in range(1, int(count[0] or b"0") + 1):
            _status, parts = client.fetch(str(number), "(BODY.PEEK[])")
            found.append(bytes(parts[0][1]))  # type: ignore[index]
        return found


def test_an_administrator_beside_the_running_server(operator: Operator, queue: Queue) -> None:
    person = add_account(operator, "PER", SENDER, "Camille FICTIF")
    operator.start(workers=2)
    context = ssl.create_default_context(cafile=str(operator.folder.parent / "authority" / "demo-ca.pem"))
    with smtplib.SMTP_SSL("localhost", operator.port("submissions"), context=context) as client:
        client.login(SENDER, person.app_password)
        client.sendmail(SENDER, [AWAY], LETTER, ["RET=FULL", "ENVID=d+2B12"], ["NOTIFY=FAILURE"])
    await_attempts(operator, 1)
    _code, jobs, _err = queue("list")
    assert isinstance(jobs, list)
    (job,) = jobs
    assert (job["domain"], job["state"], job["lane"]) == ("b.localhost", "waiting", "relay")
    first = str(job["job"])
    assert queue("retry", first)[0] == 0
    await_attempts(operator, 2)  # a worker was woken: five minutes are not over
    _code, shown, _err = queue("show", first)
    assert isinstance(shown, dict)
    assert {each["result"] for each in shown["timeline"]} == {"unreachable"}
    code, _facts, errors = queue("hold", first)
    assert code == 0
    assert f'"act": "hold", "job": "{first}"' in errors
    assert read_inbox(operator, person.app_password, context) == []
    assert queue("drop", first)[0] == 0
    (report,) = read_inbox(operator, person.app_password, context)
    assert b"Action: failed\r\n" in report
    assert b"Original-Envelope-Id: d+12\r\n" in report
    assert b"Subject: Radio du genou\r\n\r\nBonjour.\r\n" in report.replace(
        b"Message-ID: <un@a.localhost>\r\n", b""
    )
    assert queue("list")[1] == []
    assert queue("drop", first)[0] == 1
