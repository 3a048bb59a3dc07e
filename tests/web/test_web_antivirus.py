"""What a person sees of the antivirus: that a letter was checked, and why an answer did not leave (S5)."""

import re
from pathlib import Path

import pytest
from harness.clamd import EICAR, configured, fake_clamd
from harness.web_stage import make_stage

from mailserver.service import antivirus

ATTACHED = ("analyse.txt", "text/plain", EICAR)


def test_the_verdict_reaches_both_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(antivirus, "RETRY_SECONDS", 0.0)
    path = tmp_path / "c"
    with configured(path), fake_clamd(path), make_stage(tmp_path) as stage:
        stage.write("v1", "Question", "Comment allez-vous ?")
        client = stage.patient()
        link = re.search(r'href="(/messages/[^"]+)">Question<', client.get("/").text)[1]
        page = client.get(link)
        assert re.search("Vérifié par l’antivirus le [^<]+ : rien trouvé", page.words)
        fields = {"token": page.field("token"), "mark": page.field("mark"), "text": "Bien, merci."}
        refused = client.post_files(f"{link}/answer", fields, [ATTACHED])
        assert refused.status == 422
        assert "Le message contient un fichier que l’antivirus refuse" in refused.words
        assert "Bien, merci.</textarea>" in refused.text
        assert client.post_files(f"{link}/answer", fields, []).status == 303
        copy = re.search(r'href="(/messages/[^"]+)">Re: Question<', client.get("/sent").text)[1]
        assert "Vérifié par l’antivirus le" in client.get(copy).words
        path.rename(tmp_path / "away")
        again = client.get(link)
        fields |= {"mark": again.field("mark")}
        put_off = client.post_files(f"{link}/answer", fields, [])
        assert (put_off.status, "L’antivirus ne répond pas" in put_off.words) == (422, True)
        (tmp_path / "away").rename(path)
