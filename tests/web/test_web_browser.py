"""A patient in a real browser, with and without scripts: log in, read, answer with a file, open a document, see who
looked. Every page fits 320 px and keeps its accessible names.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.web_node import PASSWORD
from harness.web_stage import Stage, make_stage
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from unit.documents.xdm_archives import sample

OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {"width": 320, "height": 640}
IDENTIFIER = "279035121518989"
SMALL_TARGETS = """() => [...document.querySelectorAll('button, nav a, .more, input, textarea')]
    .filter(each => each.type !== 'hidden').map(each => each.getBoundingClientRect())
    .filter(box => box.height > 0 && box.height < 44).length"""
PAGES_OF_A_DOCTOR = {
    "/": "Mes messages",
    "/sent": "Messages envoyés",
    "/write": "Nouveau message",
    "/away": "Mon absence",
    "/kept": "Mes grands fichiers envoyés",
    "/settings": "Réglages",
    "/history": "Qui a consulté",
}
UNLABELLED = """() => [...document.querySelectorAll('input, textarea')]
    .filter(each => each.type !== 'hidden' && !each.labels.length).length"""


@pytest.fixture(scope="module")
def browser(require_tool: Callable[[str], str]) -> Iterator[Browser]:
    program = require_tool("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def own_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with make_stage(tmp_path_factory.mktemp("browser")) as made:
        yield made


@pytest.fixture(params=["phone-without-scripts", "desk-dark"])
def context(browser: Browser, own_stage: Stage, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    is_phone = request.param == "phone-without-scripts"
    made = browser.new_context(
        base_url=f"https://localhost:{own_stage.port}",
        ignore_https_errors=True,
        java_script_enabled=not is_phone,
        viewport=PHONE if is_phone else {"width": 1200, "height": 900},
        color_scheme="light" if is_phone else "dark",
        locale="fr-FR",
    )
    made.set_default_timeout(15_000)
    yield made
    made.close()


class Walk:
    """A page with what each step checks and where its pictures go."""

    def __init__(self, page: Page, pictures: Path) -> None:
        self.page = page
        self.pictures = pictures
        self.wrong: list[str] = []
        page.on(
            "console", lambda message: self.wrong.append(message.text) if message.type == "error" else None
        )

    def see(self, name: str) -> None:
        self.page.wait_for_load_state("load")
        self.page.screenshot(path=self.pictures / f"{name}.png", full_page=True)
        width = self.page.evaluate("() => document.documentElement.scrollWidth")
        assert width <= self.page.viewport_size["width"], f"{name} scrolls sideways: {width}"
        assert self.page.evaluate(SMALL_TARGETS) == 0, name
        assert self.page.evaluate(UNLABELLED) == 0, name
        assert self.page.evaluate("() => document.querySelectorAll('h1').length") == 1, name
        size = self.page.evaluate("() => parseFloat(getComputedStyle(document.body).fontSize)")
        assert size >= 18


def test_a_patient_finds_the_way(
    context: BrowserContext, own_stage: Stage, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pictures = Path(os.environ.get("PLI_PICTURES", tmp_path)) / request.node.callspec.id
    pictures.mkdir(parents=True, exist_ok=True)
    page = context.new_page()
    walk = Walk(page, pictures)
    log_in(walk, own_stage)
    read_and_answer(walk, tmp_path)
    write_anew(walk)
    open_document(walk)
    see_who_looked(walk)
    choose_notices(walk)
    page.get_by_role("button", name="Se déconnecter").click()
    expect(page.get_by_role("status")).to_have_text("Vous êtes déconnecté.")
    names = [cookie["name"] for cookie in context.cookies()]
    assert names == ["__Host-pli-device"], (
        "the session's is gone; the browser stays known, which opens nothing"
    )
    assert walk.wrong == []


def log_in(walk: Walk, stage: Stage) -> None:
    page = walk.page
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Se connecter")
    walk.see("1-login")
    before = stage.web.codes_sent()
    page.get_by_label("Identifiant ou adresse").fill(IDENTIFIER)
    page.get_by_label("Mot de passe").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_text("d•••@example.org")).to_be_visible()
    walk.see("2-code")
    codes = stage.web.codes_sent()
    for code in before:
        codes.remove(code)
    page.get_by_label("Code à six chiffres").fill(codes[0])
    page.get_by_role("button", name="Valider le code").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Mes messages")
    walk.see("3-inbox")


def read_and_answer(walk: Walk, tmp_path: Path) -> None:
    page = walk.page
    page.get_by_role("link", name="Lettre d'adressage").first.click()
    expect(page.get_by_text("Vous trouverez ci-joint")).to_be_visible()
    expect(page.get_by_text("Urgence")).to_be_visible()
    walk.see("4-message")
    photo = tmp_path / "mesures de tension.txt"
    photo.write_text("12/8 le matin\n", encoding="utf-8")
    page.get_by_label("Votre message").fill("Merci docteur.\nVoici mes mesures.")
    page.get_by_label("Joindre des fichiers").set_input_files(photo)
    page.get_by_role("button", name="Envoyer").click()
    expect(page.get_by_role("status")).to_contain_text("Votre réponse est envoyée")
    walk.see("5-answered")
    page.get_by_role("link", name="Messages envoyés").first.click()
    page.get_by_role("link", name="Re: Lettre").first.click()
    expect(page.get_by_text("mesures de tension.txt")).to_be_visible()
    walk.see("6-sent")


def write_anew(walk: Walk) -> None:
    page = walk.page
    page.get_by_role("link", name="Mes contacts").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Mes contacts")
    walk.see("6-contacts")
    page.get_by_role("link", name="Dr Camille FICTIF").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Nouveau message")
    walk.see("6-write")
    page.get_by_label("Objet").fill("Une question")
    page.get_by_label("Votre message").fill("Bonjour docteur.")
    page.get_by_role("button", name="Envoyer").click()
    expect(page.get_by_role("status")).to_contain_text("Votre message est envoyé")


def open_document(walk: Walk) -> None:
    page = walk.page
    page.get_by_role("link", name="Mes documents").first.click()
    walk.see("7-documents")
    page.get_by_role("link", name="Lettre d'adressage vers la cardiologie").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Lettre d'adressage vers la cardiologie")
    walk.see("8-document")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Télécharger le document").click()
    saved = waiting.value
    assert saved.suggested_filename.endswith(".pdf")
    assert Path(saved.path()).read_bytes().startswith(b"%PDF-")


def see_who_looked(walk: Walk) -> None:
    page = walk.page
    page.get_by_role("link", name="Qui a consulté").first.click()
    for words in (
        "a ouvert une session",
        "a classé le document",
        "a consulté le document",
        "a envoyé le message",
    ):
        expect(page.get_by_text(words).first).to_be_visible()
    walk.see("9-history")


def choose_notices(walk: Walk) -> None:
    page = walk.page
    page.get_by_role("link", name="Réglages").first.click()
    walk.see("10-settings")
    page.get_by_label("Un nouveau message").uncheck()
    page.get_by_label("Au plus une fois par heure").check()
    page.get_by_role("button", name="Enregistrer").click()
    expect(page.get_by_role("status")).to_have_text("C’est enregistré.")
    expect(page.get_by_label("Un nouveau message")).not_to_be_checked()
    expect(page.get_by_label("Au plus une fois par heure")).to_be_checked()
    page.get_by_label("Un nouveau message").check()
    page.get_by_role("button", name="Enregistrer").click()
    walk.see("11-saved")


def test_a_doctor_finds_the_pages(context: BrowserContext, own_stage: Stage, tmp_path: Path) -> None:
    sign_in(context, own_stage, own_stage.doctor().cookie)
    walk = Walk(context.new_page(), tmp_path)
    for path, title in PAGES_OF_A_DOCTOR.items():
        walk.page.goto(path)
        expect(walk.page.get_by_role("heading", level=1)).to_have_text(title)
        walk.see(title)
    walk.page.goto("/")
    expect(walk.page.get_by_text("Aucun message pour l’instant.", exact=True)).to_be_visible()


def test_a_wrong_password_says_what_to_do(context: BrowserContext, own_stage: Stage, tmp_path: Path) -> None:
    page = context.new_page()
    walk = Walk(page, tmp_path)
    page.goto("/login")
    page.get_by_label("Identifiant ou adresse").fill("quelquun")
    page.get_by_label("Mot de passe").fill("faux")
    page.get_by_role("button", name="Continuer").click()
    expect(page.get_by_role("alert")).to_contain_text("n’est pas le bon")
    expect(page.get_by_label("Identifiant ou adresse")).to_have_value("quelquun")
    walk.see("wrong")


def test_the_keyboard_walks_and_the_focus_shows(context: BrowserContext, own_stage: Stage) -> None:
    page = context.new_page()
    page.goto("/login")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Aller au contenu")).to_be_focused()
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "4px"
    page.keyboard.press("Tab")
    expect(page.get_by_label("Identifiant ou adresse")).to_be_focused()


def test_a_letter_in_html_shows_in_its_frame(browser: Browser, own_stage: Stage) -> None:
    own_stage.write(
        "couleurs", "Lettre en couleurs", "Bonjour", html="<p>Bonjour <b>Dominique</b></p><script>x</script>"
    )
    patient = own_stage.patient()
    made = browser.new_context(
        base_url=f"https://localhost:{own_stage.port}", ignore_https_errors=True, locale="fr-FR"
    )
    sign_in(made, own_stage, patient.cookie)
    page = made.new_page()
    page.goto("/")
    page.get_by_role("link", name="Lettre en couleurs").click()
    page.get_by_role("link", name="Voir la mise en page d’origine").click()
    frame = page.frame_locator("iframe.letter")
    expect(frame.get_by_text("Bonjour Dominique")).to_be_visible()
    # The style sheet is a request of its own, which may end after the words are there.
    expect(frame.locator("body"), "the letter's own style sheet applies inside the sandbox").to_have_css(
        "font-size", "18px", timeout=15_000
    )
    made.close()


def test_an_archive_is_refused_in_words_and_leaves_once_corrected(
    context: BrowserContext, own_stage: Stage, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The text is still there; the second copy of a download has the name that the browser gave it."""
    subject = f"Vos documents {request.node.callspec.id}"
    own_stage.write(f"archive-{request.node.callspec.id}", subject, "Avez-vous l'archive ?")
    sign_in(context, own_stage, own_stage.patient().cookie)
    broken, whole = tmp_path / "IHE_XDM.zip", tmp_path / "IHE_XDM (1).zip"
    broken.write_bytes(sample("ko-uri-file-absent"))
    whole.write_bytes(sample("ok-lettre-adressage"))
    page = context.new_page()
    walk = Walk(page, tmp_path)
    page.goto("/")
    page.get_by_role("link", name=subject).click()
    page.get_by_label("Votre message").fill("La voici.")
    page.get_by_label("Joindre des fichiers").set_input_files(broken)
    page.get_by_role("button", name="Envoyer").click()
    refusal = page.get_by_role("alert")
    expect(refusal).to_contain_text("n'est pas dans l'archive")
    expect(refusal).to_contain_text("Rien n’est parti")
    expect(page.get_by_label("Votre message")).to_have_value("La voici.")
    walk.see("refused-archive")
    page.get_by_label("Joindre des fichiers").set_input_files(whole)
    page.get_by_role("button", name="Envoyer").click()
    expect(page.get_by_role("status")).to_contain_text("Votre réponse est envoyée")
    page.get_by_role("link", name="Messages envoyés").first.click()
    page.get_by_role("link", name=f"Re: {subject}").click()
    expect(page.get_by_text("IHE_XDM.zip")).to_be_visible()


