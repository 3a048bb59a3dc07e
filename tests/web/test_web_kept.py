"""Fetching kept files: the public page with its code, downloads that are cut and resumed, and the pages of our own."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import anyio
import pytest
from harness.large_mail import find_note, large_message, read_box, submit
from harness.log_reading import read_log
from harness.smtp_harness import log_lines
from harness.web_node import deliver
from harness.web_server import Answer, Client
from harness.web_stage import DOCTOR, PASSWORD, PATIENT, Stage, make_stage

from mailserver.audit.events import EventKind
from mailserver.mime.kept_files import KeptNote
from mailserver.service import throttle
from mailserver.service.keys import OpenAccount

DATA = os.urandom(300_000)
NAME = "Échographie d'Élise.zip"
WRONG = "abcd-efgh-ijkl-mnop-qrst-uvwx-yz23-4567"


@dataclass
class KeptStage:
    stage: Stage
    doctor: OpenAccount
    note: KeptNote

    @property
    def path(self) -> str:
        return "/kept/" + self.note.url.rpartition("/")[2]

    @property
    def file(self) -> str:
        return f"{self.path}/files/0"

    def stranger(self) -> "Stranger":
        return Stranger(self.stage.port)

    def bearer(self, path: str, method: str = "GET", **headers: str) -> Answer:
        sent = {"Authorization": f"Bearer {self.note.code}"} | {
            k.replace("_", "-"): v for k, v in headers.items()
        }
        return Client(self.stage.port).ask(method, path, None, sent)

    def log(self) -> list[tuple[EventKind, str, str]]:
        services = self.stage.ours.services
        entries = read_log(services.store, self.doctor.account, self.doctor.space_root())
        return [(each.event.kind, each.event.who.name, each.event.origin.network) for each in entries]

    def send(self, number: str, *recipients: str) -> KeptNote:
        files = [(f"{number}.zip", DATA)]
        octets = large_message(number, DOCTOR, files)
        assert submit(self.stage.ours, self.doctor, recipients, octets).decision.accepted
        patient = self.stage.ours.services.keys.open_with_password(PATIENT, PASSWORD)[0]
        return find_note(read_box(self.stage.ours, patient)[-1])


class Stranger(Client):
    """A browser of another operator's person: it keeps the cookie of kept files alone."""

    def ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        answer = super().ask(method, path, body, headers)
        if found := re.match(r"__Secure-pli-kept=([^;]*); (.*)", answer.headers.get("set-cookie", "")):
            self.extra = {"Cookie": f"__Secure-pli-kept={found[1]}"} if "Max-Age=0" not in found[2] else {}
        return answer


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptStage]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLI_LARGE_THRESHOLD_BYTES", "70000")
        patch.setattr(throttle, "_STEP_SECONDS", 0.0)  # the wrong codes of one test must not slow the others
        with make_stage(tmp_path_factory.mktemp("kept")) as stage:
            services = stage.ours.services
            doctor = services.keys.open_with_password(DOCTOR, PASSWORD)[0]
            octets = large_message("first", DOCTOR, [(NAME, DATA)])
            assert submit(stage.ours, doctor, [PATIENT], octets).decision.accepted
            patient = services.keys.open_with_password(PATIENT, PASSWORD)[0]
            yield KeptStage(stage, doctor, find_note(read_box(stage.ours, patient)[-1]))


