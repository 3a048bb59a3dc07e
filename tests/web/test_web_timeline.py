"""The page of a message that one sent says what became of it."""

import re
from dataclasses import replace
from datetime import UTC, datetime

from harness.web_stage import Stage

from mailserver.audit.wording import Language
from mailserver.model.address import parse_address
from mailserver.model.notice import NoticeState
from mailserver.service.timelines import DeliveryState, HeardState, MessageTimeline, RecipientTimeline
from mailserver.store import jobs
from mailserver.store.jobs import JobRow, JobState, Lane
from mailserver.store.writer import Unit
from webmail.timeline_words import timeline_lines
from webmail.words import load_words


def send_answer(stage: Stage, name: str) -> JobRow:
    """An answer of the patient's, and its job."""
    stage.write(name, f"Question {name}", "Comment allez-vous ?")
    client = stage.patient()
    found = re.search(rf'href="(/messages/[^"]+)">Question {name}<', client.get("/").text)
    assert found
    page = client.get(found[1])
    fields = {"token": page.field("token"), "mark": page.field("mark"), "text": "Bien, merci."}
    before = set(relay_jobs(stage))
    assert client.post_files(f"{found[1]}/answer", fields, []).status == 303
    (job_id,) = set(relay_jobs(stage)) - before
    return relay_jobs(stage)[job_id]


def relay_jobs(stage: Stage) -> dict[bytes, JobRow]:
    store = stage.ours.services.store
    with store.database.read() as connection:
        return {row.job_id: row for row in store.jobs.list_jobs(connection) if row.lane is Lane.RELAY}


def sent_page(stage: Stage, name: str) -> str:
    client = stage.patient()
    found = re.search(rf'href="(/messages/[^"]+)">Re: Question {name}<', client.get("/sent").text)
    assert found
    return client.get(found[1]).words


def test_the_sender_follows_the_attempts(stage: Stage) -> None:
    row = send_answer(stage, "suivi")
    words = sent_page(stage, "suivi")
    assert "Ce que ce message est devenu" in words
    assert "En attente. Prochain essai :" in words
    at = int(datetime.now(UTC).timestamp())

    def try_twice(connection) -> None:
        jobs.add_attempt(connection, row.job_id, 1, at, ("interrupted", 0))
        jobs.add_attempt(connection, row.job_id, 2, at, ("peer-reply", 451))
        jobs.add_attempt(connection, row.job_id, 3, at, ("delivered", 250))
        jobs.mark_final(connection, row, JobState.DONE)

    stage.ours.services.store.writer.commit(Unit(row.account_id, try_twice))
    words = sent_page(stage, "suivi")
    assert "camille@b.localhost" in words.replace("\u2068", "").replace("\u2069", "")
    assert "Pris en charge par le serveur du destinataire." in words
    assert "peut l'avoir reçu deux fois" in words.replace("&#39;", "'")
    assert "réessayer plus tard (réponse 451)" in words
    assert "remis au serveur du destinataire" in words


def test_a_received_message_has_none(stage: Stage) -> None:
    stage.write("recu", "Question recue", "Bonjour")
    client = stage.patient()
    found = re.search(r'href="(/messages/[^"]+)">Question recue<', client.get("/").text)
    assert found
    assert "est devenu" not in client.get(found[1]).words


def test_what_notices_said(stage: Stage) -> None:
    row = send_answer(stage, "avis")
    store = stage.ours.services.store

    def fail(connection) -> None:
        known = store.sent_recipients.find_by_job(connection, row.job_id)
        store.sent_recipients.mark(connection, replace(known, state=NoticeState.FAILED, code=902))

    assert "échec chez" not in sent_page(stage, "avis")
    store.writer.commit(Unit(row.account_id, fail))
    words = sent_page(stage, "avis").replace("&#39;", "'")
    assert "échec chez le destinataire." in words
    assert "Pourquoi : patient inconnu chez le destinataire (code 902)." in words
    assert "Que faire : Vérifiez l'adresse du destinataire" in words


def test_every_state_has_words_in_both_languages() -> None:
    for language in Language:
        words = load_words(language)
        for state in NoticeState:
            for code in (0, *range(900, 908)):
                heard = HeardState(state, 1_780_000_000, code)
                found = RecipientTimeline(
                    parse_address("lou@b.localhost"), DeliveryState.HANDED_OVER, heard=heard
                )
                (line,) = timeline_lines([MessageTimeline(b"s" * 16, "<a@b>", 0, [found])], words)
                assert len(line.heard) == (3 if state is NoticeState.FAILED else 1)
                assert all("{" not in each for each in line.heard)
