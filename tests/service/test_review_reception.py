"""Reception under hostile hands: who the author is, what opens a conversation, how often one is told of news."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from harness.log_reading import read_log
from service.delivery_peers import PEER_DOMAIN, Bench, make_bench, message, open_with_password
from sqlalchemy import select, update

from mailserver.audit.wording import Language, describe
from mailserver.model.patient import Ins
from mailserver.policy.conversation import ConversationState
from mailserver.policy.decision import Reason
from mailserver.service.conversations import fold_conversations, list_received
from mailserver.service.delivery import Outcome
from mailserver.store import schema

PATIENT, DOCTOR = "279035121518989@a.localhost", "doc@a.localhost"
PEERS_PATIENT = "269054958815780"


@pytest.fixture
def bench(tmp_path) -> Iterator[Bench]:
    bench = make_bench(tmp_path)
    bench.node.add_patient(PATIENT, contact="proche@example.org")
    bench.node.add(DOCTOR, password="un mot de passe long")
    yield bench
    bench.node.close()


def _letter(number: object, sender: bytes = b"camille@b.localhost", **headers: str) -> bytes:
    return message(number, **headers).replace(b"Camille FICTIF <camille@b.localhost>", sender)


HOSTILE = [
    b"<victim@c.example> <camille@b.localhost>",
    b"victim@c.example <camille@b.localhost>",
    b"Dr V <victim@c.example>(<camille@b.localhost>",
    b"Dr V <camille@b.localhost",
    b"G: camille@b.localhost;",
    b"<@victim.example:camille@b.localhost>",
    b"<victim@c.example>, ",
    b"dup\xe9@b.localhost",
    b"<victim@c.example>, G: camille@b.localhost;",
    b'"a, <victim@c.example>" <camille@b.localhost>, x',
]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_from_that_two_readers_read_differently_is_refused(bench: Bench, value: bytes) -> None:
    verdict = bench.accept([DOCTOR], _letter("hostile", value))
    assert (verdict.decision.reason, list(verdict.commits)) == (Reason.MALFORMED_HEADERS, [])


def test_a_plain_list_of_authors_is_called_so(bench: Bench) -> None:
    verdict = bench.accept([DOCTOR], _letter("two", b"camille@b.localhost, Noa <noa@b.localhost>"))
    assert verdict.decision.reason is Reason.FROM_SEVERAL


@pytest.mark.parametrize("value", [b"camille@b.localhost", b'"victim@c.example" <camille@b.localhost>'])
def test_a_plain_from_is_accepted(bench: Bench, value: bytes) -> None:
    assert bench.deliver([DOCTOR], _letter("plain", value)) == [Outcome.PLACED]


@pytest.mark.parametrize(
    "reply_to", ["<noa@b.localhost> <x@b.localhost>", "noa@b.localhost, x@b.localhost", "G: noa@b.localhost;"]
)
def test_a_doubtful_reply_to_counts_for_nothing(bench: Bench, reply_to: str) -> None:
    bench.deliver([PATIENT], message("reply", Reply_To=reply_to))
    (received,) = list_received(bench.store, open_with_password(bench, PATIENT))
    assert received.facts.reply_to is None


AUTOMATIC = [
    {"Auto_Submitted": "auto-replied"},
    {"Auto_Submitted": "Auto-Replied; x=y"},
    {"Auto_Submitted": "auto-generated"},
    {"Content_Type": 'multipart/report; boundary="x"'},
]


@pytest.mark.parametrize("headers", AUTOMATIC)
def test_an_automatic_answer_opens_nothing_and_tells_nobody(bench: Bench, headers: dict[str, str]) -> None:
    patient = open_with_password(bench, PATIENT)
    bench.deliver([PATIENT], message("fin", Subject="[FIN]"))
    jobs = bench.count("job")
    assert bench.deliver([PATIENT], message("auto", **headers), now=_later(30)) == [Outcome.PLACED]
    (known,) = fold_conversations(list_received(bench.store, patient), bench.services.trust.current)
    assert (known.state, bench.count("job")) == (ConversationState.CLOSED_ALL, jobs)


def test_what_is_marked_as_written_by_hand_opens(bench: Bench) -> None:
    bench.deliver([PATIENT], message("hand", Auto_Submitted="no"))
    assert (len(list_received(bench.store, open_with_password(bench, PATIENT))), bench.count("job")) == (1, 1)


def _later(hours: int) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


def test_one_notice_however_much_arrives(bench: Bench) -> None:
    now = datetime.now(UTC)
    for hour in range(24):
        bench.deliver([PATIENT], message(f"hour {hour}"), now=now + timedelta(hours=hour))
    assert bench.count("job") == 1
    bench.deliver([PATIENT], message("next day"), now=now + timedelta(hours=24, seconds=1))
    assert bench.count("job") == 2


@pytest.mark.parametrize("local", [PEERS_PATIENT, "2A9054958815781"])
def test_a_peers_patient_may_not_write_to_ours(bench: Bench, local: str) -> None:
    address = f"{local}@{PEER_DOMAIN}"
    is_patient = local == PEERS_PATIENT
    wanted = Reason.PATIENT_TO_PATIENT if is_patient else Reason.ACCEPTED
    assert bench.accept([PATIENT], message("p", sender=address)).decision.reason is wanted
    assert bench.accept([PATIENT], message("envelope"), sender=address).decision.reason is wanted
    assert bench.accept([DOCTOR], message("to doc", sender=address), sender=address).decision.accepted


def test_that_number_is_a_patients(bench: Bench) -> None:
    Ins("1.2.250.1.213.1.4.10", PEERS_PATIENT)


def test_the_end_of_an_exchange_in_the_same_second_stands(bench: Bench) -> None:
    patient, now = open_with_password(bench, PATIENT), datetime.now(UTC)
    for turn in range(6):
        bench.deliver([PATIENT], message(f"open {turn}"), now=now)
        bench.deliver([PATIENT], message(f"close {turn}", Subject="[FIN]"), now=now)
        (known,) = fold_conversations(list_received(bench.store, patient), bench.services.trust.current)
        assert known.state is ConversationState.CLOSED_ALL, turn


def test_the_log_names_who_was_verified(bench: Bench) -> None:
    """The display name is the sender's own word: it never stands alone, and cannot end its quotes."""
    patient = open_with_password(bench, PATIENT)
    claimed = "=?utf-8?Q?Votre_m=C3=A9decin_=C2=BB=29_a_lu?= <camille@b.localhost>"
    bench.deliver([PATIENT], message("named", From=claimed))
    bench.deliver([PATIENT], message("bare", From="camille@b.localhost"))
    named, bare = read_log(bench.store, patient.account, patient.space_root())[-2:]
    assert (named.event.who.name, bare.event.who.name) == ("camille@b.localhost",) * 2
    assert describe(named.event, Language.FRENCH) == (
        "camille@b.localhost (qui se nomme « Votre médecin ›) a lu ») a remis le message « Lettre named »."
    )
    assert describe(bare.event, Language.FRENCH) == "camille@b.localhost a remis le message « Lettre bare »."
    assert describe(named.event, Language.ENGLISH).startswith("camille@b.localhost (who goes by “Votre")


def test_a_fold_mark_given_to_another_account_suppresses_nothing(bench: Bench) -> None:
    made = bench.node.add("doc2@a.localhost")
    other = bench.node.open("doc2@a.localhost", made.app_password)
    bench.deliver([DOCTOR], message("marked"))
    with bench.store.database.write() as connection:
        assert connection.execute(select(schema.delivery)).all()
        connection.execute(update(schema.delivery).values(account_id=other.account_id))
    assert bench.deliver(["doc2@a.localhost"], message("marked")) == [Outcome.PLACED]
