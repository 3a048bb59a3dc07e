"""Answers: sent once whatever is clicked, with files that touch no disk, refused in words (S5)."""

import re
import tempfile
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from harness.smtp_harness import log_lines
from harness.web_server import Answer, Client
from harness.web_stage import Stage
from unit.documents.xdm_archives import NUMBER, sample

from mailserver.mime.composer import FileToAttach, Letter, Person
from mailserver.model.address import parse_address
from mailserver.service.composing import write_mail
from mailserver.store.jobs import Lane
from webmail.form_stream import FormStream
from webmail.pages_answer import files_of, read_fields

FILE = ("mesures.txt", "text/plain", b"12/8 le matin\n")


def open_letter(stage: Stage, name: str) -> tuple[Client, str, dict[str, str]]:
    """A letter of this test's own, and the fields of its answer form."""
    stage.write(name, f"Question {name}", "Comment allez-vous ?")
    client = stage.patient()
    found = re.search(rf'href="(/messages/[^"]+)">Question {name}<', client.get("/").text)
    assert found
    page = client.get(found[1])
    return (
        client,
        found[1],
        {"token": page.field("token"), "mark": page.field("mark"), "text": f"Bien, merci. {name}"},
    )


def relayed(stage: Stage) -> int:
    store = stage.ours.services.store
    with store.database.read() as connection:
        return sum(row.lane is Lane.RELAY for row in store.jobs.list_jobs(connection))


def test_an_answer_leaves_and_is_kept(stage: Stage) -> None:
    client, path, fields = open_letter(stage, "un")
    before = relayed(stage)
    answer = client.post_files(f"{path}/answer", fields, [FILE, ("", "application/octet-stream", b"")])
    assert (answer.status, answer.headers["location"]) == (303, f"{path}?sent=1")
    assert "Votre réponse est envoyée" in client.get(f"{path}?sent=1").words
    assert relayed(stage) == before + 1
    sent = client.get("/sent")
    found = re.search(r'href="(/messages/[^"]+)">Re: Question un<', sent.text)
    assert found
    copy = client.get(found[1])
    assert "Bien, merci. un" in copy.words
    assert "<textarea" not in copy.text
    assert client.get(copy.links("/files/0")[0]).body == FILE[2]


def test_a_double_click_sends_once(stage: Stage) -> None:
    client, path, fields = open_letter(stage, "deux")
    before = relayed(stage)
    for _click in range(3):
        assert client.post_files(f"{path}/answer", fields, [FILE]).status == 303
    assert relayed(stage) == before + 1
    assert client.get("/sent").text.count("Re: Question deux") == 1


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"text": "  "}, 422, "Votre message est vide"),
        ({"token": "0" * 64}, 403, "trop ancienne"),
        ({"mark": "1.2.3"}, 403, "trop ancienne"),
        ({"mark": ""}, 403, "trop ancienne"),
        ({"text": "a\0b"}, 422, "ne sait pas porter"),
        ({"text": "x" * 500_000}, 413, "trop lourds"),
    ],
)
def test_refusals_are_words(stage: Stage, change: dict[str, str], status: int, words: str) -> None:
    client, path, fields = open_letter(stage, f"r{abs(hash(str(change))) % 10**9}")
    before = relayed(stage)
    answer = client.post_files(f"{path}/answer", fields | change, [FILE])
    assert (answer.status, relayed(stage)) == (status, before)
    assert words in answer.words


def test_a_large_file_stays_for_its_reader(stage: Stage) -> None:
    """27 MB from the web: what leaves is small, the copy in Sent is whole."""
    client, path, fields = open_letter(stage, "grand")
    data = bytes(27 * 1024 * 1024)
    assert client.post_files(f"{path}/answer", fields, [("grand.bin", "", data)]).status == 303
    with stage.ours.services.store.database.read() as connection:
        newest = max(stage.ours.services.store.jobs.list_jobs(connection), key=lambda row: row.created_at)
    assert stage.ours.services.outbound.open_relay(newest).size_bytes < 64 * 1024
    found = re.search(r'href="(/messages/[^"]+)">Re: Question grand<', client.get("/sent").text)
    assert found
    (link,) = client.get(found[1]).links("/files/0")
    assert client.get(link).body == data
    assert "grand.bin" in client.get("/kept").words


def test_too_large_keeps_the_text(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.ours.services.submission, "limit_bytes", 26 * 1024 * 1024)
    client, path, fields = open_letter(stage, "gros")
    answer = client.post_files(f"{path}/answer", fields, [("gros.bin", "", bytes(27 * 1024 * 1024))])
    assert answer.status == 413
    assert "Bien, merci. gros</textarea>" in answer.text
    assert answer.field("mark") != fields["mark"]


def test_eleven_files_are_too_many(stage: Stage) -> None:
    client, path, fields = open_letter(stage, "onze")
    assert client.post_files(f"{path}/answer", fields, [FILE] * 11).status == 413


