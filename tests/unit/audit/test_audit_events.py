"""Events: one canonical form, strict parsing, and a sentence for every kind in both languages."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from unit.audit.audit_history import NOW, event

from mailserver.audit.events import (
    Actor,
    ActorKind,
    AuditEvent,
    AuditObject,
    EventKind,
    EventResult,
    ObjectKind,
    Origin,
    ParameterName,
    canonical_bytes,
    parse_event,
    readable,
)
from mailserver.audit.wording import Language, describe
from mailserver.model.errors import Malformed
from mailserver.service.administrator import administrator_act

DOCTOR = Actor(ActorKind.PROFESSIONAL, "Dr Alix Demo", "alix@med.example", "médecin", "Cabinet des Lilas")
NURSE = Actor(ActorKind.PROFESSIONAL, "Noa Demo", "", "infirmier")
PATIENT = Actor(ActorKind.PATIENT, "Camille Demo")
NOBODY = Actor(ActorKind.UNIDENTIFIED, "")
REPORT = AuditObject(ObjectKind.DOCUMENT, "Bilan")


def test_the_canonical_form_is_json_in_key_order():
    raw = canonical_bytes(event())
    assert list(json.loads(raw)) == ["kind", "origin", "result", "v", "what", "when", "who"]
    assert b"Dr Alix Demo" in raw
    assert "médecin".encode() in raw
    assert b'"when":"2026-03-01T08:00:00.000000Z"' in raw


def test_an_event_comes_back_from_its_bytes():
    full = AuditEvent(
        EventKind.SHARED,
        NOW,
        NURSE,
        AuditObject(
            ObjectKind.DOCUMENT, "Bilan", ((ParameterName.REASON, "suite"), (ParameterName.RECIPIENT, "Dr Y"))
        ),
        Origin("2001:db8::/48", "Navigateur"),
        on_behalf_of=DOCTOR,
        result=EventResult.REFUSED,
    )
    assert parse_event(canonical_bytes(full)) == full
    assert parse_event(canonical_bytes(event())) == event()


def mutated(**changes):
    fields = json.loads(canonical_bytes(event()))
    fields.update(changes)
    return json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "event-syntax"),
        (b"[]", "event-syntax"),
        (b"\xff", "event-syntax"),
        (b"[" * 9000, "event-syntax"),
        (b" " * 20_000, "event-length"),
        (mutated(kind="unknown"), "event-syntax"),
        (mutated(when="2026-03-01"), "event-syntax"),
        (mutated(who=5), "event-syntax"),
        (mutated(behalf="x"), "event-syntax"),
        (mutated(v=2), "event-not-canonical"),
        (mutated(extra=""), "event-not-canonical"),
        (mutated(when="2026-03-01T08:00:00.0Z"), "event-not-canonical"),
        (canonical_bytes(event()) + b" ", "event-not-canonical"),
        (canonical_bytes(event()).replace("é".encode(), b"\\u00e9"), "event-not-canonical"),
        (mutated(what={"kind": "document", "words": 3, "parameters": {}}), "event-not-canonical"),
        (mutated(what={"kind": "document", "words": "", "parameters": []}), "event-syntax"),
        (mutated(origin={"network": "192.0.2.1/24", "client": ""}), "event-network"),
        (mutated(what={"kind": "document", "words": "a\u202eb", "parameters": {}}), "event-text"),
    ],
)
def test_every_other_spelling_is_refused(raw, code):
    with pytest.raises(Malformed) as caught:
        parse_event(raw)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("build", "code"),
    [
        (lambda: Actor(ActorKind.PATIENT, ""), "event-actor"),
        (lambda: Actor(ActorKind.PATIENT, "a\nb"), "event-text"),
        (lambda: Actor(ActorKind.PATIENT, "é" * 501), "event-text"),
        (
            lambda: AuditObject(ObjectKind.KEY, "", ((ParameterName.UNTIL, ""), (ParameterName.ACT, ""))),
            "event-parameters",
        ),
        (lambda: AuditObject(ObjectKind.KEY, "", ((ParameterName.ACT, "\0"),)), "event-text"),
        (lambda: Origin("nowhere"), "event-network"),
        (lambda: replace(event(), when=NOW.replace(tzinfo=None)), "event-time"),
        (lambda: replace(event(), when=NOW.astimezone(timezone(timedelta(hours=1)))), "event-time"),
    ],
)
def test_a_value_that_is_not_an_event_cannot_be_made(build, code):
    with pytest.raises(Malformed) as caught:
        build()
    assert caught.value.code == code


def test_an_event_longer_than_its_limit_is_refused():
    parameters = tuple((name, "é" * 500) for name in sorted(ParameterName))
    long = replace(
        event(), what=AuditObject(ObjectKind.DOCUMENT, "\U0001f600" * 500, parameters), on_behalf_of=None
    )
    actor = Actor(ActorKind.PATIENT, *["\U0001f600" * 500] * 4)
    with pytest.raises(Malformed, match="event-length"):
        canonical_bytes(replace(long, who=actor))


def test_years_have_four_digits():
    old = replace(event(), when=datetime(7, 1, 2, tzinfo=UTC))
    assert b'"0007-01-02T' in canonical_bytes(old)
    assert parse_event(canonical_bytes(old)) == old


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\r\nb", "a b"), ("a\u202eb\u2066", "a b"), ("  x  ", "x"), ("é" * 600, "é" * 500), ("\ud800a", "a")],
)
def test_titles_from_outside_are_made_readable(text, expected):
    assert readable(text) == expected
    assert AuditObject(ObjectKind.DOCUMENT, readable(text)).words == expected


SENTENCES = [
    (
        AuditEvent(EventKind.DOCUMENT_OPENED, NOW, DOCTOR, REPORT),
        "Dr Alix Demo (médecin, Cabinet des Lilas) a consulté le document « Bilan ».",
        "Dr Alix Demo (médecin, Cabinet des Lilas) opened the document “Bilan”.",
    ),
    (
        AuditEvent(EventKind.DOCUMENT_OPENED, NOW, NURSE, REPORT, on_behalf_of=DOCTOR),
        "Noa Demo (infirmier), au nom de Dr Alix Demo (médecin, Cabinet des Lilas), a consulté le document « Bilan ».",
        "Noa Demo (infirmier), on behalf of Dr Alix Demo (médecin, Cabinet des Lilas), opened the document “Bilan”.",
    ),
    (
        AuditEvent(
            EventKind.BREAK_GLASS, NOW, DOCTOR, AuditObject(ObjectKind.SPACE), result=EventResult.REFUSED
        ),
        "Dr Alix Demo (médecin, Cabinet des Lilas) a tenté de ouvrir en urgence l’espace santé – accès refusé.",
        "Dr Alix Demo (médecin, Cabinet des Lilas) tried to open in an emergency the health space – access refused.",
    ),
    (
        AuditEvent(
            EventKind.LOGIN_FAILED,
            NOW,
            NOBODY,
            AuditObject(ObjectKind.ACCOUNT, "", ((ParameterName.COUNT, "12"),)),
        ),
        "Une personne non identifiée a échoué à ouvrir une session sur le compte (nombre de fois : 12).",
        "An unidentified person failed to log in to the account (times: 12).",
    ),
    (
        AuditEvent(
            EventKind.SHARED,
            NOW,
            PATIENT,
            AuditObject(
                ObjectKind.DOCUMENT,
                "Bilan",
                ((ParameterName.RECIPIENT, "Dr Y"), (ParameterName.UNTIL, "1er mai")),
            ),
        ),
        "Camille Demo a partagé le document « Bilan » (destinataire : Dr Y ; jusqu’au : 1er mai).",
        "Camille Demo shared the document “Bilan” (recipient: Dr Y; until: 1er mai).",
    ),
    (
        AuditEvent(
            EventKind.SENT,
            NOW,
            PATIENT,
            AuditObject(ObjectKind.MESSAGE, "Merci", ((ParameterName.COUNT, "1"),)),
        ),
        "Camille Demo a envoyé le message « Merci ».",
        "Camille Demo sent the message “Merci”.",
    ),
    (
        AuditEvent(
            EventKind.SENT,
            NOW,
            PATIENT,
            AuditObject(ObjectKind.MESSAGE, "Merci", ((ParameterName.COUNT, "3"),)),
        ),
        "Camille Demo a envoyé le message « Merci » (nombre de destinataires : 3).",
        "Camille Demo sent the message “Merci” (number of recipients: 3).",
    ),
    (
        administrator_act(NOW, EventKind.ADMINISTRATOR_ACT, ObjectKind.ACCOUNT, "account-made"),
        "Un administrateur est intervenu, pour l’opérateur, sur le compte (compte créé).",
        "An administrator acted for the operator on the account (account made).",
    ),
    (
        administrator_act(NOW, EventKind.SETTING_CHANGED, ObjectKind.MAILBOX, "Projet lrs"),
        "Un administrateur a modifié la boîte aux lettres (acte : Projet lrs).",
        "An administrator modified the mailbox (act: Projet lrs).",
    ),
    (
        AuditEvent(EventKind.DELETED, NOW, PATIENT, REPORT, result=EventResult.FAILED),
        "Camille Demo a tenté de supprimer le document « Bilan » – sans succès.",
        "Camille Demo tried to delete the document “Bilan” – without success.",
    ),
]


@pytest.mark.parametrize(("said", "french", "english"), SENTENCES)
def test_sentences(said, french, english):
    assert describe(said, Language.FRENCH) == french.replace("de ouvrir", "d’ouvrir")
    assert describe(said, Language.ENGLISH) == english


@pytest.mark.parametrize("kind", EventKind)
@pytest.mark.parametrize("language", Language)
def test_every_kind_object_and_result_has_words(kind, language):
    for object_kind in ObjectKind:
        for result in EventResult:
            what = AuditObject(object_kind, "X", tuple((name, "v") for name in sorted(ParameterName)))
            sentence = describe(AuditEvent(kind, NOW, PATIENT, what, result=result), language)
            assert sentence.startswith("Camille Demo ")
            assert sentence.endswith(".")
            assert " de o" not in sentence
            assert " de u" not in sentence
