"""A whole server as its people use it: 30 MB from one mail client, its copy in Sent, a small message in the other's box,
and curl, which saves a part of the file, stops, and goes on.
"""

import imaplib
import os
import smtplib
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.large_mail import find_note, large_message

from mailserver.cli.demo_stage import Operator, Person, add_account, reserve_ports, run_pli
from mailserver.cli.operator_folder import OperatorPlan, make_operator, parse_domains

DATA = os.urandom(1 << 20) * 30
SECONDS = 60


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


def open_box(operator: Operator, person: Person, context: ssl.SSLContext) -> imaplib.IMAP4_SSL:
    client = imaplib.IMAP4_SSL("localhost", operator.port("imaps"), ssl_context=context)
    client.login(person.address, person.app_password)
    return client


def test_from_one_mail_client_to_another(
    operator: Operator, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    curl = require_tool("curl")
    doctor = add_account(operator, "PER", "alix@a.localhost", "Alix FICTIF")
    colleague = add_account(operator, "PER", "noa@a.localhost", "Noa FICTIF")
    operator.start()
    authority = tmp_path / "authority" / "demo-ca.pem"
    context = ssl.create_default_context(cafile=str(authority))
    message = large_message("whole", doctor.address, [("irm du genou.zip", DATA)])
    with smtplib.SMTP_SSL("localhost", operator.port("submissions"), context=context) as client:
        client.login(doctor.address, doctor.app_password)
        client.sendmail(doctor.address, [colleague.address], message)
    sent = open_box(operator, doctor, context)
    assert sent.append("Sent", r"(\Seen)", None, message)[0] == "OK"
    sent.logout()
    box = open_box(operator, colleague, context)
    box.select("INBOX")
    _ok, found = box.fetch("1", "(BODY.PEEK[])")
    got = found[0][1]
    box.logout()
    assert len(got) < 20_000
    note = find_note(got)
    saved = tmp_path / "irm.zip"
    address = f"https://localhost:{operator.port('web')}/kept/{note.url.rpartition('/')[2]}/files/0"
    headers = [
        "--header",
        f"Authorization: Bearer {note.code}",
        "--cacert",
        str(authority),
        "--silent",
        "--fail",
    ]
    for how in (["--range", "0-9999999"], ["--continue-at", "-"]):
        command = [curl, *headers, *how, "--output", str(saved), address]
        subprocess.run(command, check=True, timeout=SECONDS)
    assert saved.read_bytes() == DATA
    assert operator.stop() == 0
    assert run_pli("check", "-c", str(operator.config))["problems"] == []
