"""A professional's new message: to whom it may go, in words; who is away; once whatever is clicked."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from harness.large_mail import read_box
from harness.smtp_harness import log_lines
from harness.web_node import ORIGIN, PASSWORD, PATIENT
from harness.web_server import Answer, Client
from harness.web_stage import Stage, make_stage
from unit.documents.xdm_archives import sample

from mailserver.mime.headers import HeaderBlock
from mailserver.model.absence import Absence
from mailserver.store.jobs import Lane
from webmail import pages_write

COLLEAGUE, AWAY, PEER = "noa@a.localhost", "milan@a.localhost", "rita@b.localhost"
UNKNOWN = "personne@a.localhost"


@pytest.fixture(scope="module")
def own_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Its own: the boxes are read whole, and somebody is away."""
    with make_stage(Path(tmp_path_factory.mktemp("writing"))) as made:
        for address in (COLLEAGUE, AWAY):
            made.ours.add(address, password=PASSWORD)
        services, now = made.ours.services, datetime.now(UTC)
        account = services.keys.open_with_password(AWAY, PASSWORD)[0]
        absence = Absence(now.date(), now.date() + timedelta(days=3), "De retour lundi.")
        services.absence_settings.change(account, absence, ORIGIN, now)
        yield made


def choose(client: Client, *to: str, **more: str) -> Answer:
    token = client.get("/write").field("token")
    return client.post("/write", {"token": token, "to": " ".join(to)} | more)


def fields_of(page: Answer, **more: str) -> dict[str, str]:
    names = ("token", "mark", "to")
    return {name: page.field(name) for name in names} | {"subject": "Un avis", "text": "Bonjour."} | more


def box(stage: Stage, address: str) -> list[bytes]:
    return read_box(stage.ours, stage.ours.services.keys.open_with_password(address, PASSWORD)[0])


def relayed(stage: Stage) -> int:
    store = stage.ours.services.store
    with store.database.read() as connection:
        return sum(row.lane is Lane.RELAY for row in store.jobs.list_jobs(connection))


def test_to_people_here_and_elsewhere_once(own_stage: Stage) -> None:
    client, before, jobs = own_stage.doctor(), len(box(own_stage, COLLEAGUE)), relayed(own_stage)
    page = choose(client, f"<{COLLEAGUE}>,", f"{PEER};", COLLEAGUE.upper())
    assert (page.status, page.headers.get("location")) == (200, None)
    assert f"{COLLEAGUE}" in page.words
    assert "leurs équipes" in page.words
    archive = ("IHE_XDM.zip", "application/zip", sample("ok-lettre-adressage"))
    fields = fields_of(page)
    for _click in range(2):
        sent = client.post_files("/write/message", fields, [archive])
        assert (sent.status, sent.headers["location"]) == (303, "/write?sent=1")
    assert "Votre message est envoyé" in client.get("/write?sent=1").words
    assert (len(box(own_stage, COLLEAGUE)), relayed(own_stage)) == (before + 1, jobs + 1)
    head = HeaderBlock(box(own_stage, COLLEAGUE)[-1])
    assert head.find(b"to") == f"{COLLEAGUE}, {PEER}".encode()
    assert head.find(b"cc") is None
    assert (head.find(b"subject"), head.find(b"x-mss-codecda")) == (b"Un avis", b"96349-6")
    assert "Un avis" in client.get("/sent").words


def test_to_a_patient_who_is_to_write_no_answer(own_stage: Stage) -> None:
    client = own_stage.doctor()
    page = choose(client, PATIENT)
    assert "le patient ne pourra pas répondre" in page.words
    assert client.post_files("/write/message", fields_of(page, end="1"), []).status == 303
    assert b"\r\nX-MSS-MES: FIN\r\n" in box(own_stage, PATIENT)[-1]


def test_who_is_away_is_known_before(own_stage: Stage) -> None:
    client = own_stage.doctor()
    page = choose(client, AWAY, COLLEAGUE)
    assert "De retour lundi." in page.words
    assert page.field("away") == "1"
    assert client.post_files("/write/message", fields_of(page, away="1"), []).status == 303


