"""``pli serve`` as an operator runs it: what it says when it starts, a trust list that changes under it, SIGTERM with a
message in flight, and failed logins that are in the person's log afterwards.
"""

import base64
import http.client
import imaplib
import json
import smtplib
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.log_reading import read_log

from mailserver.audit.events import EventKind
from mailserver.cli.demo_stage import (
    PATIENT_CONTACT,
    PATIENT_INS,
    Operator,
    add_account,
    reserve_ports,
    run_pli,
)
from mailserver.cli.opened import opened
from mailserver.cli.operator_folder import OperatorPlan, make_operator, parse_domains

LISTENERS = {"mx", "submission", "submissions", "imap", "imaps", "web"}
AWAIT_SECONDS = 30
PASSWORD = "trois chats gris sur un toit"
PATIENT = "279035121518989@a.localhost"


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    (block,) = reserve_ports(1)
    plan = OperatorPlan(
        tmp_path / "a", parse_domains(["a.localhost"]), block.base, tmp_path / "authority", key_bits=2048
    )
    make_operator(plan, datetime.now(UTC))
    made = Operator("a", tmp_path / "a", block)
    with ExitStack() as at_end:
        at_end.callback(block.release)
        at_end.callback(made.stop)
        yield made


def lines(operator: Operator) -> list[dict[str, object]]:
    return [json.loads(line) for line in (operator.folder / "serve.log").read_text().splitlines()]


def await_change(operator: Operator, domain: str) -> list[dict[str, object]]:
    """The lines about ``domain`` in the trust list, once there is one."""
    deadline = time.monotonic() + AWAIT_SECONDS
    while time.monotonic() < deadline:
        found = [line for line in lines(operator) if domain in str(line.get("change"))]
        if found:
            return found
        threading.Event().wait(0.05)
    return []


def context(operator: Operator) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(operator.folder.parent / "authority" / "demo-ca.pem"))


def test_from_ready_to_stopped(operator: Operator, tmp_path: Path) -> None:
    person = add_account(operator, "PER", "camille@a.localhost", "Camille FICTIF")
    options = ("--ins", PATIENT_INS, "--contact-email", PATIENT_CONTACT, "--password-stdin")
    add_account(operator, "PATIENT", PATIENT, "Dominique FICTIF", *options)
    operator.start(workers=2)
    said = lines(operator)
    assert sorted(str(line["service"]) for line in said if line["what"] == "listening") == sorted(LISTENERS)
    assert said.index(next(line for line in said if line["what"] == "ready")) > max(
        at for at, line in enumerate(said) if line["what"] == "listening"
    )
    # another operator joins the trust list: a line for each change, once, though there are two workers
    (block,) = reserve_ports(1)
    joining = OperatorPlan(
        tmp_path / "b", parse_domains(["b.localhost"]), block.base, tmp_path / "authority", key_bits=2048
    )
    make_operator(joining, datetime.now(UTC))
    block.release()
    assert [line["what"] for line in await_change(operator, "b.localhost")] == ["trust list changed"]
    assert follow_what_was_sent(operator, person.address) == []
    fail_to_log_in(operator)
    client = begin_a_message(operator, person.address, person.app_password)
    assert operator.process is not None
    operator.process.terminate()
    client.send(b"x\r\n.\r\n")
    code, _words = client.getreply()
    client.close()
    assert code in {250, 421}
    assert operator.stop() == 0
    kept = run_pli("check", "-c", str(operator.config))
    assert kept["problems"] == []
    assert count_failures(operator) == 4, "IMAP once; SMTP by PLAIN, then by LOGIN; the API once"


def follow_what_was_sent(operator: Operator, address: str) -> list[object]:
    """A program of the person's, on the web's port."""
    made = run_pli(
        "account", "app-password", "-c", str(operator.config), "--address", address, "--scope", "api"
    )
    health = ask_api(operator, "/api/v1/health")
    assert (health["store"], health["trust_list"], health["custodian"]) == ("ok", "ok", "ok")
    found = ask_api(operator, "/api/v1/sent", (address, str(made["app_password"])))
    assert isinstance(found["messages"], list)
    return found["messages"]


def ask_api(
    operator: Operator, path: str, login: tuple[str, str] = ("", ""), status: int = 200
) -> dict[str, object]:
    client = http.client.HTTPSConnection("localhost", operator.port("web"), context=context(operator))
    credentials = base64.b64encode(":".join(login).encode()).decode()
    with closing(client):
        client.request("GET", path, headers={"Authorization": f"Basic {credentials}"})
        answer = client.getresponse()
        assert answer.status == status
        found: dict[str, object] = json.loads(answer.read())
    return found


def fail_to_log_in(operator: Operator) -> None:
    client = imaplib.IMAP4_SSL("localhost", operator.port("imaps"), ssl_context=context(operator))
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        client.login(PATIENT, "aaaa-bbbb-cccc-dddd-eeee-ffff-gggg-hhhh-iiii-jjjj")
    client.shutdown()
    with smtplib.SMTP_SSL("localhost", operator.port("submissions"), context=context(operator)) as sender:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            sender.login(PATIENT, "aaaa-bbbb-cccc-dddd-eeee-ffff-gggg-hhhh-iiii-jjjj")
    wrong = (PATIENT, "aaaa-bbbb-cccc-dddd-eeee-ffff-gggg-hhhh-iiii-jjjj")
    assert ask_api(operator, "/api/v1/sent", wrong, 401)["type"] == "/api/v1/problems/login"


def begin_a_message(operator: Operator, address: str, app_password: str) -> smtplib.SMTP_SSL:
    client = smtplib.SMTP_SSL("localhost", operator.port("submissions"), context=context(operator))
    client.login(address, app_password)
    client.mail(address)
    client.rcpt(address)
    code, _words = client.docmd("DATA")
    assert code == 354
    client.send(f"From: <{address}>\r\nSubject: en vol\r\n\r\n".encode())
    return client


def count_failures(operator: Operator) -> int:
    """What the patient's own log says; each worker writes what it counted."""
    with opened(operator.config) as pli:
        account, _keys = pli.services.keys.open_with_password(PATIENT, PASSWORD)
        entries = read_log(pli.services.store, account.account, account.space_root())
    failed = [entry.event for entry in entries if entry.event.kind is EventKind.LOGIN_FAILED]
    assert {event.origin.network for event in failed} == {"127.0.0.0/24"}
    return sum(int(dict(event.what.parameters)["count"]) for event in failed)
