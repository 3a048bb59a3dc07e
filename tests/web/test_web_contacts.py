"""Whom a patient may write to, what they are told when they may not, and what a professional may say of answers."""

import re
from datetime import UTC, datetime

import pytest
from harness.web_node import ORIGIN, PASSWORD, PATIENT, deliver
from harness.web_server import Answer, Client
from harness.web_stage import DOCTOR, Stage

from mailserver.mime.composer import Letter, Person, format_mail
from mailserver.mime.trace import Hop
from mailserver.model.address import parse_address
from mailserver.service.sendings import SubmittedEnvelope
from mailserver.store.jobs import Lane

MARK = ("X-MSS-MES", "FIN")
OTHER_PATIENT = "146026322000196@b.localhost"


def write(stage: Stage, local: str, number: str, subject: str, *, to: str = PATIENT, **more: object) -> None:
    """A letter from one of the peer's people, to the patient of the samples among others."""
    sender = f"{local}@b.localhost"
    who = Person(parse_address(sender), f"Dr {local.capitalize()} DEMO")
    recipient = Person(parse_address(to), "")
    identity = f"<{local}.{number}@b.localhost>"
    mail = Letter(who, (recipient,), subject, "Bonjour", datetime.now(UTC), identity, **more)
    deliver(stage.ours, stage.peer, sender, PATIENT, format_mail(mail, "nonce12345"))


def open_message(client: Client, subject: str) -> tuple[str, Answer]:
    found = re.search(rf'href="(/messages/[^"]+)">{re.escape(subject)}<', client.get("/").text)
    assert found
    return found[1], client.get(found[1])


def open_contact(client: Client, name: str) -> tuple[str, Answer]:
    found = re.search(rf'href="(/contacts/[^"]+)"><bdi>{name}<', client.get("/contacts").text)
    assert found, name
    return found[1], client.get(found[1])


def card(client: Client, name: str) -> str:
    """The words of one contact's line."""
    text = client.get("/contacts").text
    found = re.search(rf'<li class="card">\s*<h2><a [^>]*><bdi>{name}</bdi>.*?</li>', text, re.DOTALL)
    assert found, name
    return Answer(200, {}, found[0].encode()).words


def relayed(stage: Stage) -> int:
    store = stage.ours.services.store
    with store.database.read() as connection:
        return sum(row.lane is Lane.RELAY for row in store.jobs.list_jobs(connection))


FIELDS = ("token", "mark")


def fields_of(page: Answer, **more: str) -> dict[str, str]:
    return {name: page.field(name) for name in FIELDS} | {"text": "Bonjour, une question."} | more


def test_a_new_thread_to_somebody_who_wrote_before(stage: Stage) -> None:
    write(stage, "noa", "1", "Premier mot de Noa")
    client, before = stage.patient(), relayed(stage)
    path, page = open_contact(client, "Dr Noa DEMO")
    assert "noa" not in path, "no address in a URL"
    assert "Urgence" in page.words
    fields = fields_of(page, subject="Mon traitement")
    for _click in range(2):
        answer = client.post_files(f"{path}/message", fields, [("a.txt", "text/plain", b"x")])
        assert (answer.status, answer.headers["location"]) == (303, f"{path}?sent=1")
    assert relayed(stage) == before + 1
    assert "Votre message est envoyé" in client.get(f"{path}?sent=1").words
    assert "Mon traitement" in client.get("/sent").words


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"subject": " "}, 422, "pas d’objet"),
        ({"text": ""}, 422, "Votre message est vide"),
        ({"mark": "1.2.3"}, 403, "trop ancienne"),
        ({"token": "x"}, 403, "trop ancienne"),
    ],
)
def test_refusals_keep_what_was_written(
    stage: Stage, change: dict[str, str], status: int, words: str
) -> None:
    write(stage, "ada", str(abs(hash(str(change)))), "Mot d’Ada")
    client, before = stage.patient(), relayed(stage)
    path, page = open_contact(client, "Dr Ada DEMO")
    answer = client.post_files(f"{path}/message", fields_of(page, subject="Objet gardé") | change, [])
    assert (answer.status, relayed(stage)) == (status, before)
    assert words in answer.words
    if status == 422 and "subject" not in change:
        assert 'value="Objet gardé"' in answer.text
    if status == 422 and "text" not in change:
        assert "Bonjour, une question.</textarea>" in answer.text


def test_an_ended_exchange_says_who_when_and_what_to_do(stage: Stage) -> None:
    """Before anything is written: by the message, by the contact, in both languages."""
    write(stage, "lou", "1", "Avant la fin de Lou")
    write(stage, "lou", "2", "[FIN]")
    client = stage.patient()
    path, page = open_message(client, "Avant la fin de Lou")
    _path, contact = open_contact(client, "Dr Lou DEMO")
    for shown in (page, contact):
        assert "<textarea" not in shown.text
        assert "a mis fin à cet échange" in shown.words
        assert "appelez son cabinet" in shown.words
        assert re.search(
            r"C’est \S*Dr Lou DEMO\S* \(\S*lou@b\.localhost\S*\) qui l’a indiqué, le \w+ \d", shown.words
        )
        assert "appelez le 15 (SAMU) ou le 112" in shown.words
    assert "a mis fin à cet échange" in card(client, "Dr Lou DEMO")
    client.language = "en"
    english = client.get(path)
    assert "has ended this exchange" in english.words
    assert "call their practice" in english.words
    assert re.search(r"Dr Lou DEMO\S* \(\S*lou@b\.localhost\S*\) said so on", english.words)
    assert "call 15 (SAMU) or 112" in english.words
    write(stage, "lou", "3", "Lou écrit encore")
    assert "<textarea" in client.get(path).text, "open again"


