"""An archive that was set aside, as its owner meets it: a keyword in a mail client, a warning and its reason on the web."""

import imaplib
import re
import time
from collections.abc import Iterator
from dataclasses import fields

import pytest
from harness.imap_harness import HOST, ImapNode, RunningImap, TlsFiles, make_tls, running_imap
from harness.web_node import DATA, PATIENT, archive_mail, deliver
from harness.web_stage import Stage

from mailserver.documents.reasons import EXPLANATIONS, SetAsideReason
from mailserver.imap.server import ImapServices
from mailserver.service.throttle import Throttle

DOCTOR = "cardio@a.localhost"
REASONS = {
    "ko-hash-mismatch": SetAsideReason.HASH_MISMATCH,
    "hostile-nested-zip": SetAsideReason.NESTED_ARCHIVE,
    "ok-two-subsets-two-patients": SetAsideReason.SEVERAL_PATIENTS,
}


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def imap(stage: Stage, tls: TlsFiles) -> Iterator[RunningImap]:
    """The stage's own store, behind a mail client's port."""
    services = stage.ours.services
    named = {field.name for field in fields(ImapServices)}
    ours = {name: getattr(services, name) for name in named if hasattr(services, name)}
    of_imap = ImapServices(
        **ours,
        blobs=services.store.blobs,
        throttle=Throttle(time.monotonic),
        limit_bytes=services.config.limits.message_bytes,
        hostname=services.config.operator.hostname,
    )
    acts = (services.administration, services.members, services.bindings)
    node = ImapNode(services.store, stage.ours.custodian, *acts, of_imap)
    with running_imap(node, tls) as running:
        yield running


def send(stage: Stage, recipient: str, sample: str) -> bytes:
    raw = archive_mail(
        f"{sample}-{recipient.partition('@')[0]}", f"Envoi {sample}", (DATA / f"{sample}.zip").read_bytes()
    )
    deliver(stage.ours, stage.peer, "camille@b.localhost", recipient, raw)
    return raw


def test_a_mail_client_sees_the_keyword_and_the_whole_message(
    stage: Stage, imap: RunningImap, tls: TlsFiles
) -> None:
    made = stage.ours.add(DOCTOR, name="Dr Alix CARDIO-FICTIF")
    assert made.app_password is not None
    sent = [send(stage, DOCTOR, sample) for sample in ("hostile-nested-zip", "ok-lettre-adressage")]
    with imaplib.IMAP4_SSL(HOST, imap.tls_port, ssl_context=tls.client) as client:
        client.login(DOCTOR, made.app_password)
        assert client.select("INBOX") == ("OK", [b"2"])
        assert b"$PliSetAside" in (client.response("FLAGS")[1][0] or b"")
        flags = [imaplib.ParseFlags(line) for line in client.fetch("1:2", "(FLAGS)")[1]]
        assert [b"$PliSetAside" in each for each in flags] == [True, False]
        assert client.search(None, "KEYWORD $PliSetAside") == ("OK", [b"1"])
        for number, raw in enumerate(sent, 1):
            _status, parts = client.fetch(str(number), "(BODY.PEEK[])")
            assert parts[0][1].endswith(raw)


@pytest.mark.parametrize("sample", REASONS)
def test_the_page_warns_and_says_why(stage: Stage, sample: str) -> None:
    client = stage.patient()
    documents = client.get("/documents").links(r"^/documents/[^/]+$")
    send(stage, PATIENT, sample)
    inbox = client.get("/")
    found = re.search(rf'href="(/messages/[^"]+)">Envoi {sample}<', inbox.text)
    assert found
    assert "Document joint non classé : ouvrez le message pour savoir pourquoi." in inbox.words
    explained = EXPLANATIONS[REASONS[sample]]
    assert '<div class="warn">' in client.get(found[1]).text
    client.language = "en"
    english = client.get(found[1]).words
    assert "was not filed among the documents" in english
    assert f"Reason: {explained.english}" in english
    client.language = "fr"
    french = client.get(found[1]).words
    assert "n’a pas été rangé dans les documents" in french
    assert f"Raison : {explained.french}" in french
    assert client.get("/documents").links(r"^/documents/[^/]+$") == documents, "nothing was filed"
