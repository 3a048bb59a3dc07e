"""Every case of ``facts/mssante`` §4.6 and §11 about patients: one line is one case, the next needs no Python.

History: messages that the patient received, oldest first, numbered from 1, separated by ";". Each is who wrote, then
what it carries: FIN (X-MSS-MES: FIN), subject=…, mes=… (another value of the header), to=… (its Reply-To). Attempt: what
is tried now, by the patient unless another is named. Verdict: ok, or the reason. State: what the page offers, "-"
where no patient looks.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from mailserver.crypto.x509 import parse_dn
from mailserver.model.address import Address, parse_address, parse_domain
from mailserver.model.patient import is_patient_local
from mailserver.policy.conversation import Conversation, ReceivedFacts, receive_message
from mailserver.policy.decision import ACCEPT, Decision, Reason, refuse
from mailserver.policy.patient_rules import (
    PATIENT_MESSAGE_BYTES,
    PatientFacts,
    decide_patient,
    parse_pharmacies,
    reply_state,
)
from mailserver.policy.trust_list import TrustedDomain, TrustList

PEOPLE = {
    "doctor": "doctor@north.demo.example",
    "DOCTOR": "DOCTOR@North.Demo.example",
    "nurse": "nurse@north.demo.example",
    "secretary": "secretary@south.demo.example",
    "service": "cardiology@south.demo.example",
    "machine": "results@north.demo.example",
    "internet": "doctor@mail.example",
    "chemist": "pharmacy@south.demo.example",
    "chain": "paris12@pharmacies.demo.example",
    "shop": "shop@south.demo.example",
    "patient": "279035121518989@north.demo.example",
    "other": "146026322000196@north.demo.example",
    "elsewhere": "255069999904221@south.demo.example",
    "child": "255069999904221@north.demo.example",
}
PHARMACIES = parse_pharmacies([PEOPLE["chemist"], "pharmacies.demo.example"])
LISTED = ("north.demo.example", "south.demo.example", "pharmacies.demo.example")
TRUSTED = TrustList(
    datetime(2026, 3, 2, tzinfo=UTC),
    tuple(TrustedDomain(parse_domain(name), parse_dn("CN=a")) for name in LISTED),
)
LIMIT = PATIENT_MESSAGE_BYTES

CASES = """
# history                                 | attempt                     | verdict                 | state
# who opens
                                          | new doctor                  | patient-never-contacted | no-reply
                                          | new internet                | patient-never-contacted | no-reply
                                          | doctor to patient           | ok                      | -
                                          | service to patient          | ok                      | -
                                          | machine to patient          | ok                      | -
                                          | secretary to patient        | ok                      | -