def test_a_person_elsewhere_gives_the_code_and_downloads(kept: KeptStage) -> None:
    note = kept.send("Échographie d'Élise", PATIENT)
    path = f"/kept/{note.url.rpartition('/')[2]}"
    browser, before = kept.stranger(), len(kept.log())
    form = browser.get(path)
    assert (form.status, "Code du message" in form.words) == (200, True)
    assert NAME not in form.words
    answer = browser.post(path, {"code": f" {note.code.upper()} "})
    assert (answer.status, answer.headers["location"]) == (303, path)
    assert note.code not in answer.headers["location"]
    cookie = answer.headers["set-cookie"]
    for part in (f"Path={path}", "HttpOnly", "Secure", "SameSite=strict", "Max-Age=3600"):
        assert part in cookie
    page = browser.get(path)
    assert NAME in page.words
    assert "téléchargement est inscrit" in page.words
    assert len(kept.log()) == before, "nothing is fetched yet"
    (link,) = page.links("/files/")
    got = browser.get(link)
    assert (got.status, got.body == DATA) == (200, True)
    assert got.headers["content-length"] == str(len(DATA))
    assert got.headers["content-disposition"].startswith("attachment;")
    assert got.headers["accept-ranges"] == "bytes"
    assert "sandbox" in got.headers["content-security-policy"]
    assert kept.log()[before:] == [(EventKind.FETCHED, "", "127.0.0.0/24")]


def test_a_download_that_was_cut_goes_on_where_it_stopped(kept: KeptStage) -> None:
    first = kept.bearer(kept.file, Range="bytes=0-99999")
    assert (first.status, first.headers["content-range"]) == (206, f"bytes 0-99999/{len(DATA)}")
    rest = kept.bearer(kept.file, Range="bytes=100000-", If_Range=first.headers["etag"])
    assert (rest.status, rest.headers["content-length"]) == (206, str(len(DATA) - 100_000))
    assert first.body + rest.body == DATA
    assert kept.bearer(kept.file, Range="bytes=-16").body == DATA[-16:]
    other = kept.bearer(kept.file, Range="bytes=100000-", If_Range='"another"')
    assert (other.status, other.body == DATA) == (200, True)
    past = kept.bearer(kept.file, Range=f"bytes={len(DATA)}-")
    assert (past.status, past.headers["content-range"], past.body) == (416, f"bytes */{len(DATA)}", b"")


def test_head_tells_the_length_and_is_no_download(kept: KeptStage) -> None:
    note = kept.send("head", PATIENT)
    before = kept.log()
    path = f"/kept/{note.url.rpartition('/')[2]}/files/0"
    answer = Client(kept.stage.port).ask("HEAD", path, None, {"Authorization": f"Bearer {note.code}"})
    assert (answer.status, answer.headers["content-length"]) == (200, str(len(DATA)))
    assert kept.log() == before


def test_software_gets_the_list(kept: KeptStage) -> None:
    listed = json.loads(kept.bearer(kept.path).body)
    (file,) = listed["files"]
    note = kept.note.files[0]
    assert listed["until"] == kept.note.until.isoformat()
    assert file == {
        "name": NAME,
        "type": "application/zip",
        "size": len(DATA),
        "sha256": note.digest.hex(),
        "path": kept.file,
    }


