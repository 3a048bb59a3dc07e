"""Kill -9 while our own people hand in large mail, whose files stay here: what was acknowledged is in its reader's box once,
its file is whole, and after a sweep no sealed object is left that nobody names.
"""

import http.client
import imaplib
import os
import random
import smtplib
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
from faults.killing import Tally, keep_trying, pli, send_and_kill
from harness.large_mail import find_note, large_message

from mailserver.app.housekeeping import Housekeeping
from mailserver.cli.demo_stage import Operator, Person, add_account, reserve_ports
from mailserver.cli.opened import opened
from mailserver.cli.operator_folder import OperatorPlan, make_operator, parse_domains
from mailserver.mime.kept_files import KeptNote

KILLS = 4
SENDERS = 4
FILE_BYTES = 400_000


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # as in test_kill
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "compiled"))
    monkeypatch.setenv("PLI_LARGE_THRESHOLD_BYTES", "100000")
    (block,) = reserve_ports(1)
    domains = parse_domains(["a.localhost"])
    make_operator(
        OperatorPlan(tmp_path / "a", domains, block.base, tmp_path / "authority", key_bits=2048),
        datetime.now(UTC),
    )
    made = Operator("a", tmp_path / "a", block)
    yield made
    made.stop()
    block.release()


@pytest.fixture
def context(operator: Operator, tmp_path: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(tmp_path / "authority/demo-ca.pem"))


@pytest.mark.timeout(300)
def test_nothing_acknowledged_is_lost_and_nothing_lies_about(
    operator: Operator, context: ssl.SSLContext
) -> None:
    doctor = add_account(operator, "PER", "alix@a.localhost", "Alix FICTIF")
    colleague = add_account(operator, "PER", "noa@a.localhost", "Noa FICTIF")
    operator.start(workers=2)
    tally = Tally()
    port = operator.port("submissions")
    senders = [
        partial(keep_sending, number, (port, context), (doctor, colleague), tally)
        for number in range(SENDERS)
    ]
    send_and_kill(operator, senders, tally, KILLS, goal=3)
    notes = read_notes(operator, colleague, context)
    print(tally.told(KILLS))
    assert tally.failures > 0
    assert len(tally.acknowledged) > SENDERS
    assert [mark for mark in tally.acknowledged if len(notes.get(mark, ())) != 1] == []
    for mark, digest in tally.acknowledged.items():
        (note,) = notes[mark]
        assert sha256(fetch(operator, note, context)).hexdigest() == digest, mark
    operator.stop()
    assert pli("check", "-c", str(operator.config))["problems"] == []
    sweep(operator)
    report = pli("check", "-c", str(operator.config))
    assert report["problems"] == []
    assert report["counted"]["unnamed_files"] == 0
    assert report["counted"]["kept"] >= len(tally.acknowledged)


def keep_sending(
    number: int, server: tuple[int, ssl.SSLContext], people: tuple[Person, Person], tally: Tally
) -> None:
    """One mail client: a large message at a time, handed in again until it is acknowledged."""
    generator = random.Random(number)
    count = 0
    while not tally.stop.is_set():
        count += 1
        data, mark = generator.randbytes(FILE_BYTES), f"{number}-{count}"
        message = large_message(mark, people[0].address, [("irm.zip", data)])
        if keep_trying(partial(send_once, server, people, message), tally):
            with tally.lock:
                tally.acknowledged[mark] = sha256(data).hexdigest()


def send_once(server: tuple[int, ssl.SSLContext], people: tuple[Person, Person], message: bytes) -> None:
    (port, context), (sender, reader) = server, people
    with smtplib.SMTP_SSL("localhost", port, context=context, timeout=15) as client:
        client.login(sender.address, sender.app_password)
        client.sendmail(sender.address, [reader.address], message)


def read_notes(operator: Operator, reader: Person, context: ssl.SSLContext) -> dict[str, list[KeptNote]]:
    """The note in each message of the box, by the message's mark."""
    found: dict[str, list[KeptNote]] = {}
    with imaplib.IMAP4_SSL("localhost", operator.port("imaps"), ssl_context=context) as client:
        client.login(reader.address, reader.app_password)
        _status, count = client.select("INBOX")
        for number in range(1, int(count[0] or b"0") + 1):
            octets = client.fetch(str(number), "(BODY.PEEK[])")[1][0][1]  # type: ignore[index]
            mark = octets.split(b"Subject: Images ", 1)[1].split(b"\r\n", 1)[0].decode()
            found.setdefault(mark, []).append(find_note(octets))
    return found


def fetch(operator: Operator, note: KeptNote, context: ssl.SSLContext) -> bytes:
    client = http.client.HTTPSConnection("localhost", operator.port("web"), context=context, timeout=15)
    try:
        path = f"/kept/{note.url.rpartition('/')[2]}/files/0"
        client.request("GET", path, headers={"Authorization": f"Bearer {note.code}"})
        return client.getresponse().read()
    finally:
        client.close()


def sweep(operator: Operator) -> None:
    """As the daily round does, when every file is older than an hour."""
    for path in (operator.folder / "data" / "blobs").glob("??/*"):
        os.utime(path, (time.time() - 7200,) * 2)
    with opened(operator.config) as pli_services:
        Housekeeping(pli_services.services).sweep_once(datetime.now(UTC))
