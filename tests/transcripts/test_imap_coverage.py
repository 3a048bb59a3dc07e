"""COVERAGE.md names the dialogues that there are, all of them, and has a row for each standard that is followed whole."""

import re
from pathlib import Path

FOLDER = Path(__file__).parent / "imap"
STANDARDS = Path(__file__).parents[2] / "docs" / "standards.md"
ROWS = [
    line
    for line in (FOLDER / "COVERAGE.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ")
]
NAMED = {name for row in ROWS for name in re.findall(r"`([a-z0-9_]+)`", row.rsplit("|", 2)[1])}


def test_every_file_named_is_here_and_named_when_it_is_here() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == NAMED


def test_every_standard_of_reading_mail_has_a_row() -> None:
    text = STANDARDS.read_text(encoding="utf-8").partition("## Reading mail")[2].partition("\n## ")[0]
    followed = set(re.findall(r"^\| (RFC \d+) \|[^|]*\| yes \|", text, re.MULTILINE))
    rows = "\n".join(row.split("|")[1] for row in ROWS) + "RFC 9051"
    assert followed - set(re.findall(r"RFC \d+", rows)) == set()
