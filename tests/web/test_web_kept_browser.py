"""A person of another operator in a real browser, without scripts: opens the address of the note, pastes the code, saves
the file. And our own patient, from the message.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.large_mail import find_note, large_message, read_box, submit
from harness.web_node import PASSWORD, PATIENT
from harness.web_stage import DOCTOR, make_stage
from playwright.sync_api import expect, sync_playwright
from web.test_web_browser import OPTIONS, PHONE, Walk, log_in

DATA = os.urandom(200_000)


def test_the_code_of_the_note_downloads_the_file(
    tmp_path: Path, require_tool: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLI_LARGE_THRESHOLD_BYTES", "70000")
    program = require_tool("chromium")
    with make_stage(tmp_path) as stage, sync_playwright() as playwright:
        services = stage.ours.services
        doctor, patient = (services.keys.open_with_password(each, PASSWORD)[0] for each in (DOCTOR, PATIENT))
        octets = large_message("browser", DOCTOR, [("imagerie.zip", DATA)])
        assert submit(stage.ours, doctor, [PATIENT], octets).decision.accepted
        note = find_note(read_box(stage.ours, patient)[-1])
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        context = browser.new_context(
            base_url=f"https://localhost:{stage.port}",
            ignore_https_errors=True,
            java_script_enabled=False,
            viewport=PHONE,
            locale="fr-FR",
        )
        context.set_default_timeout(15_000)
        page = context.new_page()
        walk = Walk(page, Path(os.environ.get("PLI_PICTURES", tmp_path)))
        page.goto("/kept/" + note.url.rpartition("/")[2])
        walk.see("kept-1-code")
        page.get_by_label("Code du message").fill("faux")
        page.get_by_role("button", name="Voir les fichiers").click()
        expect(page.get_by_role("alert")).to_contain_text("n’ouvrent rien")
        page.get_by_label("Code du message").fill(note.code)
        page.get_by_role("button", name="Voir les fichiers").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Fichiers à télécharger")
        walk.see("kept-2-files")
        with page.expect_download() as saved:
            page.get_by_role("link", name="imagerie.zip").click()
        assert saved.value.suggested_filename == "imagerie.zip"
        assert Path(saved.value.path()).read_bytes() == DATA
        log_in(walk, stage)
        page.get_by_role("link", name="Images browser").click()
        walk.see("kept-3-message")
        with page.expect_download() as saved:
            page.get_by_role("link", name="imagerie.zip").click()
        assert Path(saved.value.path()).read_bytes() == DATA
        browser.close()
