"""The header of mail composed on the web: the product, the national label, the mark that wants no answer."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from service.delivery_peers import ORIGIN, Bench, make_bench, message, open_with_password

from mailserver.crypto.secret import random_id
from mailserver.mime.headers import HeaderBlock
from mailserver.model.account import Role
from mailserver.model.address import parse_address
from mailserver.policy.patient_rules import ReplyState
from mailserver.service.displayed_receipts import DisplayedReceipts
from mailserver.service.relay import RelayQueue
from mailserver.service.web_answers import Draft, WebAnswers
from mailserver.service.web_mailbox import WebMailbox

PATIENT = "279035121518989@a.localhost"
DOCTOR, ELSEWHERE = "doc@a.localhost", "146026322000196@b.localhost"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = make_bench(tmp_path_factory.mktemp("web-letters"))
    bench.node.add_patient(PATIENT, password="un mot de passe long")
    bench.node.add(DOCTOR, password="un mot de passe long", name="Dr Alix DEMO")
    yield bench
    bench.node.close()


def answer(bench: Bench, product: str, *, sender: str, wants_no_answer: bool = False) -> HeaderBlock:
    """The header of an answer, as its copy in Sent has it."""
    services, now = bench.services, datetime.now(UTC)
    nonce = f"{product or 'none'}{len(sender)}{wants_no_answer:d}00000000"
    bench.deliver([DOCTOR], message(nonce, sender=sender), sender=sender)
    doctor = open_with_password(bench, DOCTOR)
    mailbox = WebMailbox(services.store, services.mailboxes, services.messages, services.permits)
    line = mailbox.list_page(doctor, Role.INBOX).lines[0]
    opened = mailbox.open_message(doctor, line.ref, ORIGIN, now)
    operator = replace(services.config.operator, product_reference=product)
    answers = WebAnswers(services.store, services.mailboxes, services.messages, services.submission, operator)
    plan = answers.plan(doctor, opened, now)
    assert plan.state is ReplyState.REPLY
    draft = Draft("Bien reçu.", nonce, now, wants_no_answer=wants_no_answer)
    assert answers.send(doctor, plan, draft, iter(()), ORIGIN, now).accepted
    return HeaderBlock(bench.read(doctor, bench.page(doctor, Role.SENT)[-1]))


@pytest.mark.parametrize(
    ("product", "sender", "wants_no_answer", "fields"),
    [
        ("", "camille@b.localhost", False, (None, None)),
        ("DEV935997", "camille@b.localhost", False, (b"DEV935997", None)),
        ("DEV935997", "camille@b.localhost", True, (b"DEV935997", None)),
        ("", ELSEWHERE, True, (None, b"FIN")),
        ("DEV935997", ELSEWHERE, True, (b"DEV935997", b"FIN")),
        ("", ELSEWHERE, False, (None, None)),
    ],
)
def test_headers_of_an_answer(
    bench: Bench,
    product: str,
    sender: str,
    *,
    wants_no_answer: bool,
    fields: tuple[bytes | None, bytes | None],
) -> None:
    head = answer(bench, product, sender=sender, wants_no_answer=wants_no_answer)
    assert (head.find(b"x-mss-nil"), head.find(b"x-mss-mes")) == fields
    assert head.find(b"from") == b"Dr_Alix_DEMO <doc@a.localhost>"
    assert head.find(b"x-mss-codecda") is None
    assert str(parse_address(sender)).encode() in (head.find(b"to") or b"")


def test_the_header_of_a_read_receipt(bench: Bench) -> None:
    services, now, asker = bench.services, datetime.now(UTC), "camille@b.localhost"
    letter = message("lu", sender=asker, Disposition_Notification_To=asker)
    bench.deliver([PATIENT], letter, sender=asker)
    patient = open_with_password(bench, PATIENT)
    mailbox = WebMailbox(services.store, services.mailboxes, services.messages, services.permits)
    line = mailbox.list_page(patient, Role.INBOX).lines[0]
    opened = mailbox.open_message(patient, line.ref, ORIGIN, now)
    operator = replace(services.config.operator, product_reference="DEV935997")
    receipts = DisplayedReceipts(services.store, mailbox, services.submission, operator)
    receipts.send_receipt(patient, opened, ORIGIN, now)
    with services.store.database.read() as connection:
        jobs = [
            row for row in services.store.jobs.list_jobs(connection) if row.account_id == patient.account_id
        ]
    queue = RelayQueue(services.store, services.outbound, services.reports, random_id())
    (sent,) = [queue.open_message(row) for row in jobs if row.blob_id is not None]
    assert b"\r\nX-MSS-NIL: DEV935997\r\n" in sent.read(0, sent.size_bytes)
