"""A real document as it is shown in place and saved: its type from its own octets, in a frame that runs nothing."""

from dataclasses import dataclass

import pytest
from harness.web_node import PATIENT, archive_mail, deliver
from harness.web_server import Client
from harness.web_stage import Stage
from unit.documents.xdm_archives import cda_around, with_document

from webmail.pages_documents import CONTENT_POLICY

SANDBOXED = f"{CONTENT_POLICY}; sandbox"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(24)
SCRIPT = b"<html><script>alert(1)</script></html>"


def file_document(stage: Stage, client: Client, name: str, document: bytes) -> str:
    """Deliver a letter with this document; the path of its page."""
    before = set(client.get("/documents").links(r"^/documents/[^/]+$"))
    mail = archive_mail(name, f"Document {name}", with_document(document))
    deliver(stage.ours, stage.peer, "camille@b.localhost", PATIENT, mail)
    (path,) = set(client.get("/documents").links(r"^/documents/[^/]+$")) - before
    return path


@dataclass(frozen=True)
class Case:
    media_type: str
    data: bytes
    content_type: str
    policy: str
    frame: str
    """What stands around it on its page."""


CASES = {
    "pdf": Case("application/pdf", b"%PDF-1.4 x", "application/pdf", CONTENT_POLICY, '<iframe class="sheet" src='),
    "text": Case("text/plain", SCRIPT, "text/plain; charset=utf-8", SANDBOXED, '<iframe class="sheet" sandbox src='),
    "png": Case("image/png", PNG, "image/png", SANDBOXED, '<p class="sheet"><img src='),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_document_is_shown_as_its_octets_say(stage: Stage, name: str) -> None:
    case, client = CASES[name], stage.patient()
    path = file_document(stage, client, f"shown-{name}", cda_around(case.media_type, case.data))
    assert f'{case.frame}"{path}/content"' in client.get(path).text
    shown = client.get(f"{path}/content")
    assert (shown.status, shown.body) == (200, case.data)
    wanted = {
        "content-type": case.content_type,
        "content-security-policy": case.policy,
        "content-disposition": "inline",
        "x-content-type-options": "nosniff",
        "x-frame-options": "SAMEORIGIN",
        "cache-control": "no-store",
    }
    assert {header: shown.headers[header] for header in wanted} == wanted
    assert "default-src 'none'" in case.policy


@pytest.mark.parametrize("media_type", ["text/html", "application/pdf", "image/png", "image/svg+xml"])
def test_what_would_run_is_not_shown_and_is_saved_inert(stage: Stage, media_type: str) -> None:
    """Markup is never shown in place, whatever type its sender gives it."""
    client = stage.patient()
    name = f"hidden-{media_type.replace('/', '-')}"
    path = file_document(stage, client, name, cda_around(media_type, SCRIPT))
    refused = client.get(f"{path}/content")
    assert refused.status == 404
    assert "alert(1)" not in refused.text
    saved = client.get(f"{path}/download")
    assert saved.status == 200
    assert saved.headers["content-type"] == "application/octet-stream"
    assert saved.headers["content-disposition"].startswith("attachment;")
    assert saved.headers["content-security-policy"] == SANDBOXED


def test_the_opening_is_in_the_history(stage: Stage) -> None:
    client = stage.patient()
    path = file_document(stage, client, "opened", cda_around("text/plain", b"ligne"))
    said = "a consulté le document"
    before = client.get("/history?all=1").words.count(said)
    assert client.get(f"{path}/content").body == b"ligne"
    assert client.get("/history?all=1").words.count(said) == before + 1


def test_a_document_is_its_owners_alone(stage: Stage) -> None:
    path = file_document(stage, stage.patient(), "owned", cda_around("text/plain", b"ligne"))
    for client in (stage.doctor(), stage.client()):
        for page in (path, f"{path}/content", f"{path}/download"):
            answer = client.get(page)
            assert answer.status in {303, 403, 404}
            assert b"ligne" not in answer.body
