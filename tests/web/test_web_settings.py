"""The settings page: choices of notices, and a new address or number that must prove itself."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from harness.web_node import ORIGIN, PASSWORD, PATIENT
from harness.web_server import Client
from harness.web_stage import Stage, make_stage

from mailserver.crypto.secret import Secret
from mailserver.model.address import parse_address
from mailserver.service.directory import Profile
from mailserver.service.outbound import SmsOrder
from mailserver.store import web_rows
from mailserver.store.jobs import Lane
from mailserver.store.writer import Unit

NEW, PHONE = "nouvelle@ordinaire.example", "+33600000078"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLI_SMS_URL", "https://sms.example/send")
        patch.setenv("PLI_RELAY_HOST", "relais.example")
        with make_stage(tmp_path_factory.mktemp("settings")) as made:
            yield made


@pytest.fixture(autouse=True)
def as_before(stage: Stage) -> Iterator[None]:
    """Each test finds the patient as the stage made them, with the hour's codes unspent."""
    yield
    change(
        stage,
        contact_email="dominique@example.org",
        contact_phone="",
        prefers_sms=False,
        muted=(),
        is_email_dead=False,
        is_email_returned=False,
    )
    services = stage.ours.services
    with services.store.database.write() as connection:
        web_rows.delete_code(connection, row_of(stage).account_id, "contact")


def row_of(stage: Stage):
    services = stage.ours.services
    with services.store.database.read() as connection:
        return services.directory.find_account(connection, parse_address(PATIENT))


def profile_of(stage: Stage) -> Profile:
    return stage.ours.services.directory.open_profile(row_of(stage))


def change(stage: Stage, **fields: object) -> None:
    services, row = stage.ours.services, row_of(stage)
    profile = replace(services.directory.open_profile(row), **fields)
    changed = replace(row, profile=services.directory.seal_profile(row.account_id, profile))
    services.store.writer.commit(
        Unit(row.account_id, lambda connection: services.store.accounts.replace_account(connection, changed))
    )


def notices(stage: Stage) -> list:
    """Orders of the notice lane, the oldest first."""
    services = stage.ours.services
    with services.store.database.read() as connection:
        rows = [row for row in services.store.jobs.list_jobs(connection) if row.lane is Lane.NOTICE]
    return [services.outbound.open_notice(row) for row in rows]


def target_of(order) -> str:
    return order.number if isinstance(order, SmsOrder) else str(order.recipient)


def ask(
    client: Client,
    way: str,
    target: str,
    password: str = PASSWORD,
    path: str = "/settings/contact",
    **more: str,
):
    fields = {
        "token": client.get("/settings").field("token"),
        "way": way,
        "target": target,
        "password": password,
    }
    return client.post(path, fields | more)


def code_for(stage: Stage, target: str) -> str:
    (order,) = [each for each in notices(stage) if target_of(each) == target and "rification" in each.text][
        -1:
    ]
    return re.search("[0-9]{6}", order.text)[0]


def test_choices_are_kept(stage: Stage) -> None:
    client = stage.patient()
    page = client.get("/settings")
    assert page.text.count(" checked") == 3
    assert 'name="way" value="sms"' not in page.text.split("contact-title")[0]
    fields = {"token": page.field("token"), "document": "on", "pace": "hour", "way": "sms"}
    answer = client.post("/settings/notices", fields)
    assert (answer.status, answer.headers["location"]) == (303, "/settings?done=1")
    profile = profile_of(stage)
    assert (profile.muted, profile.is_told_hourly, profile.prefers_sms) == (("message",), True, False)
    assert "C’est enregistré" in client.get("/settings?done=1").words


@pytest.mark.parametrize(("way", "typed", "kept"), [("mail", NEW, NEW), ("sms", "06 00 00 00 78", PHONE)])
def test_a_new_way_proves_itself(stage: Stage, way: str, typed: str, kept: str) -> None:
    client = stage.patient()
    before = profile_of(stage)
    change(stage, is_email_dead=way == "mail", is_email_returned=way == "mail")
    asked = ask(client, way, typed)
    assert (asked.status, kept in asked.words) == (200, True)
    assert profile_of(stage).contact_email == before.contact_email
    code = code_for(stage, kept)
    wrong = ask(client, way, kept, path="/settings/contact/code", code=f"{(int(code) + 1) % 10**6:06d}")
    assert (wrong.status, "Ce code n’ouvre pas" in wrong.words) == (403, True)
    done = ask(client, way, kept, path="/settings/contact/code", code=code)
    assert done.status == 303
    profile = profile_of(stage)
    assert (profile.contact_email if way == "mail" else profile.contact_phone) == kept
    assert (profile.is_email_dead, profile.is_email_returned) == (False, False)
    told = [each for each in notices(stage) if "ont changé" in getattr(each, "subject", "")]
    assert target_of(told[-1]) == before.contact_email
    assert ask(client, way, kept, path="/settings/contact/code", code=code).status == 403


def test_address_and_number_are_both_told_of_a_change(stage: Stage) -> None:
    """Who reads somebody's ordinary mail cannot take over their number unseen: it hears of it itself."""
    change(stage, contact_phone=PHONE)
    client, number = stage.patient(), "+33600000099"
    before = len(notices(stage))
    ask(client, "sms", number)
    code = code_for(stage, number)
    assert ask(client, "sms", number, path="/settings/contact/code", code=code).status == 303
    assert {target_of(each) for each in notices(stage)[before:]} == {number, "dominique@example.org", PHONE}