def test_a_message_that_wants_no_answer_leads_to_a_new_one(stage: Stage) -> None:
    write(stage, "mia", "1", "Mia attend une réponse")
    write(stage, "mia", "2", "Mia n’en attend pas", fields=(MARK,))
    client = stage.patient()
    _path, page = open_message(client, "Mia n’en attend pas")
    assert "<textarea" not in page.text
    assert "n’attend pas de réponse à ce message" in page.words
    assert "Vous pouvez cependant écrire un nouveau message" in page.words
    assert page.links("^/contacts$")
    assert "Vous pouvez lui écrire" in card(client, "Dr Mia DEMO")


def test_a_contact_that_is_gone_is_inactive(stage: Stage) -> None:
    gone = "gone@a.localhost"
    stage.ours.add(gone, password=PASSWORD, name="Dr Parti DEMO")
    write_local(stage, gone, "Avant de partir")
    client = stage.patient()
    assert "Vous pouvez lui écrire" in card(client, "Dr Parti DEMO")
    stage.ours.services.administration.disable_account(parse_address(gone), datetime.now(UTC))
    assert "Contact inactif" in card(client, "Dr Parti DEMO")
    path, page = open_contact(client, "Dr Parti DEMO")
    assert "<textarea" not in page.text
    assert client.post_files(f"{path}/message", {"token": "x", "mark": "x", "text": "x"}, []).status == 403


def write_local(stage: Stage, sender: str, subject: str) -> None:
    """One of ours writes to the patient by SMTP."""
    services, now = stage.ours.services, datetime.now(UTC)
    account, _keys = services.keys.open_with_password(sender, PASSWORD)
    submission, author = services.submission, account.addresses[0]
    who = Person(author, account.profile.name)
    mail = Letter(
        who, (Person(parse_address(PATIENT)),), subject, "Bonjour", now, f"<{hash(subject)}@a.localhost>"
    )
    _decision, destination = submission.decide_recipient(parse_address(PATIENT), 0, now)
    assert destination is not None
    intake = submission.begin(Hop("client", "127.0.0.1", "a.localhost", "ESMTPSA", "x1"), author, now)
    intake.write(format_mail(mail, "nonce12345"))
    intake.finish()
    verdict = submission.accept(account, SubmittedEnvelope(author, (destination,), ORIGIN), intake, now)
    assert verdict.decision.accepted
    for commit in verdict.commits:
        commit.result(60)
    intake.close()


def test_the_answer_goes_to_all_who_may_have_it(stage: Stage) -> None:
    """Of the others on the message, those who have written to the patient; nobody else is offered."""
    write(stage, "zoe", "1", "Mot de Zoé")
    copies = tuple(
        Person(parse_address(address)) for address in ("zoe@b.localhost", "new@b.localhost", OTHER_PATIENT)
    )
    write(stage, "max", "1", "Max à plusieurs", copies=copies)
    client, before = stage.patient(), relayed(stage)
    path, page = open_message(client, "Max à plusieurs")
    offer = re.search(r"Envoyer aussi à ([^<]*)</label>", page.text)
    assert offer
    assert "zoe@b.localhost" in offer[1]
    assert "new@" not in offer[1]
    assert "146026322000196" not in offer[1]
    assert client.post_files(f"{path}/answer", fields_of(page), []).status == 303
    assert relayed(stage) == before + 1, "nobody else unless it was asked for"
    _path, page = open_message(client, "Max à plusieurs")
    assert client.post_files(f"{path}/answer", fields_of(page, all="1"), []).status == 303
    assert relayed(stage) == before + 3


def test_a_professional_may_want_no_answer(stage: Stage) -> None:
    """Written on the web, with the operator's product, under the national label."""
    write_local(stage, DOCTOR, "Ordonnance de Dr Alix")
    client = stage.patient()
    path, page = open_message(client, "Ordonnance de Dr Alix")
    assert 'name="end"' not in page.text, "a patient has no such choice"
    assert client.post_files(f"{path}/answer", fields_of(page, end="1"), []).status == 303
    doctor = stage.doctor()
    path, page = open_message(doctor, "Re: Ordonnance de Dr Alix")
    assert 'name="end"' in page.text
    assert doctor.post_files(f"{path}/answer", fields_of(page, end="1", text="Bien reçu."), []).status == 303
    _path, told = open_message(client, "Re: Ordonnance de Dr Alix")
    assert "<textarea" not in told.text
    assert "n’attend pas de réponse à ce message" in told.words
    assert re.search(r"C’est \S*Dr Alix DEMO\S* \(\S*doc@a\.localhost", told.words)


def test_professionals_have_no_contacts_page(stage: Stage) -> None:
    doctor = stage.doctor()
    assert doctor.get("/contacts").status == 403
    assert not doctor.get("/").links("^/contacts")


def test_a_contact_is_named_in_its_session_only(stage: Stage) -> None:
    write(stage, "eve", "1", "Mot d’Ève")
    path, _page = open_contact(stage.patient(), "Dr Eve DEMO")
    assert stage.patient().get(path).status == 404
    assert stage.patient().get("/contacts/" + "0" * 32).status == 404