@pytest.mark.parametrize(
    "body", [b"", b"------pliTestBoundary", b"x" * 5000, b"------pliTestBoundary\r\n\r\n"]
)
def test_what_is_no_form(stage: Stage, body: bytes) -> None:
    client, path, _fields = open_letter(stage, f"f{abs(hash(body)) % 10**9}")
    kind = {"Content-Type": "multipart/form-data; boundary=----pliTestBoundary", "Origin": client.origin}
    answer = client.ask("POST", f"{path}/answer", body, kind)
    assert (answer.status, "Ce formulaire" in answer.words) == (403, True)
    assert client.post(f"{path}/answer", {"text": "x"}).status == 400


def test_a_mark_belongs_to_its_message(stage: Stage) -> None:
    client, path, fields = open_letter(stage, "ici")
    _client, other, _fields = open_letter(stage, "ailleurs")
    assert client.post_files(f"{other}/answer", fields, []).status == 403
    assert isinstance(client.get(path), Answer)


def test_no_temporary_file_and_flat_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """20 MiB through parser and composer: nothing of it is held, nothing is put on a disk."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("a temporary file was asked for")

    for name in ("TemporaryFile", "NamedTemporaryFile", "SpooledTemporaryFile", "mkstemp", "mkdtemp"):
        monkeypatch.setattr(tempfile, name, refuse)
    sizes: list[int] = []
    tracemalloc.start()
    try:
        form = FormStream(big_form(320), "b")
        parts = form.parts()
        fields, first = read_fields(parts)
        sender = Person(parse_address("a@a.localhost"))
        letter = Letter(
            sender, (sender,), "x", fields["text"], datetime(2026, 3, 2, tzinfo=UTC), "<x@a.localhost>"
        )
        tracemalloc.reset_peak()
        write_mail(lambda chunk: sizes.append(len(chunk)), letter, "nonce12345", files_of(first, parts))
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(sizes) > 26 * 1024 * 1024
    assert peak < 2 * 1024 * 1024


def big_form(pieces: int) -> Iterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\nBonjour\r\n'
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
    for _piece in range(pieces):
        yield bytes(65536)
    yield b"\r\n--b--\r\n"


def test_files_are_named_and_typed_safely() -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="../../a%22b\xe2\x80\xae.txt"\r\n'
        b"Content-Type: message/rfc822\r\n\r\nx\r\n--b--\r\n"
    )
    parts = FormStream(iter([body]), "b").parts()
    _fields, first = read_fields(parts)
    (file,) = [
        FileToAttach(each.filename, each.content_type, list(each.chunks)) for each in files_of(first, parts)
    ]
    assert (file.filename, file.content_type, file.chunks) == ("a'b .txt", "application/octet-stream", [b"x"])


def newest_copy(stage: Stage, client: Client, name: str) -> Answer:
    found = re.search(rf'href="(/messages/[^"]+)">Re: Question {name}<', client.get("/sent").text)
    assert found
    return client.get(found[1])


def test_an_archive_leaves_under_the_header_that_it_makes(stage: Stage) -> None:
    """As a browser that saved it twice names it; the octets that wait for the peer, and the copy."""
    client, path, fields = open_letter(stage, "archive")
    archive = ("IHE_XDM (1).zip", "application/x-zip-compressed", sample("ok-two-documents"))
    assert client.post_files(f"{path}/answer", fields, [FILE, archive]).status == 303
    services = stage.ours.services
    with services.store.database.read() as connection:
        newest = max(services.store.jobs.list_jobs(connection), key=lambda row: row.created_at)
    order = services.outbound.open_relay(newest)
    assert order.size_bytes > len(archive[2])
    copy = newest_copy(stage, client, "archive")
    assert "IHE_XDM.zip" in copy.words
    assert client.get(copy.links("/files/1")[0]).body == archive[2]


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("fr", ("Rien n’est parti", "ne correspond pas à son empreinte", "donnez-lui un autre nom")),
        ("en", ("Nothing was sent", "does not match its hash", "give it another name")),
    ],
)
def test_an_archive_that_could_not_be_filed_is_refused_in_words(
    stage: Stage, language: str, words: tuple[str, ...]
) -> None:
    client, path, fields = open_letter(stage, f"abime{language}")
    client.language = language
    archive = sample("ko-hash-mismatch")
    before = relayed(stage)
    with log_lines() as log:
        answer = client.post_files(f"{path}/answer", fields, [("IHE_XDM.zip", "application/zip", archive)])
    assert (answer.status, relayed(stage)) == (422, before)
    for each in words:
        assert each in answer.words
    assert f"{fields['text']}</textarea>" in answer.text
    for private in ("IHE_XDM", NUMBER, fields["text"]):
        assert private not in log.text
    again = fields | {"mark": answer.field("mark"), "token": answer.field("token")}
    assert client.post_files(f"{path}/answer", again, [("archive.zip", "", archive)]).status == 303
    assert relayed(stage) == before + 1
