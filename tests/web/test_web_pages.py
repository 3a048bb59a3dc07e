"""Each page over HTTP: what it says, its headers, who may ask, and what a foreign form gets (S11, K22)."""

import base64
import re
import unicodedata
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.web_node import PATIENT, deliver
from harness.web_server import Client
from harness.web_stage import DOCTOR, Stage

import webmail
from mailserver.audit.wording import Language
from mailserver.model.local_time import local_clock
from mailserver.service.languages import choose_language
from mailserver.service.shown_names import FIRST_STRONG_ISOLATE, POP_ISOLATE
from mailserver.service.space_documents import Replacement
from webmail.guard import HEADERS, PAGE_POLICY
from webmail.pages_documents import plain_specialty
from webmail.words import load_words

PUBLIC = ("/login", "/health", "/health/live", "/health/ready", "/static/pli.css", "/static/letter.css")
PRIVATE = (
    "/",
    "/sent",
    "/history",
    "/settings",
    "/documents",
    "/documents/AAAAAAAAAAAAAAAAAAAAAA",
    "/documents/AAAAAAAAAAAAAAAAAAAAAA/content",
    "/documents/AAAAAAAAAAAAAAAAAAAAAA/download",
    "/messages/" + "A" * 38,
    "/messages/" + "A" * 38 + "/html",
    "/messages/" + "A" * 38 + "/files/0",
)
UNSAFE = (
    "/login",
    "/login/code",
    "/logout",
    "/messages/" + "A" * 38 + "/answer",
    "/settings/notices",
    "/settings/password",
    "/settings/contact",
    "/settings/contact/code",
)
MIRRORED = "tsohlacol.a.latipoh@b.localhost"
FOREIGN = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
)


def message_path(client: Client, subject: str) -> str:
    """Where the letter with this subject (as it stands in the page) is read; other tests write letters too."""
    older = ["/"]
    while older:
        page = client.get(older[0])
        if found := re.search(rf'href="(/messages/[^"]+)">{re.escape(subject)}<', page.text):
            return found[1]
        older = page.links(r"\?before=")
    raise AssertionError(subject)


@pytest.mark.parametrize("path", [*PUBLIC, *PRIVATE, "/absent"])
def test_every_answer_has_its_headers(stage: Stage, path: str) -> None:
    for client in (stage.client(), stage.patient()):
        answer = client.get(path)
        assert set(HEADERS) <= set(answer.headers)
        assert "server" not in answer.headers
        assert "unsafe" not in answer.headers["content-security-policy"]
        is_static = path.startswith("/static/")
        assert answer.headers["cache-control"] == ("public, max-age=3600" if is_static else "no-store")


@pytest.mark.parametrize("path", PRIVATE)
def test_nobody_sees_a_page_without_session(stage: Stage, path: str) -> None:
    for cookie in ("", "A" * 86, "garbage"):
        client = Client(stage.port, cookie)
        answer = client.get(path)
        place = (
            "/login?note=ended" if cookie else "/login"
        )  # who comes for the first time had no session to end
        assert (answer.status, answer.headers["location"]) == (303, place)


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", UNSAFE)
def test_foreign_forms_do_nothing(stage: Stage, path: str, headers: dict[str, str]) -> None:
    client = stage.patient()
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = client.ask("POST", path, b"token=x", kind | headers)
    assert answer.status == 403
    assert client.get("/").status == 200


@pytest.mark.parametrize("token", ["", "0" * 64, "é"])
def test_logout_needs_its_token(stage: Stage, token: str) -> None:
    client = stage.patient()
    assert client.post("/logout", {"token": token}).status == 403
    assert client.get("/").status == 200


def test_logout_ends_the_session(stage: Stage) -> None:
    client = stage.patient()
    cookie = client.cookie
    assert (
        client.post("/logout", {"token": client.get("/").field("token")}).headers["location"]
        == "/login?note=left"
    )
    assert Client(stage.port, cookie).get("/").status == 303


def test_the_cookie_is_strict(stage: Stage) -> None:
    answer = stage.client().post("/login", {"login": DOCTOR, "password": "un mot de passe long"})
    words = {word.strip().lower() for word in answer.headers["set-cookie"].split(";")[1:]}
    assert words == {"httponly", "path=/", "samesite=strict", "secure"}


def test_both_factors_through_the_pages(stage: Stage) -> None:
    client = stage.client()
    client.sign_in(stage.web, PATIENT.partition("@")[0])
    page = client.get("/")
    assert "Dominique PAT-TROIS" in page.words
    assert re.search(r"Votre session se termine à \d+ h \d\d", page.words)
    assert client.get("/login").headers["location"] == "/"


def test_the_password_alone_opens_no_page(stage: Stage) -> None:
    client = stage.client()
    client.post("/login", {"login": DOCTOR, "password": "un mot de passe long"})
    assert client.cookie
    assert Client(stage.port, client.cookie).get("/").status == 303
    wrong = client.post("/login/code", {"code": "abc"})
    assert wrong.status == 403
    assert "cinq essais" in wrong.words