def test_wrong_codes_slow_their_network_down(kept: KeptStage, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(throttle, "_STEP_SECONDS", 0.25)
    monkeypatch.setattr(anyio, "sleep", sleep)
    for _try in range(8):
        assert kept.stranger().post(kept.path, {"code": WRONG}).status == 403
    assert waits == sorted(waits)
    assert waits[-1] > 1.0


@pytest.mark.parametrize("path", ["", "/files/0"])
def test_a_wrong_bearer(kept: KeptStage, path: str) -> None:
    answer = Client(kept.stage.port).get(kept.path + path, Authorization=f"Bearer {WRONG}")
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("ref", ["", "AAAAAAAAAAAAAAAAAAAAAA", "x"])
def test_a_wrong_code_and_an_address_of_nothing_are_one_answer(kept: KeptStage, ref: str) -> None:
    path = f"/kept/{ref}" if ref else kept.path
    before = kept.log()
    with log_lines() as lines:
        answer = kept.stranger().post(path, {"code": WRONG})
        assert answer.status == 403
        assert "n’ouvrent rien" in answer.words
        assert "set-cookie" not in answer.headers
    (line,) = [json.loads(each) for each in lines.lines if "kept files not opened" in each]
    assert line["network"] == "127.0.0.0/24"
    assert WRONG not in lines.text
    assert kept.path not in lines.text
    assert kept.log() == before


def test_a_form_of_another_site_is_refused(kept: KeptStage) -> None:
    answer = kept.stranger().post(kept.path, {"code": kept.note.code}, Origin="https://evil.example")
    assert answer.status == 403
    assert "set-cookie" not in answer.headers


def test_a_cookie_that_opens_no_more_is_dropped(kept: KeptStage) -> None:
    browser = kept.stranger()
    browser.extra = {"Cookie": f"__Secure-pli-kept={WRONG.replace('-', '')}"}
    assert browser.get(kept.file).headers["location"] == kept.path
    answer = browser.get(kept.path)
    assert answer.status == 403
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert browser.get(kept.path).status == 200


def test_our_own_patient_downloads_from_the_message(kept: KeptStage) -> None:
    kept.send("own", PATIENT)
    patient = kept.stage.patient()
    (message, *_) = patient.get("/").links("^/messages/")
    page = patient.get(message)
    assert "1 grand fichier à télécharger" in page.words
    assert "LISEZ-MOI" not in page.words, "the page says it better than the note"
    (link,) = page.links("/kept/0")
    before = len(kept.log())
    part = patient.get(link, Range="bytes=5-9")
    assert (part.status, part.body) == (206, DATA[5:10])
    assert patient.get(link).body == DATA
    ((kind, who, _network),) = kept.log()[before:]
    assert (kind, who) == (EventKind.FETCHED, "Dominique PAT-TROIS")
    assert patient.get(link.replace("/kept/0", "/kept/1")).status == 404
    assert Client(kept.stage.port).get(link).status == 303


def test_the_note_of_another_operator_gives_its_address_and_code(kept: KeptStage) -> None:
    theirs = kept.note.url.replace("https://", "https://pli.b.example/x?")
    octets = read_box(
        kept.stage.ours, kept.stage.ours.services.keys.open_with_password(PATIENT, PASSWORD)[0]
    )[1]
    octets = octets[octets.index(b"From: ") :].replace(kept.note.url.encode(), theirs.encode())
    octets = octets.replace(b"doc@a.localhost", b"camille@b.localhost").replace(
        b"Images first", b"Images elsewhere"
    )
    deliver(kept.stage.ours, kept.stage.peer, "camille@b.localhost", PATIENT, octets)
    patient = kept.stage.patient()
    (message, *_) = patient.get("/").links("^/messages/")
    page = patient.get(message)
    assert "pli.b.example" in page.words
    assert kept.note.code in page.words
    assert page.links("b.example|/kept/") == [], "no link leads to where another server says"
    assert patient.get(f"{message}/kept/0").status == 404


def test_the_sender_sees_them_and_ends_them(kept: KeptStage) -> None:
    note = kept.send("ended", PATIENT)
    doctor = kept.stage.doctor()
    assert "/kept" in doctor.get("/sent").links("^/kept$")
    page = doctor.get("/kept")
    assert "ended.zip" in page.words
    assert "Images ended" in page.words
    ref = note.url.rpartition("/")[2]
    assert doctor.post(f"/kept/{ref}/end", {"token": "false"}).status == 400
    assert kept.stage.patient().post(f"/kept/{ref}/end", {"token": "x"}).status == 400
    answer = doctor.post(f"/kept/{ref}/end", {"token": page.field("token")})
    assert answer.headers["location"] == "/kept?ended=1"
    page = doctor.get("/kept?ended=1")
    assert "ne peuvent plus être téléchargés" in page.words
    assert "ended.zip" not in page.words
    assert kept.stranger().post(f"/kept/{ref}", {"code": note.code}).status == 403
    patient = kept.stage.patient()
    (message, *_) = patient.get("/").links("^/messages/")
    gone = patient.get(f"{message}/kept/0")
    assert (gone.status, "ne sont plus conservés" in gone.words) == (404, True)
    assert Client(kept.stage.port).get("/kept").status == 303


def test_english(kept: KeptStage) -> None:
    browser = kept.stranger()
    browser.language = "en"
    assert "Code of the message" in browser.get(kept.path).words
