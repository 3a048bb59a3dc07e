"""Canary: unique words go through a running server by every door; then every file is searched for them.

Words in subject, addresses, body, file name, document, mailbox name and search, in the index of texts too; looked for as raw bytes, base64 at its
three alignments, quoted-printable, UTF-16 and inside inflated streams. The scanner first proves that it finds them.
The doors: submission, IMAP, the MX port with a letter whose document is filed for a patient, the patient's answer with
a file on the web, and the queue, where mail waits for a trusted operator that is away.
"""

import imaplib
import smtplib
import sqlite3
import ssl
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest
from harness.canary import find_traces, plant_copies

from mailserver.cli.demo_clients import send_mail
from mailserver.cli.demo_relay import DemoRelay
from mailserver.cli.demo_stage import (
    PATIENT_CONTACT,
    PATIENT_INS,
    Operator,
    Person,
    Stage,
    add_account,
    reserve_ports,
    stop_both,
)
from mailserver.cli.demo_story import (
    SECRET_WORDS,
    Story,
    answer_letter,
    log_in,
    notice_arrives,
    open_document,
)
from mailserver.cli.demo_story import build_letter as build_demo_letter
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
    "away": "lointain-axolotl",
}
PATIENT, DOCTOR = "279035121518989@a.localhost", "camille.fictif@b.localhost"
LETTER = build_demo_letter(DOCTOR, [PATIENT])
SENT_WORDS = ("PAT-TROIS", "adressage", "camille.fictif")
"""Those of the demonstration's words that its letter holds; its answer holds the others."""
EVERY_WORD = [*WORDS.values(), *SECRET_WORDS]


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
    (planted / "letter").write_bytes(LETTER)
    assert {trace.word for trace in find_traces(planted, list(SENT_WORDS))} == set(SENT_WORDS)
    with ExitStack() as at_end:
        relay = DemoRelay()
        at_end.callback(relay.server_close)
        at_end.callback(relay.shutdown)
        stage = make_stage(tmp_path, relay, at_end)
        addresses = {"sender": stage.cardiologist.address, "recipient": f"{WORDS['recipient']}@a.localhost"}
        recipient = add_account(stage.a, "PER", addresses["recipient"], "X")
        stage.a.start(workers=2)
        secrets = {"sender": stage.cardiologist.app_password, "recipient": recipient.app_password}
        use_every_door(stage.a, addresses, secrets)
        write_to_who_is_away(stage)
        use_the_doors_of_a_patient(stage, relay)
        assert count_segments(stage.a.folder) > 0
        assert find_traces(stage.a.folder, EVERY_WORD) == []
    assert count_waiting(stage.a) == 4, "the letter, the patient's answer, read receipt and receipt of filing"
    assert find_traces(stage.a.folder, EVERY_WORD) == []


def make_stage(folder: Path, relay: DemoRelay, at_end: ExitStack) -> Stage:
    """Operator a with a professional and a patient; operator b is trusted and has a route, and never starts."""
    a, b = (Operator(name, folder / name, block) for name, block in zip("ab", reserve_ports(2), strict=True))
    at_end.callback(stop_both, a, b)
    for operator in (a, b):
        domains, authority = parse_domains([operator.domain]), folder / "authority"
        plan = OperatorPlan(
            operator.folder, domains, operator.base_port, authority, relay.port, key_bits=2048
        )
        make_operator(plan, datetime.now(UTC))
    sender = add_account(a, "PER", f"{WORDS['sender']}@{a.domain}", "X")
    options = ("--ins", PATIENT_INS, "--contact-email", PATIENT_CONTACT, "--password-stdin")
    patient = add_account(a, "PATIENT", PATIENT, "Dominique PAT-TROIS", *options)
    return Stage(folder, a, b, sender, patient, Person(DOCTOR, "Dr Camille FICTIF", ""))


def count_waiting(operator: Operator) -> int:
    with closing(sqlite3.connect(operator.folder / "data" / "pli.sqlite")) as database:
        query = "SELECT count(*) FROM job WHERE lane = 'relay' AND state = 'waiting'"
        return int(database.execute(query).fetchone()[0])


def write_to_who_is_away(stage: Stage) -> None:
    letter = build_letter(f"{WORDS['away']}@{stage.b.domain}", 2000)
    send_mail(
        stage.a, stage.cardiologist, [f"{WORDS['away']}@{stage.b.domain}"], letter, stage.client_context()
    )


def use_the_doors_of_a_patient(stage: Stage, relay: DemoRelay) -> None:
    """A letter with an archive comes in over mutual TLS; the patient logs in, opens its document and answers."""
    context = stage.client_context()
    context.load_cert_chain(stage.b.folder / "tls/operator.pem", stage.b.folder / "tls/operator.key")
    with smtplib.SMTP("127.0.0.1", stage.a.port("mx")) as client:
        client.starttls(context=context)
        assert client.sendmail(DOCTOR, [PATIENT], LETTER) == {}
    story = Story(stage, relay)
    for step in (notice_arrives, log_in, open_document, answer_letter):
        step(story)


def count_segments(folder: Path) -> int:
    """Rows of the index of texts."""
    with closing(sqlite3.connect(folder / "data" / "pli.sqlite")) as database:
        return database.execute("SELECT count(*) FROM text_segment").fetchone()[0]


def use_every_door(operator: Operator, addresses: dict[str, str], secrets: dict[str, str]) -> None:
    """Submission to a local account, small and large; IMAP with names and searches."""
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
        assert client.search(None, "TEXT", WORDS["sought"]) == ("OK", [b""])
        for word in ("body", "large", "subject"):  # each text is in the index by now
            assert client.search(None, "TEXT", WORDS[word])[1][0]
        assert client.append(WORDS["mailbox"], None, None, build_letter("y@a.localhost", 500))[0] == "OK"
    with (
        pytest.raises(imaplib.IMAP4.error),
        imaplib.IMAP4_SSL("127.0.0.1", operator.port("imaps"), ssl_context=context) as client,
    ):
        client.login(addresses["sender"], "mot-de-passe-" + WORDS["sought"])
