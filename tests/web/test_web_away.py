"""Out of office on the web: a professional sets it, and whoever would write to them sees it before writing."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from harness.log_reading import read_log
from harness.web_node import PASSWORD, PATIENT
from harness.web_server import Answer, Client
from harness.web_stage import DOCTOR, Stage
from web.test_web_contacts import fields_of, open_contact, open_message, write_local

from mailserver.audit.events import EventKind
from mailserver.model.account import Role
from mailserver.model.address import parse_address
from mailserver.store import items, mailboxes

TODAY = datetime.now(UTC).date()
LAST = TODAY + timedelta(days=3)
FIELDS = {
    "from": TODAY.isoformat(),
    "until": LAST.isoformat(),
    "text": "Je suis en congé.\nBonne semaine <b>à tous</b>.",
    "colleague": "camille@b.localhost",
    "emergency": "appelez le 15",
}


@pytest.fixture
def doctor(stage: Stage) -> Iterator[Client]:
    """Signed in, and back from any absence at the end."""
    client = stage.doctor()
    yield client
    client.post("/away", {"token": client.get("/away").field("token"), "end": "1"})


def save(client: Client, **more: str) -> Answer:
    return client.post("/away", {"token": client.get("/away").field("token")} | FIELDS | more)


def letters_of(stage: Stage, login: str) -> int:
    """How many messages an INBOX holds."""
    account, _keys = stage.ours.services.keys.open_with_password(login, PASSWORD)
    with stage.ours.services.store.database.read() as connection:
        inbox = mailboxes.load_by_role(connection, account.account_id, Role.INBOX)
        return len(items.list_items(connection, account.account_id, inbox.mailbox_id, [(1, 2**31)]))


def test_a_professional_sets_it_sees_it_and_ends_it(stage: Stage, doctor: Client) -> None:
    assert 'href="/away"' in doctor.get("/").text
    answer = save(doctor)
    assert (answer.status, answer.headers["location"]) == (303, "/away?done=set")
    page = doctor.get("/away?done=set")
    assert "Votre absence est enregistrée" in page.words
    assert [page.field(name) for name in ("from", "until", "colleague", "emergency")] == [
        FIELDS[name] for name in ("from", "until", "colleague", "emergency")
    ]
    assert "Bonne semaine &lt;b&gt;" in page.text
    end = doctor.post("/away", {"token": page.field("token"), "end": "1"})
    assert end.headers["location"] == "/away?done=ended"
    ended = doctor.get("/away?done=ended")
    assert "Votre absence est terminée" in ended.words
    assert "Je suis de retour" not in ended.words
    account, _keys = stage.ours.services.keys.open_with_password(DOCTOR, PASSWORD)
    events = [
        each.event for each in read_log(stage.ours.services.store, account.account, account.space_root())
    ]
    acts = [
        each for each in events if each.kind is EventKind.SETTING_CHANGED and each.what.words == "absence"
    ]
    assert [dict(each.what.parameters)[each.what.parameters[0][0]] for each in acts][-2:] == [
        "away-set",
        "away-ended",
    ]
    assert acts[-1].origin.network, "from where"


@pytest.mark.parametrize(
    ("change", "status", "french", "english"),
    [
        ({"until": "2020-01-01"}, 422, "Ces dates ne vont pas", "These days do not fit"),
        ({"until": ""}, 422, "Ces dates ne vont pas", "These days do not fit"),
        ({"colleague": "x@ailleurs.example"}, 422, "Cette adresse ne peut pas", "This address cannot"),
        ({"text": "x" * 2049}, 422, "Votre texte est trop long", "Your text is too long"),
        ({"emergency": "x" * 513}, 422, "Raccourcissez-le", "Shorten it"),
        ({"token": "0" * 64}, 403, "trop ancienne", "too old"),
    ],
)
def test_refusals_keep_what_was_written(
    doctor: Client, change: dict[str, str], status: int, french: str, english: str
) -> None:
    for language, words in (("fr", french), ("en", english)):
        doctor.language = language
        answer = save(doctor, **change)
        assert answer.status == status
        assert words in answer.words
        if status == 422:
            assert answer.field("colleague") == (FIELDS | change)["colleague"]
    doctor.language = "fr"
    assert doctor.get("/away").field("until") == ""


def test_a_patient_has_no_such_page(stage: Stage) -> None:
    patient = stage.patient()
    assert 'href="/away"' not in patient.get("/").text
    assert patient.get("/away").status == 403
    assert patient.post("/away", FIELDS | {"token": patient.get("/").field("token")}).status == 403
    assert Client(stage.port).get("/away").status == 303


def test_it_is_shown_before_writing(stage: Stage, doctor: Client) -> None:
    """Beside a message and beside a contact, in both languages, above the field; and it comes only once."""
    write_local(stage, DOCTOR, "Avant mon absence")
    client = stage.patient()
    path, page = open_message(client, "Avant mon absence")
    assert "ne lit pas ses messages" not in page.words
    assert "auto-replied" not in page.text
    assert save(doctor).status == 303
    contact, form = open_contact(client, "Dr Alix DEMO")
    for shown in (client.get(path), form):
        words = shown.words
        assert "Dr Alix DEMO" in words
        assert f"ne lit pas ses messages jusqu’au {LAST.day if LAST.day > 1 else '1er'} " in words
        assert "Je suis en congé. Bonne semaine <b>à tous</b>." in words
        assert "Confrère à joindre pendant ce temps :" in words
        assert "En cas d’urgence :" in words
        assert shown.text.index("ne lit pas ses messages") < shown.text.index("<textarea")
        assert "<b>à tous" not in shown.text
    client.language = "en"
    for shown in (client.get(path), client.get(contact)):
        assert "does not read messages until" in shown.words
        assert "In an emergency:" in shown.words
    client.language = "fr"
    before = letters_of(stage, DOCTOR), letters_of(stage, PATIENT)
    fields = fields_of(client.get(path), away="1")
    assert client.post_files(f"{path}/answer", fields, []).status == 303
    after = letters_of(stage, DOCTOR), letters_of(stage, PATIENT)
    assert after == (before[0] + 1, before[1]), "delivered, and nothing comes to who saw it"


def test_who_opened_the_form_before_is_told_after(stage: Stage, doctor: Client) -> None:
    write_local(stage, DOCTOR, "Juste avant mon absence")
    client = stage.patient()
    path, page = open_message(client, "Juste avant mon absence")
    fields = fields_of(page)
    assert save(doctor).status == 303
    before = letters_of(stage, PATIENT)
    assert client.post_files(f"{path}/answer", fields, []).status == 303
    assert letters_of(stage, PATIENT) == before + 1
    assert "Réponse automatique" in client.get("/").words


def test_an_absence_to_come_is_not_shown_yet(stage: Stage, doctor: Client) -> None:
    write_local(stage, DOCTOR, "Bien avant mon absence")
    tomorrow = (TODAY + timedelta(days=2)).isoformat()
    assert save(doctor, **{"from": tomorrow}).status == 303
    client = stage.patient()
    _path, page = open_message(client, "Bien avant mon absence")
    assert "ne lit pas ses messages" not in page.words
    assert stage.ours.services.absence_settings.find_of(parse_address(DOCTOR), datetime.now(UTC)) is not None
