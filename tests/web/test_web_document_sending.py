"""Documents leave piece by piece, whatever their size; what must be judged whole is bounded (S4)."""

import base64
import http.client
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest
from harness.web_node import PASSWORD, PATIENT, file, sample_record
from harness.web_server import Client
from harness.web_stage import Stage

from mailserver.service.keys import OpenAccount
from mailserver.store.blob_folder import blob_path
from webmail import pages_documents
from webmail.pages_documents import DOCUMENTS_OF_ACCOUNT

MEBIBYTE = 1024 * 1024
PDF = b"%PDF-1.4 "


@pytest.fixture(scope="module")
def patient(stage: Stage) -> OpenAccount:
    account, _keys = stage.ours.services.keys.open_with_password(PATIENT, PASSWORD)
    return account


def add(stage: Stage, patient: OpenAccount, media_type: str, data: bytes) -> str:
    """The page of a fresh document."""
    record = replace(sample_record(), media_type=media_type, embedded_media_type="")
    document_id = file(stage.ours, patient, record, data)
    return "/documents/" + base64.urlsafe_b64encode(document_id).rstrip(b"=").decode()


@contextmanager
def asked(client: Client, path: str) -> Iterator[http.client.HTTPResponse]:
    """The head of an answer; its octets are read by whoever wants them."""
    wire = http.client.HTTPSConnection("127.0.0.1", client.port, context=client.context(), timeout=60)
    wire.request("GET", path, headers={"Cookie": f"__Host-pli={client.cookie}"})
    yield wire.getresponse()
    wire.close()


@pytest.mark.parametrize(("media_type", "page"), [("application/pdf", "content"), ("image/tiff", "download")])
def test_a_large_document_leaves_in_flat_memory(
    stage: Stage, patient: OpenAccount, media_type: str, page: str
) -> None:
    data = PDF * (48 * MEBIBYTE // len(PDF))
    path, client = add(stage, patient, media_type, data), stage.patient()
    size, taken = len(data), 0
    del data
    tracemalloc.start()
    try:
        with asked(client, f"{path}/{page}") as answer:
            assert (answer.status, answer.getheader("content-length")) == (200, str(size))
            while piece := answer.read(MEBIBYTE):
                taken += len(piece)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken == size
    assert peak < 12 * MEBIBYTE


@pytest.mark.parametrize("media_type", ["text/plain", "text/xml"])
def test_what_is_too_large_to_judge_is_downloaded_as_it_was_sent(
    stage: Stage, patient: OpenAccount, monkeypatch: pytest.MonkeyPatch, media_type: str
) -> None:
    monkeypatch.setattr(pages_documents, "WHOLE_BYTES", 1000)
    data = b"<ClinicalDocument>" + b"\xe9" * 2000
    path, client = add(stage, patient, media_type, data), stage.patient()
    shown = client.get(f"{path}/content")
    assert (shown.status, "Téléchargez-le" in shown.words) == (404, True)
    saved = client.get(f"{path}/download")
    assert (saved.body, saved.headers["content-type"]) == (data, "application/octet-stream")


def test_a_text_is_shown_as_before(stage: Stage, patient: OpenAccount) -> None:
    data = "Été à la mer\n".encode("cp1252") * 20_000
    path, client = add(stage, patient, "text/plain", data), stage.patient()
    for page in ("content", "download"):
        answer = client.get(f"{path}/{page}")
        assert answer.body == data.decode("cp1252").encode()
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert int(answer.headers["content-length"]) == len(answer.body)


def test_a_type_is_what_the_octets_say(stage: Stage, patient: OpenAccount) -> None:
    path, client = add(stage, patient, "application/pdf", b"GIF89a" * 50_000), stage.patient()
    assert client.get(f"{path}/content").status == 404
    assert client.get(f"{path}/download").headers["content-type"] == "application/octet-stream"


def test_damage_found_on_the_way_ends_the_answer_short(
    stage: Stage, patient: OpenAccount, caplog: pytest.LogCaptureFixture
) -> None:
    path, client = add(stage, patient, "application/pdf", PDF * MEBIBYTE), stage.patient()
    store = stage.ours.services.store
    with store.database.read() as connection:
        rows = store.space.list_documents(connection, patient.account_id)
    ref = base64.urlsafe_b64decode(path.rpartition("/")[2] + "==")
    (row,) = [each for each in rows if each.document_id == ref]
    stored = blob_path(stage.ours.services.config.data_folder / "blobs", row.blob_id)
    with stored.open("r+b") as blob:
        blob.seek(5 * MEBIBYTE)
        blob.write(b"altered")
    with asked(client, f"{path}/content") as answer, pytest.raises(http.client.IncompleteRead):
        answer.read()
    (line,) = [each for each in caplog.records if each.getMessage() == "a page failed"]
    assert line.incident
    assert client.get("/documents").status == 200


def test_one_account_opens_four_at_once(stage: Stage, patient: OpenAccount) -> None:
    path, client = add(stage, patient, "application/pdf", PDF * (4 * MEBIBYTE)), stage.patient()
    with ExitStack() as held:
        answers = [
            held.enter_context(asked(client, f"{path}/content")) for _turn in range(DOCUMENTS_OF_ACCOUNT)
        ]
        refused = client.get(f"{path}/download")
        assert refused.status == 429
        assert "rechargez cette page" in refused.words
        assert stage.doctor().get("/").status == 200
        for answer in answers:
            answer.read()
    assert client.get(f"{path}/download").status == 200