def test_wrong_and_unknown_get_the_same_page(stage: Stage) -> None:
    pages = [
        stage.client().post("/login", {"login": login, "password": "faux"})
        for login in (DOCTOR, "inconnu@a.localhost")
    ]
    assert {page.status for page in pages} == {403}
    texts = [page.text.replace(DOCTOR, "X").replace("inconnu@a.localhost", "X") for page in pages]
    assert texts[0] == texts[1]


def test_no_page_address_holds_a_person(stage: Stage) -> None:
    client = stage.patient()
    for path in (
        "/",
        "/sent",
        "/documents",
        "/history",
        message_path(client, "Lettre d&#39;adressage PAT-TROIS DOMINIQUE 28/03/1979"),
    ):
        for link in client.get(path).links("/"):
            assert "279035121518989" not in link
            assert "@" not in link


def test_a_professional_has_mail_and_no_documents(stage: Stage) -> None:
    client = stage.doctor()
    page = client.get("/")
    assert page.status == 200
    assert "Mes documents" not in page.words
    assert client.get("/documents").status == 403


def test_a_letter_in_html_is_cleaned_in_a_frame_of_its_own(stage: Stage) -> None:
    evil = (
        '<p onclick="x()">Bonjour</p><script>alert(1)</script><img src="https://t.example/p.gif">'
        '<a href="javascript:x()">ici</a><a href="https://autre.example/a">là</a><style>p{}</style>'
        '<iframe src="https://t.example"></iframe><form action="/logout"><button>ok</button></form>'
    )
    stage.write("html", "Lettre en couleurs", "Bonjour", html=evil)
    client = stage.patient()
    path = message_path(client, "Lettre en couleurs")
    page = client.get(path)
    assert "t.example" not in page.text
    shown = client.get(f"{path}?view=html")
    assert f'<iframe class="letter" sandbox src="{path}/html"' in shown.text
    frame = client.get(f"{path}/html")
    assert frame.headers["content-security-policy"].endswith("sandbox")
    for gone in ("script", "onclick", "t.example", "javascript", "<style", "<form", "<img", "alert"):
        assert gone not in frame.text
    assert 'href="https://autre.example/a"' in frame.text


def write_as(stage: Stage, message_id: str, name: str, subject: str) -> None:
    """A letter from an address that reads as another one from right to left."""
    words = [base64.b64encode(text.encode()).decode() for text in (name, subject)]
    raw = (
        f"From: =?utf-8?B?{words[0]}?= <{MIRRORED}>\r\nTo: {PATIENT}\r\nSubject: =?utf-8?B?{words[1]}?=\r\n"
        f"Message-ID: <{message_id}@b.localhost>\r\nDate: Mon, 01 Jun 2026 10:00:00 +0000\r\n\r\nBonjour\r\n"
    )
    deliver(stage.ours, stage.peer, MIRRORED, PATIENT, raw.encode())


@pytest.mark.parametrize(
    ("number", "name", "shown"),
    [
        (
            1,
            "Dr Martin \u202e",
            f'<strong><bdi>Dr Martin</bdi></strong> <bdi class="address">{MIRRORED}</bdi>',
        ),
        (2, "Dr Martin (dr.martin\ufe6bhopital.example)", f"<strong><bdi>{MIRRORED}</bdi></strong></p>"),
        (3, "dr.martin\uff20hopital.example\u2066", f"<strong><bdi>{MIRRORED}</bdi></strong></p>"),
    ],
)
def test_a_name_cannot_change_the_address_beside_it(stage: Stage, number: int, name: str, shown: str) -> None:
    """S8: no direction mark of a sender's is in a page, and what looks like an address is the one that was checked."""
    write_as(stage, f"mirror{number}", name, f"Miroir {number}\u202e fin")
    client = stage.patient()
    inbox = client.get("/")
    page = client.get(message_path(client, f"Miroir {number} fin"))
    for answer in (inbox, page):
        assert shown in answer.text
        marks = {char for char in answer.text if unicodedata.category(char) == "Cf"}
        assert marks <= {FIRST_STRONG_ISOLATE, POP_ISOLATE}, "ours alone, around names and addresses"
        assert "hopital" not in answer.text
    reader = re.search(r"sera lu par ([^,]*),", page.words)
    assert reader
    name_of_reader = "\u2068Dr Martin\u2069 (" if number == 1 else ""
    assert reader[1].removesuffix(")") == f"{name_of_reader}\u2068{MIRRORED}\u2069"


