"""The verifier as a command: one file, run alone, exit 0 or 1."""

import subprocess
import sys
from pathlib import Path

import pytest
from unit.audit.audit_history import from_lines, mixed_history, to_lines

from mailserver.audit import verify_export


@pytest.fixture(scope="module")
def history():
    return mixed_history()


@pytest.fixture(scope="module")
def good(history):
    return history.export(earlier=(9,))


@pytest.fixture(scope="module")
def saved(history):
    return history.receipt(9)


def test_the_command_prints_steps_and_exits_zero(tmp_path, capsys, good, saved):
    (tmp_path / "copy.jsonl").write_bytes(good)
    (tmp_path / "receipt.json").write_bytes(saved)
    arguments = [str(tmp_path / "copy.jsonl"), "--checkpoint", str(tmp_path / "receipt.json")]
    assert verify_export.main(arguments) == 0
    french = capsys.readouterr().out
    assert "Copie intacte : 9 entrées, du 2026-03-01" in french
    assert "3. Comparaison avec le reçu conservé : OK" in french
    assert verify_export.main([arguments[0], "--lang", "en"]) == 0
    english = capsys.readouterr().out
    assert "3. Comparison with the saved receipt: not done, no receipt" in english
    assert "Entries covered by a receipt: 0" in english


def test_the_command_says_which_check_failed_and_exits_one(tmp_path, capsys, good):
    lines = to_lines(good)
    lines[3]["text"] = lines[3]["text"].replace("Alix", "Aloïs")
    (tmp_path / "copy.jsonl").write_bytes(from_lines(lines))
    assert verify_export.main([str(tmp_path / "copy.jsonl")]) == 1
    assert capsys.readouterr().out.startswith(
        "ÉCHEC à l’étape 4 (Texte de chaque entrée, entrée 3) : le texte"
    )
    lines[0]["checkpoint"] = lines[0]["checkpoint"].replace("\n13\n", "\n14\n")
    (tmp_path / "copy.jsonl").write_bytes(from_lines(lines))
    assert verify_export.main([str(tmp_path / "copy.jsonl"), "--lang", "en"]) == 1
    assert capsys.readouterr().out == (
        "FAILED at step 2 (Signatures of the checkpoint): a signature of the checkpoint is wrong.\n"
    )
    assert verify_export.main([str(tmp_path / "absent")]) == 1
    assert "étape 1" in capsys.readouterr().out


def test_the_file_runs_alone_and_imports_nothing_of_the_server(tmp_path, good):
    source = Path(verify_export.__file__).read_text(encoding="utf-8")
    assert "mailserver" not in source
    (tmp_path / "check.py").write_text(source, encoding="utf-8")
    (tmp_path / "copy.jsonl").write_bytes(good)
    run = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "check.py"), str(tmp_path / "copy.jsonl"), "--lang", "en"],
        capture_output=True,
        check=False,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stdout
    assert b"Intact copy: 9 entries" in run.stdout
