"""After the exchange was ended a patient sends read receipts of what they received, and nothing that looks like one."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from service.delivery_peers import ORIGIN, SENDER, Bench, make_bench, message, message_id, open_with_password

from mailserver.mime.trace import Hop
from mailserver.model.address import parse_address
from mailserver.policy.decision import Reason
from mailserver.service.sendings import SubmittedEnvelope

PATIENT = "279035121518989@a.localhost"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = make_bench(tmp_path_factory.mktemp("receipts"))
    bench.node.add_patient(PATIENT)
    bench.deliver([PATIENT], message("letter", Disposition_Notification_To=SENDER))
    bench.deliver([PATIENT], message("from noa", sender="noa@b.localhost"), sender="noa@b.localhost")
    bench.deliver([PATIENT], message("end", Subject="[FIN]"))
    yield bench
    bench.node.close()


def _submit(bench: Bench, octets: bytes) -> Reason:
    submission, now = bench.services.submission, datetime.now(UTC)
    patient, author = open_with_password(bench, PATIENT), parse_address(PATIENT)
    decision, destination = submission.decide_recipient(parse_address(SENDER), 0, now)
    assert destination is not None, decision
    intake = submission.begin(Hop("client", "127.0.0.1", "a.localhost", "ESMTPSA", "x1"), author, now)
    try:
        intake.write(octets)
        intake.finish()
        verdict = submission.accept(patient, SubmittedEnvelope(author, (destination,), ORIGIN), intake, now)
        for commit in verdict.commits:
            commit.result(60)
        return verdict.decision.reason
    finally:
        intake.close()


def _receipt(original: str, number: object, **changes: str) -> bytes:
    text = {
        "report": "disposition-notification",
        "machine": "message/disposition-notification",
        "fields": f"Final-Recipient: rfc822;{PATIENT}\r\nOriginal-Message-ID: {original}\r\n"
        "Disposition: manual-action/MDN-sent-manually; displayed\r\n",
        "more": "",
    } | changes
    body = (
        "--f\r\nContent-Type: text/plain\r\n\r\nLu.\r\n"
        f"--f\r\nContent-Type: {text['machine']}\r\n\r\n{text['fields']}{text['more']}\r\n--f--\r\n"
    )
    kind = f'multipart/report; report-type={text["report"]}; boundary="f"'
    return message(number, sender=PATIENT, MIME_Version="1.0", Content_Type=kind, body=body.encode())


def test_a_receipt_of_what_was_received_passes(bench: Bench) -> None:
    assert _submit(bench, _receipt(message_id("letter"), "lu")) is Reason.ACCEPTED


ATTACHMENT = "\r\n--f\r\nContent-Type: application/pdf\r\n\r\nx"
NOT_RECEIPTS = {
    "plain": message("p1", sender=PATIENT),
    "auto-replied": message("p2", sender=PATIENT, Auto_Submitted="auto-replied"),
    "the type alone": message("p3", sender=PATIENT, Content_Type="multipart/report; boundary=x"),
    "the whole type alone": message(
        "p4",
        sender=PATIENT,
        Content_Type="multipart/report; report-type=disposition-notification; boundary=x",
    ),
    "another report": _receipt(message_id("letter"), "p5", report="delivery-status"),
    "no notification": _receipt(message_id("letter"), "p6", machine="text/plain"),
    "no fields": _receipt(message_id("letter"), "p7", fields=""),
    "never received": _receipt(message_id("nothing"), "p8"),
    "received from another": _receipt(message_id("from noa"), "p9"),
    "no id": _receipt("", "p10"),
    "a file beside it": _receipt(message_id("letter"), "p11", more=ATTACHMENT),
    "two ids": _receipt(message_id("letter"), "p12", more=f"Original-Message-ID: {message_id('x')}\r\n"),
    "too long": _receipt(message_id("letter"), "p13", more="X: " + "y" * 20_000 + "\r\n"),
}


@pytest.mark.parametrize("name", NOT_RECEIPTS)
def test_what_only_looks_like_a_receipt_is_refused(bench: Bench, name: str) -> None:
    assert _submit(bench, NOT_RECEIPTS[name]) is Reason.CONVERSATION_CLOSED