doctor                                    | new nurse                   | patient-never-contacted | no-reply
doctor                                    | new secretary               | patient-never-contacted | no-reply
# the patient answers, or starts a new thread with someone who has written
doctor                                    | answer 1                    | ok                      | reply
doctor                                    | answer 1 DOCTOR             | ok                      | reply
doctor                                    | new doctor                  | ok                      | new-message
doctor; nurse                             | answer 1                    | ok                      | reply
doctor; nurse                             | new nurse                   | ok                      | new-message
doctor; nurse                             | answer 1 doctor+nurse       | ok                      | reply-to-all
doctor                                    | answer 1 doctor+nurse       | patient-never-contacted | reply
service                                   | answer 1                    | ok                      | reply
machine                                   | answer 1                    | ok                      | reply
doctor                                    | answer an unknown message   | ok                      | reply
# X-MSS-MES: FIN concerns the one message
doctor FIN                                | answer 1                    | message-closed          | new-message
doctor FIN                                | new doctor                  | ok                      | new-message
doctor FIN; doctor FIN                    | answer 2                    | message-closed          | new-message
doctor FIN                                | new nurse                   | patient-never-contacted | no-reply
doctor FIN; doctor subject=[FIN]          | new doctor                  | conversation-closed     | reply-blocked
doctor; doctor FIN                        | answer 2                    | message-closed          | new-message
doctor; doctor FIN                        | answer 1                    | ok                      | reply
doctor; doctor FIN                        | new doctor                  | ok                      | new-message
doctor FIN; doctor                        | answer 1                    | message-closed          | new-message
doctor FIN; doctor                        | answer 2                    | ok                      | reply
doctor FIN; nurse                         | answer 1                    | message-closed          | new-message
doctor FIN; nurse                         | answer 2                    | ok                      | reply
doctor mes=fin                            | answer 1                    | ok                      | reply
doctor mes=Fin                            | answer 1                    | ok                      | reply
doctor mes=FINI                           | answer 1                    | ok                      | reply
doctor mes=FIN.                           | answer 1                    | ok                      | reply
doctor mes=                               | answer 1                    | ok                      | reply
doctor mes=SUITE                          | answer 1                    | ok                      | reply
# a subject that is exactly [FIN] ends everything before
doctor subject=[FIN]                      | answer 1                    | conversation-closed     | reply-blocked
doctor; doctor subject=[FIN]              | answer 1                    | conversation-closed     | reply-blocked
doctor; doctor subject=[FIN]              | answer 2                    | conversation-closed     | reply-blocked
doctor; doctor subject=[FIN]              | new doctor                  | conversation-closed     | reply-blocked
doctor; nurse; doctor subject=[FIN]       | answer 2                    | ok                      | reply
doctor; doctor subject=[FIN] FIN          | answer 1                    | conversation-closed     | reply-blocked
doctor; doctor subject=[FIN]; doctor FIN  | answer 1                    | conversation-closed     | reply-blocked
doctor; doctor subject=[fin]              | answer 1                    | ok                      | reply
doctor; doctor subject=_[fin]             | answer 1                    | ok                      | reply
doctor; doctor subject=_[FIN]             | answer 1                    | ok                      | reply
doctor; doctor subject=[FIN]_             | answer 1                    | ok                      | reply
doctor; doctor subject=Re:_[FIN]          | answer 1                    | ok                      | reply
doctor; doctor subject=[FIN]_suite        | answer 1                    | ok                      | reply
doctor; doctor subject=FIN                | answer 1                    | ok                      | reply
# the professional writes again: open again, but for what wanted no answer
doctor; doctor subject=[FIN]              | doctor to patient           | ok                      | -
doctor; doctor subject=[FIN]; doctor      | answer 3                    | ok                      | reply
doctor; doctor subject=[FIN]; doctor      | answer 1                    | ok                      | reply
doctor; doctor subject=[FIN]; doctor      | new doctor                  | ok                      | new-message
doctor; doctor FIN; doctor subject=[FIN]; doctor | answer 2             | message-closed          | new-message
doctor; doctor subject=[FIN] FIN; doctor  | answer 2                    | message-closed          | new-message
doctor; doctor subject=[FIN]; nurse       | answer 1                    | conversation-closed     | reply-blocked
# a Reply-To at a health address takes the sender's place
doctor to=secretary                       | answer 1                    | ok                      | reply
doctor to=secretary                       | new secretary               | ok                      | new-message
doctor to=secretary                       | new doctor                  | patient-never-contacted | no-reply
doctor to=secretary FIN                   | answer 1                    | message-closed          | new-message
doctor to=secretary; doctor               | answer 2 doctor             | ok                      | reply
doctor to=secretary; doctor               | new secretary               | patient-never-contacted | no-reply
doctor to=secretary; doctor subject=[FIN] to=secretary | new secretary  | conversation-closed     | reply-blocked
doctor to=secretary; nurse subject=[FIN] to=secretary  | new secretary  | ok                      | new-message
doctor to=internet                        | answer 1 doctor             | ok                      | reply
doctor to=internet                        | new internet                | patient-never-contacted | no-reply
doctor to=doctor                          | answer 1                    | ok                      | reply
doctor to=other                           | answer 1 doctor             | ok                      | reply
# no mail from patient to patient, in any company
                                          | new other                   | patient-to-patient      | no-reply
                                          | new elsewhere               | patient-to-patient      | no-reply
doctor                                    | answer 1 doctor+other       | patient-to-patient      | reply
doctor                                    | answer 1 other+doctor       | patient-to-patient      | reply
doctor; nurse                             | answer 1 doctor+other+nurse | patient-to-patient      | reply-to-all
doctor                                    | answer 1 doctor+elsewhere   | patient-to-patient      | reply
                                          | other to patient            | patient-to-patient      | -
                                          | elsewhere to patient        | patient-to-patient      | -
                                          | elsewhere to patient+doctor | patient-to-patient      | -
# patient and professional on one message of a professional
                                          | doctor to patient+nurse     | ok                      | -
                                          | doctor to patient+child     | ok                      | -
                                          | doctor to nurse+elsewhere   | ok                      | -
# minors: the child's own address, with the same rules; a parent's space answers for itself only
                                          | doctor to child             | ok                      | -
                                          | patient to child            | patient-to-patient      | -
# 25 MB in total, to a patient only
                                          | doctor to patient at limit  | ok                      | -
                                          | doctor to patient over limit | message-too-large-for-patient | -
                                          | doctor to nurse+patient over limit | message-too-large-for-patient | -
                                          | doctor to elsewhere over limit | message-too-large-for-patient | -
                                          | doctor to nurse over limit  | ok                      | -
doctor                                    | answer 1 over limit         | ok                      | reply
# pharmacies that take first messages
                                          | new chemist                 | ok                      | new-message
                                          | new chain                   | ok                      | new-message
                                          | new shop                    | patient-never-contacted | no-reply
                                          | new chemist+other           | patient-to-patient      | new-message
