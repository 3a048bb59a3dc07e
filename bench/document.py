"""``docs/figures.md``: one section for each suite, each with its day and its machine; writing one leaves the others.
The last section is written by hand.
"""

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "figures.md"
TITLES = ("Delivery", "IMAP", "Where the time goes")
_SECTION = re.compile(r"^## (?P<title>[^\n]+)\n\n(?P<body>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def put_section(document: str, title: str, body: str) -> str:
    """The document with this section in the place of an earlier one of the same title."""
    sections = {found["title"]: found["body"].rstrip() for found in _SECTION.finditer(document)}
    sections[title] = body.rstrip()
    kept = [f"## {each}\n\n{sections[each]}\n" for each in TITLES if each in sections]
    return "# Figures\n\n" + "\n".join(kept)


def write_section(title: str, body: str) -> None:
    before = DOCUMENT.read_text() if DOCUMENT.exists() else ""
    DOCUMENT.write_text(put_section(before, title, body))