def test_a_code_is_for_its_address_and_its_session(stage: Stage) -> None:
    client, other = stage.patient(), stage.patient()
    ask(client, "mail", NEW)
    code = code_for(stage, NEW)
    assert (
        ask(client, "mail", "autre@ordinaire.example", path="/settings/contact/code", code=code).status == 403
    )
    assert ask(other, "mail", NEW, path="/settings/contact/code", code=code).status == 403
    assert profile_of(stage).contact_email == "dominique@example.org"


@pytest.mark.parametrize(
    ("way", "target", "password", "status", "words"),
    [
        ("mail", NEW, "pas le bon", 403, "pas le bon : rien n’a changé"),
        ("mail", "pas une adresse", PASSWORD, 422, "pas une adresse de courriel"),
        ("mail", "", PASSWORD, 422, "pas une adresse de courriel"),
        ("sms", "12", PASSWORD, 422, "pas un numéro de téléphone"),
        (
            "sms",
            "+371 20 00 00 78",
            PASSWORD,
            422,
            "aux numéros de ce pays : rien n’a changé, aucun code n’est parti",
        ),
        ("sms", "0037120000078", PASSWORD, 422, "gardez une adresse de courriel"),
        ("pigeon", NEW, PASSWORD, 400, "Ce formulaire"),
    ],
)
def test_refusals_change_and_send_nothing(
    stage: Stage,
    caplog: pytest.LogCaptureFixture,
    way: str,
    target: str,
    password: str,
    status: int,
    words: str,
) -> None:
    before, sent = profile_of(stage), len(notices(stage))
    answer = ask(stage.patient(), way, target, password)
    assert (answer.status, words in answer.words) == (status, True)
    assert (profile_of(stage), len(notices(stage))) == (before, sent)
    assert not target or target not in caplog.text


def test_a_number_of_an_overseas_territory_gets_its_code(stage: Stage) -> None:
    assert ask(stage.patient(), "sms", "+262 692 00 00 78").status == 200
    assert code_for(stage, "+262692000078")


def test_five_codes_an_hour(stage: Stage) -> None:
    client = stage.patient()
    assert [ask(client, "mail", NEW).status for _each in range(6)] == [200] * 5 + [429]


def test_a_number_is_removed_but_never_the_last_way(stage: Stage) -> None:
    client = stage.patient()
    change(stage, contact_phone=PHONE, prefers_sms=True)
    assert ask(client, "sms", "").status == 303
    assert (profile_of(stage).contact_phone, profile_of(stage).prefers_sms) == ("", False)
    change(stage, contact_phone=PHONE, contact_email="")
    refused = ask(client, "sms", "")
    assert (refused.status, "le seul moyen" in refused.words) == (422, True)
    assert profile_of(stage).contact_phone == PHONE


def test_a_dead_address_is_told_on_every_page(stage: Stage) -> None:
    client = stage.patient()
    assert "ne fonctionne pas" not in client.get("/").words
    change(stage, is_email_dead=True)
    for path in ("/", "/sent", "/documents", "/settings"):
        assert client.get(path).words.count("Votre adresse de courriel ne fonctionne pas") == 1
    assert client.get("/").links("/settings")


def test_a_foreign_token_changes_nothing(stage: Stage) -> None:
    client, before = stage.patient(), profile_of(stage)
    for path in ("/settings/notices", "/settings/contact", "/settings/contact/code"):
        fields = {"token": "0" * 64, "way": "mail", "target": NEW, "password": PASSWORD, "code": "123456"}
        assert client.post(path, fields).status == 400
    assert profile_of(stage) == before


def test_the_change_is_in_the_persons_log(stage: Stage) -> None:
    client = stage.patient()
    client.post("/settings/notices", {"token": client.get("/settings").field("token"), "pace": "hour"})
    history = client.get("/history").words
    assert "a modifié le réglage" in history
    assert NEW not in history


def test_professionals_have_it_too(stage: Stage) -> None:
    assert "Où vous joindre" in stage.doctor().get("/settings").words


def test_a_new_password_ends_every_session(stage: Stage) -> None:
    client, other = stage.patient(), stage.patient()
    new = "trois mots sans rapport"
    fields = {"token": client.get("/settings").field("token"), "password": PASSWORD}
    for typed, status, words in (
        ({"new": new, "again": new + "x"}, 422, "ne sont pas les mêmes"),
        ({"new": "court", "again": "court"}, 422, "trop court"),
        ({"new": new, "again": new, "password": "pas le bon"}, 403, "n’est pas le bon"),
    ):
        refused = client.post("/settings/password", fields | typed)
        assert (refused.status, words in refused.words) == (status, True)
    assert other.get("/settings").status == 200
    done = client.post("/settings/password", fields | {"new": new, "again": new})
    assert (done.status, done.headers["location"]) == (303, "/login?note=changed")
    assert "Connectez-vous avec le nouveau" in client.get("/login?note=changed").words
    assert other.get("/settings").status == 303
    keys = stage.ours.services.keys
    account, opened = keys.open_with_password(PATIENT, new)
    assert "mot de passe a changé" in notices(stage)[-1].subject
    stage.ours.services.resets.change_password(
        account, (opened, Secret(PASSWORD.encode())), ORIGIN, datetime.now(UTC)
    )