@pytest.mark.parametrize(
    ("claim", "is_replaced", "words"),
    [
        (None, False, ""),
        (Replacement("camille@b.localhost", is_same_sender=True), True, ""),
        (
            Replacement("mallory@b.localhost", is_same_sender=False),
            False,
            "Selon \u2068mallory@b.localhost\u2069, un autre document remplace celui-ci.",
        ),
        (Replacement("", is_same_sender=False), False, "Selon un autre expéditeur, un autre document"),
    ],
)
def test_who_says_that_a_document_is_replaced(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, claim: Replacement | None, is_replaced: bool, words: str
) -> None:
    monkeypatch.setattr("mailserver.service.space_documents._Claims.find", lambda *_given: claim)
    client = stage.patient()
    listed = client.get("/documents")
    page = client.get(listed.links("^/documents/")[0])
    for answer in (listed, page):
        assert ("Une version plus récente" in answer.words) is is_replaced
        assert ("un autre document remplace" in answer.words) is bool(words)
        assert words in answer.words
    assert ("card old" in listed.text) is is_replaced


def test_a_subject_cannot_become_markup(stage: Stage) -> None:
    stage.write("xss", "<b>gras</b> & « ok »", "<script>x</script>\n& voilà")
    client = stage.patient()
    page = client.get(message_path(client, "&lt;b&gt;gras&lt;/b&gt; &amp; « ok »"))
    assert "<script>" not in page.text
    assert "&lt;script&gt;x&lt;/script&gt;" in page.text


def test_a_closed_conversation_says_why(stage: Stage) -> None:
    stage.write("fin", "Sans réponse", "Bonjour", fields=(("X-MSS-MES", "FIN"),))
    client = stage.patient()
    page = client.get(message_path(client, "Sans réponse"))
    assert "Vous ne pouvez pas répondre" in page.words
    assert "<textarea" not in page.text


def test_absent_things_are_told_in_words(stage: Stage) -> None:
    client = stage.patient()
    for path in (
        "/documents/AAAAAAAAAAAAAAAAAAAAAA",
        "/documents/x",
        "/messages/é",
        "/messages/AAAA",
        "/rien",
    ):
        answer = client.get(path.replace("é", "%C3%A9"))
        assert answer.status == 404
        assert "n’existe pas" in answer.words


def test_english_where_asked_french_elsewhere(stage: Stage) -> None:
    assert "Log in" in Client(stage.port, language="en-GB,en;q=0.9,fr;q=0.5").get("/login").words
    assert "Se connecter" in Client(stage.port, language="de").get("/login").words


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "fr"),
        ("en", "en"),
        ("fr;q=0.9, en;q=0.8", "fr"),
        ("en;q=0", "fr"),
        ("EN-us", "en"),
        ("en;q=x", "fr"),
        ("*", "fr"),
    ],
)
def test_languages(accepted: str, language: str) -> None:
    assert choose_language(accepted) == language


def test_dates_are_the_operators() -> None:
    when = datetime(2026, 11, 30, 22, 5, tzinfo=UTC)
    told = {
        zone: load_words(Language.FRENCH, local_clock(zone).zone)
        .moment(when)
        .replace("\N{NO-BREAK SPACE}", " ")
        for zone in ("Europe/Paris", "Indian/Reunion")
    }
    assert told == {
        "Europe/Paris": "lundi 30 novembre 2026 à 23 h 05",
        "Indian/Reunion": "mardi 1er décembre 2026 à 2 h 05",
    }


def test_marks_stay_on_the_line_of_their_word():
    words = load_words(Language.FRENCH)
    said = words.unbroken("Alix a lu « Bilan » (auteur : a@b.example ; acte : x) – sans succès.")
    assert said.replace("\N{NO-BREAK SPACE}", "~") == (
        "Alix a lu «~Bilan~» (auteur~: a@b.example~; acte~: x)~– sans succès."
    )


def test_catalogues_have_the_same_keys_and_holes() -> None:
    french, english = (load_words(language).texts for language in Language)
    assert french.keys() == english.keys()
    for key, text in french.items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", english[key])), key


def test_every_text_is_used() -> None:
    folder = Path(webmail.__file__).parent
    sources = "".join(
        path.read_text(encoding="utf-8") for path in [*folder.rglob("*.py"), *folder.rglob("*.html")]
    )
    unused = []
    for key in load_words(Language.FRENCH).texts:
        stem = re.sub(r"\.(one|many|none|title|text)$", "", key)
        names = {key, stem, stem.removeprefix("error."), stem.removeprefix("answer.")}
        if key.startswith("login.") or any(
            f'"{name}"' in sources or f"'{name}'" in sources for name in names
        ):
            continue
        unused.append(key)
    assert not unused


def test_templates_hold_no_script_and_no_inline_style() -> None:
    for path in (Path(webmail.__file__).parent / "templates").iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<script|<style|style=|\son\w+=|https?://|\|\s*safe", text), path.name


def test_the_style_sheet_is_small() -> None:
    assert (Path(webmail.__file__).parent / "static" / "pli.css").stat().st_size < 25_000
    assert "script-src" not in PAGE_POLICY


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            "G15_10/SM26^Médecin - Qualifié en Médecine Générale (SM)^1.2.3",
            "Médecin - Qualifié en Médecine Générale",
        ),
        ("Cardiologie", "Cardiologie"),
        ("", ""),
        ("^^", ""),
    ],
)
def test_a_coded_specialty_is_words(value: str, words: str) -> None:
    assert plain_specialty(value) == words
