"""What a peer's server, and a professional's mail client, read when a patient cannot be written to."""

import smtplib

import pytest
from harness.smtp_harness import letter, log_lines, operator_context, running_smtp
from harness.web_node import PATIENT, make_peers

from mailserver.policy.patient_rules import PATIENT_MESSAGE_BYTES

DOCTOR, PEER = "doc@a.localhost", "noa@b.localhost"
UNKNOWN = "146026322000196@a.localhost"
NUMBERS = ("279035121518989", "146026322000196")


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    ours, peer = make_peers(tmp_path_factory.mktemp("operators"))
    ours.add_patient(PATIENT)
    ours.add(DOCTOR)
    yield ours, peer
    ours.close()
    peer.close()


@pytest.fixture
def client(operators):
    with running_smtp(operators[0]) as running:
        called = running.call_mx(operator_context(operators[1]))
        yield called
        called.close()


@pytest.mark.parametrize(
    ("recipient", "size", "code", "words"),
    [
        (PATIENT, PATIENT_MESSAGE_BYTES, 250, []),
        (PATIENT, PATIENT_MESSAGE_BYTES + 1, 552, ["5.2.3", "25 MB", "25 Mo", "pieces jointes"]),
        (DOCTOR, PATIENT_MESSAGE_BYTES + 1, 250, []),
        (UNKNOWN, 1000, 550, ["5.1.1", "Check the INS", "Verifiez l'INS"]),
        ("279035121518980@a.localhost", 1000, 550, ["5.1.1", "Check the INS", "Verifiez l'INS"]),
        ("nobody@a.localhost", 1000, 550, ["5.1.1", "directory", "annuaire"]),
    ],
)
def test_at_rcpt(client: smtplib.SMTP, recipient: str, size: int, code: int, words: list[str]) -> None:
    with log_lines() as log:
        assert client.mail(PEER, [f"SIZE={size}"])[0] == 250
        found, text = client.rcpt(recipient)
    assert found == code
    for each in words:
        assert each in text.decode()
    assert not [number for number in (*NUMBERS, "279035121518980") if number in log.text]
    assert ("refused" in log.text) is (code != 250)


def test_one_refusal_names_its_recipient_and_refuses_all(client: smtplib.SMTP, operators) -> None:
    """A patient of another operator reaches our professionals, and no patient of ours beside them."""
    sender = "146026322000196@b.localhost"
    with pytest.raises(smtplib.SMTPDataError) as refused:
        client.sendmail(sender, [DOCTOR, PATIENT], letter(sender, DOCTOR, "both"))
    text = refused.value.smtp_error.decode()
    assert refused.value.smtp_code == 550
    assert PATIENT in text
    assert "Un espace patient ne peut pas ecrire a un autre patient" in text
    client.rset()
    assert client.sendmail(sender, [DOCTOR], letter(sender, DOCTOR, "alone")) == {}