@pytest.mark.parametrize(
    ("language", "to", "words"),
    [
        ("fr", [UNKNOWN, COLLEAGUE], ["Vous ne pouvez pas écrire", UNKNOWN]),
        ("en", [UNKNOWN], ["You cannot write", UNKNOWN]),
        ("fr", ["quelqu'un@ordinaire.example"], ["quelqu'un@ordinaire.example", "domaine"]),
        ("en", ["somebody@ordinary.example"], ["somebody@ordinary.example", "domain"]),
        ("fr", ["255069999904221@a.localhost"], ["255069999904221@a.localhost"]),
        (
            "fr",
            [PATIENT, "146026322000196@b.localhost"],
            ["ne va qu’à un patient", "Écrivez un message à chacun"],
        ),
        ("fr", ["Alix", "DEMO"], ["Alix", "pas une adresse complète"]),
        ("en", ["Alix"], ["no complete address"]),
        ("fr", [" "], ["Aucune adresse"]),
        ("en", [","], ["No address was given"]),
        ("fr", ["x@a.localhost"] * 21, ["trop d’adresses", "20"]),
    ],
)
def test_refusals_are_words(own_stage: Stage, language: str, to: list[str], words: list[str]) -> None:
    client = own_stage.doctor()
    client.language = language
    with log_lines() as log:
        page = choose(client, *to, text="Le texte est gardé.")
    assert page.status == 422
    for each in words:
        assert each in page.words, each
    assert "Le texte est gardé.</textarea>" in page.text
    assert 'name="mark"' not in page.text, "no message to only some of them"
    for each in to:
        assert "@" not in each or each not in log.text


def test_a_form_is_for_those_whom_it_was_given_for(own_stage: Stage) -> None:
    client, before = own_stage.doctor(), relayed(own_stage)
    fields = fields_of(choose(client, COLLEAGUE))
    for wrong in ({"to": PEER}, {"to": UNKNOWN}, {"to": ""}, {"mark": ""}, {"token": "0" * 64}):
        assert client.post_files("/write/message", fields | wrong, []).status == 403
    assert client.post("/write", {"token": "0" * 64, "to": COLLEAGUE}).status == 403
    assert relayed(own_stage) == before


def test_who_left_meanwhile_is_named_and_the_text_is_kept(
    own_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, services = own_stage.doctor(), own_stage.ours.services
    own_stage.ours.add("parti@a.localhost", password=PASSWORD)
    fields = fields_of(choose(client, "parti@a.localhost"), text="À ne pas perdre.")
    find = services.directory.find_account
    monkeypatch.setattr(
        services.directory,
        "find_account",
        lambda connection, address: None if address.local == "parti" else find(connection, address),
    )
    services.delivery.recipients._known.clear()  # the second is over for which a holder is known
    page = client.post_files("/write/message", fields, [])
    assert page.status == 422
    assert "parti@a.localhost" in page.words
    assert "À ne pas perdre.</textarea>" in page.text
    assert "Ce message est de vous" not in page.words
    monkeypatch.undo()
    again = choose(client, COLLEAGUE, text="À ne pas perdre.", subject="Un avis")
    assert "À ne pas perdre.</textarea>" in again.text


def test_a_message_without_a_subject_keeps_its_text(own_stage: Stage) -> None:
    client = own_stage.doctor()
    page = client.post_files("/write/message", fields_of(choose(client, COLLEAGUE), subject=" "), [])
    assert (page.status, page.field("to")) == (422, COLLEAGUE)
    assert "n’a pas d’objet" in page.words
    assert "Bonjour.</textarea>" in page.text


def test_a_patient_has_contacts_instead(own_stage: Stage) -> None:
    client = own_stage.patient()
    assert client.get("/write").status == 403
    assert "/write" not in client.get("/").text
    token = client.get("/contacts").field("token")
    assert client.post("/write", {"token": token, "to": COLLEAGUE}).status == 403
    assert (
        client.post_files("/write/message", {"token": token, "mark": "", "to": COLLEAGUE}, []).status == 403
    )


def test_who_tries_addresses_waits(own_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """S4: as for any list of addresses that somebody goes through; the others wait for nothing."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(pages_write, "sleep", sleep)
    own_stage.ours.add("curieux@a.localhost", password=PASSWORD, contact="curieux@example.org")
    client = own_stage.sign_in("curieux@a.localhost")
    for _try in range(3):
        choose(client, *[f"x{number}@a.localhost" for number in range(8)])
    assert waits[1] == 0.0
    assert min(waits[-8:]) >= 2.0, "each address waits for itself"
    waits.clear()
    choose(own_stage.doctor(), COLLEAGUE)
    assert max(waits) == 0.0


def test_recipients_as_mail_clients_copy_them(own_stage: Stage) -> None:
    client = own_stage.doctor()
    pasted = f'Dr Noa CONFRÈRE-FICTIF <{COLLEAGUE}>, "FICTIF, Camille" <{PEER}>'
    page = choose(client, pasted)
    assert page.status == 200
    assert set(page.field("to").split()) == {COLLEAGUE, PEER}
    kept = choose(client, f"{COLLEAGUE} et <{PEER}>")  # an address is never taken for a name
    assert kept.status == 422
    assert COLLEAGUE in kept.text