chemist subject=[FIN]                     | new chemist                 | conversation-closed     | reply-blocked
chemist FIN                               | answer 1                    | message-closed          | new-message
# a read receipt passes what is closed, never what was not opened
doctor; doctor subject=[FIN]              | receipt doctor              | ok                      | -
doctor FIN                                | receipt doctor              | ok                      | -
doctor to=secretary                       | receipt doctor              | ok                      | -
doctor to=secretary FIN                   | receipt secretary           | ok                      | -
                                          | receipt doctor              | patient-never-contacted | -
"""


@dataclass(frozen=True)
class Case:
    history: str
    attempt: str
    verdict: str
    state: str


def read_cases() -> list[Case]:
    lines = [line for line in CASES.splitlines() if line.strip() and not line.startswith("#")]
    return [Case(*(cell.strip() for cell in line.split("|"))) for line in lines]


def address(name: str) -> Address:
    return parse_address(PEOPLE[name])


def read_history(text: str) -> list[ReceivedFacts]:
    received = []
    for number, each in enumerate(filter(None, text.split(";")), 1):
        who, *marks = each.split()
        fields = dict(mark.split("=", 1) for mark in marks if "=" in mark)
        end_mark = "FIN" if "FIN" in marks else fields.get("mes")
        reply_to = address(fields["to"]) if "to" in fields else None
        subject = fields.get("subject", "Results").replace("_", " ")
        at = datetime(2026, 3, number, tzinfo=UTC)
        received.append(ReceivedFacts(f"<{number}@a>", address(who), subject, at, end_mark, reply_to))
    return received


def fold(received: list[ReceivedFacts]) -> tuple[Conversation, ...]:
    known: dict[str, Conversation] = {}
    for each in received:
        known[each.sender.key] = receive_message(known.get(each.sender.key), each, TRUSTED)
    return tuple(known.values())


class Mailing:
    """One message of somebody, judged recipient by recipient as every service does: one refusal refuses all."""

    def __init__(self, history: list[ReceivedFacts], attempt: str) -> None:
        self.conversations = fold(history)
        self.size = LIMIT + 1 if "over limit" in attempt else LIMIT if "at limit" in attempt else 1
        words = attempt.replace(" over limit", "").replace(" at limit", "").split()
        self.is_receipt = words[0] == "receipt"
        self.answered: str | None = None
        self.sender = address("patient")
        match words:
            case ["answer", "an", "unknown", "message"]:
                self.answered, names = "<x@nowhere>", "doctor"
            case ["answer", number, *named]:
                self.answered = f"<{number}@a>"
                author = history[int(number) - 1].sender
                contact = next(each.contact for each in self.conversations if each.correspondent == author)
                names = named[0] if named else next(n for n in PEOPLE if address(n) == contact)
            case ["new" | "receipt", names]:
                pass
            case [who, "to", names]:
                self.sender = address(who)
            case _:
                raise ValueError(attempt)
        self.recipients = [address(name) for name in names.split("+")]

    def judge(self, recipient: Address, *, is_fresh: bool = False) -> Decision:
        is_sender_patient = is_patient_local(self.sender.local)
        return decide_patient(
            PatientFacts(
                is_sender_patient,
                is_patient_local(recipient.local),
                recipient,
                self.size,
                conversations=self.conversations if is_sender_patient else (),
                answered=None if is_fresh else self.answered,
                is_receipt=self.is_receipt,
                takes_first_messages=PHARMACIES.is_listed(recipient),
            )
        )

    def decide(self) -> Decision:
        refusals = [decision for decision in map(self.judge, self.recipients) if not decision.accepted]
        return refusals[0] if refusals else ACCEPT

    def state(self) -> str:
        """Of the first recipient, with the others as further people of the message."""
        first, *others = sorted(self.recipients, key=lambda each: is_patient_local(each.local))
        answer = None if self.answered is None else self.judge(first)
        count = sum(self.judge(each).accepted for each in others)
        return reply_state(answer, self.judge(first, is_fresh=True), count).value


@pytest.mark.parametrize(
    "case", read_cases(), ids=lambda case: f"{case.history or 'nothing'} | {case.attempt}"
)
def test_case(case: Case) -> None:
    mailing = Mailing(read_history(case.history), case.attempt)
    assert mailing.decide() == (ACCEPT if case.verdict == "ok" else refuse(Reason(case.verdict)))
    if case.state != "-":
        assert mailing.state() == case.state


def test_the_table_has_each_case_once_and_all_reasons() -> None:
    cases = [(case.history, case.attempt) for case in read_cases()]
    assert len(cases) == len(set(cases)) > 80
    told = {case.verdict for case in read_cases()} | {case.state for case in read_cases()}
    assert told >= {"reply", "reply-to-all", "reply-blocked", "no-reply", "new-message", "ok"}
