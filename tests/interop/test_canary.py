"""Canary: unique words go through a running server by every door; then every file is searched for them.

Words in subject, addresses, body, file name, document, mailbox name and search; looked for as raw bytes, base64 at its
three alignments, quoted-printable, UTF-16 and inside inflated streams. The scanner first proves that it finds them.
"""

import imaplib
import json
import smtplib
import ssl
import subprocess
import sys
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest
from harness.canary import find_traces, plant_copies

from mailserver.cli.demo_stage import Operator, reserve_ports
from mailserver.cli.operator_folder import OperatorPlan, make_operator, parse_domains

WORDS = {
    "subject": "zobeline-quartz",
    "sender": "emetteur.vulpin",
    "recipient": "doc.ornithorynque",
    "body": "carabistouille-phlogistique",
    "large": "hippocampe-majuscule",
    "file": "bulletin-rhododendron",
    "document": "anacoluthe-palimpseste",
    "mailbox": "Dossier-xylophone",
    "keyword": "etiquette-sycomore",
    "sought": "recherche-troglodyte",
}


def pli(*arguments: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "mailserver", *arguments, "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def build_letter(recipient: str, size: int) -> bytes:
    letter = EmailMessage()
    letter["From"] = f"{WORDS['sender']}@a.localhost"
    letter["To"] = recipient
    letter["Subject"] = WORDS["subject"]
    letter["Message-ID"] = f"<{size}@a.localhost>"
    body = WORDS["body"] if size < 10_000 else (WORDS["large"] + "\n") * (size // 20)
    letter.set_content(body)
    letter.add_attachment(WORDS["document"].encode(), "text", "plain", filename=f"{WORDS['file']}.txt")
    return letter.as_bytes(policy=letter.policy.clone(linesep="\r\n"))


@pytest.mark.timeout(120)
def test_no_word_lies_readable_in_any_file(tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    planted.mkdir()
    plant_copies(planted, WORDS["body"])
    assert len({trace.form for trace in find_traces(planted, [WORDS["body"]])}) >= 6
    folder = tmp_path / "a"
    (block,) = reserve_ports(1)
    plan = OperatorPlan(
        folder, parse_domains(["a.localhost"]), block.base, tmp_path / "authority", key_bits=2048
    )
    make_operator(plan, datetime.now(UTC))
    operator = Operator("a", folder, block)
    addresses = {who: f"{WORDS[who]}@a.localhost" for who in ("sender", "recipient")}
    secrets = {
        who: pli(
            "account", "add", "-c", str(operator.config), "--kind", "PER", "--address", address, "--name", "X"
        )
        for who, address in addresses.items()
    }
    operator.start(workers=2)
    try:
        use_every_door(operator, addresses, {who: made["app_password"] for who, made in secrets.items()})
        assert find_traces(folder, list(WORDS.values())) == []
    finally:
        operator.stop()
        block.release()
    assert find_traces(folder, list(WORDS.values())) == []


def use_every_door(operator: Operator, addresses: dict[str, str], secrets: dict[str, str]) -> None:
    """Submission to a local account and to a domain that is away, small and large; IMAP with names and searches."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP_SSL("127.0.0.1", operator.port("submissions"), context=context) as client:
        client.login(addresses["sender"], secrets["sender"])
        for size in (1000, 200_000):
            letter = build_letter(addresses["recipient"], size)
            client.sendmail(addresses["sender"], [addresses["recipient"]], letter)
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail(
                addresses["sender"], [f"{WORDS['sought']}@a.localhost"], build_letter("x@a.localhost", 1)
            )
    with imaplib.IMAP4_SSL("127.0.0.1", operator.port("imaps"), ssl_context=context) as client:
        client.login(addresses["recipient"], secrets["recipient"])
        assert client.create(WORDS["mailbox"])[0] == "OK"
        assert client.select("INBOX") == ("OK", [b"2"])
        assert client.fetch("1:2", "(ENVELOPE BODY[])")[0] == "OK"
        assert client.store("1", "+FLAGS", f"({WORDS['keyword']})")[0] == "OK"
        assert client.copy("1:2", WORDS["mailbox"])[0] == "OK"
        assert client.search(None, "TEXT", WORDS["sought"])[0] == "OK"
        assert client.append(WORDS["mailbox"], None, None, build_letter("y@a.localhost", 500))[0] == "OK"
    with (
        pytest.raises(imaplib.IMAP4.error),
        imaplib.IMAP4_SSL("127.0.0.1", operator.port("imaps"), ssl_context=context) as client,
    ):
        client.login(addresses["sender"], "mot-de-passe-" + WORDS["sought"])
