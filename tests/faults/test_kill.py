"""Kill -9 on workers and supervisor in turn while mail comes in: nothing acknowledged is lost, nothing is there twice.

Twelve kills, two workers, ten deliveries in flight, small and large mail, the client retrying what was not
acknowledged; counted by IMAP afterwards, byte for byte.
"""

import imaplib
import random
import smtplib
import ssl
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
from faults.killing import Tally, keep_trying, pli, send_and_kill

from mailserver.cli.demo_stage import Operator, PortBlock, reserve_ports
from mailserver.cli.operator_folder import OperatorPlan, make_operator, parse_domains

KILLS = 12
SENDERS = 10
LARGE_BYTES = 300_000


def build_letter(mark: str, size: int, generator: random.Random) -> bytes:
    lines = [generator.randbytes(36).hex() for _ in range(max(1, size // 74))]
    head = f"From: <envoi@b.localhost>\r\nTo: <doc@a.localhost>\r\nSubject: {mark}\r\nMessage-ID: <{mark}@b.localhost>\r\n"
    return (head + "\r\n" + "\r\n".join(lines) + "\r\n").encode()


def keep_sending(number: int, port: int, context: ssl.SSLContext, tally: Tally) -> None:
    """One sender: a letter at a time, retried until acknowledged."""
    generator = random.Random(number)
    count = 0
    while not tally.stop.is_set():
        count += 1
        mark = f"kill-{number}-{count}"
        letter = build_letter(mark, LARGE_BYTES if count % 4 == 0 else 3000, generator)
        if keep_trying(partial(send_once, port, context, letter), tally):
            with tally.lock:
                tally.acknowledged[mark] = sha256(letter).hexdigest()


def send_once(port: int, context: ssl.SSLContext, letter: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=15) as client:
        client.starttls(context=context)
        client.sendmail("envoi@b.localhost", ["doc@a.localhost"], letter)


@pytest.mark.timeout(300)
def test_nothing_acknowledged_is_lost_and_nothing_is_there_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a dozen processes start here: they share compiled modules, as an installed Pli does
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "compiled"))
    blocks = reserve_ports(2)
    operator = Operator("a", tmp_path / "a", blocks[0])
    tally = Tally()
    try:
        app_password, context = prepare(tmp_path, operator, blocks)
        operator.start(workers=2)
        senders = [
            partial(keep_sending, number, operator.port("mx"), context, tally) for number in range(SENDERS)
        ]
        send_and_kill(operator, senders, tally, KILLS, goal=5)
        found = read_all(operator, app_password)
    finally:
        operator.stop()
        for block in blocks:
            block.release()
    print(tally.told(KILLS))
    assert tally.failures > 0
    assert len(tally.acknowledged) > SENDERS
    marks = [mark for mark, _digest in found]
    assert len(marks) == len(set(marks)), "a message is there twice"
    stored = dict(found)
    lost = [mark for mark, digest in tally.acknowledged.items() if stored.get(mark) != digest]
    assert not lost
    report = pli("check", "-c", str(operator.config))
    assert report["problems"] == []


def prepare(folder: Path, operator: Operator, blocks: list[PortBlock]) -> tuple[str, ssl.SSLContext]:
    """Both operators' folders and the one recipient; their app password, and the sending operator's side of TLS."""
    for name, block in zip("ab", blocks, strict=True):
        plan = OperatorPlan(
            folder / name,
            parse_domains([f"{name}.localhost"]),
            block.base,
            folder / "authority",
            key_bits=2048,
        )
        make_operator(plan, datetime.now(UTC))
    address = ["--kind", "PER", "--address", "doc@a.localhost", "--name", "Doc"]
    made = pli("account", "add", "-c", str(operator.config), *address)
    context = ssl.create_default_context(cafile=str(folder / "authority/demo-ca.pem"))
    context.load_cert_chain(folder / "b/tls/operator.pem", folder / "b/tls/operator.key")
    return made["app_password"], context


def read_all(operator: Operator, app_password: str) -> list[tuple[str, str]]:
    """(mark, digest of the octets as sent) of every message, by IMAP."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    found = []
    with imaplib.IMAP4_SSL("127.0.0.1", operator.port("imaps"), ssl_context=context) as client:
        client.login("doc@a.localhost", app_password)
        _status, count = client.select("INBOX")
        for number in range(1, int(count[0] or b"0") + 1):
            _status, parts = client.fetch(str(number), "(BODY.PEEK[])")
            stored = parts[0][1]  # type: ignore[index]
            octets = stored[stored.index(b"From: <envoi@") :]
            mark = octets.split(b"Subject: ", 1)[1].split(b"\r\n", 1)[0].decode()
            found.append((mark, sha256(octets).hexdigest()))
    return found