def test_a_doctor_writes_anew(context: BrowserContext, own_stage: Stage, tmp_path: Path) -> None:
    """A wrong address is named with its reason; then the form is for those who were chosen."""
    sign_in(context, own_stage, own_stage.doctor().cookie)
    page = context.new_page()
    walk = Walk(page, tmp_path)
    page.goto("/")
    page.get_by_role("link", name="Nouveau message").click()
    page.get_by_label("À qui ?").fill("personne@a.localhost\nAlix\ncamille@b.localhost")
    page.get_by_role("button", name="Continuer").click()
    refusal = page.get_by_role("alert")
    expect(refusal).to_contain_text("personne@a.localhost")
    expect(refusal).to_contain_text("pas une adresse complète")
    walk.see("write-refused")
    page.get_by_label("À qui ?").fill("camille@b.localhost, 279035121518989@a.localhost")
    page.get_by_role("button", name="Continuer").click()
    expect(page.get_by_text("leurs équipes")).to_be_visible()
    walk.see("write-chosen")
    page.get_by_label("Objet").fill("Un avis")
    page.get_by_label("Votre message").fill("Bonjour, qu'en pensez-vous ?")
    page.get_by_role("button", name="Envoyer").click()
    expect(page.get_by_role("status")).to_contain_text("Votre message est envoyé")
    assert page.url.endswith("/write?sent=1"), "no address of anybody in the site's"
    walk.see("write-sent")
    page.get_by_role("link", name="Messages envoyés").first.click()
    expect(page.get_by_role("link", name="Un avis").first).to_be_visible()


def sign_in(context: BrowserContext, stage: Stage, cookie: str) -> None:
    url = f"https://localhost:{stage.port}"
    context.add_cookies([{"name": "__Host-pli", "value": cookie, "url": url, "secure": True}])
