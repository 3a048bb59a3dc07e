"""What the documents say is what the code does: standards cited on both sides, docstrings where a reader needs them."""

import ast
import re
from collections import defaultdict

from architecture import not_yet
from architecture.source_tree import ROOT, product_functions, product_sources

STANDARDS = ROOT / "docs" / "standards.md"
CITATION = re.compile(r"\bRFC\s+(\d{3,5})\b")
ROW = re.compile(r"^\| (?P<standard>[^|]+?) \| [^|]+ \| (?P<state>[^|]+?) \|[^|]*\|$", re.MULTILINE)
MODULE_DOCSTRING_LINES = 10
SELF_EVIDENT_LINES = 5
"""Up to here a public function's name, types and body are its contract; above, it has a docstring."""


def cited_in_code() -> dict[int, set[str]]:
    cited: dict[int, set[str]] = defaultdict(set)
    for source in product_sources():
        for number in CITATION.findall(source.text):
            cited[int(number)].add(source.path)
    return cited


def rows_of_standards() -> dict[str, str]:
    found = ROW.findall(STANDARDS.read_text(encoding="utf-8"))
    rows = [(standard, state) for standard, state in found if standard != "standard"]
    assert len(rows) == len(dict(rows)), "a standard has two rows"
    return dict(rows)


def rfc_rows() -> dict[int, str]:
    return {
        int(name.removeprefix("RFC ")): state
        for name, state in rows_of_standards().items()
        if name.startswith("RFC ")
    }


def test_states_are_yes_partly_or_no() -> None:
    assert set(rows_of_standards().values()) == {"yes", "partly", "no"}


def test_every_rfc_cited_in_code_has_a_row() -> None:
    missing = {number: sorted(paths) for number, paths in cited_in_code().items() if number not in rfc_rows()}
    assert not missing, f"docs/standards.md lacks these: {missing}"


def test_every_rfc_said_to_be_followed_is_cited_in_code() -> None:
    said = {number for number, state in rfc_rows().items() if state in {"yes", "partly"}}
    uncited = said - cited_in_code().keys() - not_yet.RFCS
    assert not uncited, f"docs/standards.md says yes or partly, and no line of code cites: {sorted(uncited)}"


def test_awaited_rfcs_are_still_awaited() -> None:
    arrived = not_yet.RFCS & cited_in_code().keys()
    assert not arrived, f"cited in code now, take them out of not_yet.py: {sorted(arrived)}"


def test_every_module_says_its_responsibility() -> None:
    docstrings = {source.path: ast.get_docstring(source.tree) or "" for source in product_sources()}
    assert not [path for path, text in docstrings.items() if not text.strip()], "modules without a docstring"
    long = {
        path: n for path, text in docstrings.items() if (n := len(text.splitlines())) > MODULE_DOCSTRING_LINES
    }
    assert not long, f"module docstrings over {MODULE_DOCSTRING_LINES} lines"


def test_public_functions_state_their_contract() -> None:
    silent = [
        function.key
        for function in product_functions()
        if function.lines > SELF_EVIDENT_LINES
        and not any(part.startswith("_") for part in function.name.split("."))
        and (function.is_method or "." not in function.name)
        and ast.get_docstring(function.node) is None
    ]
    assert not silent, "no docstring:\n" + "\n".join(silent)


def test_decision_records_are_numbered_and_complete() -> None:
    records = sorted(path.name for path in (ROOT / "docs" / "adr").glob("[0-9]*.md"))
    numbers = [int(name.split("-")[0]) for name in records]
    assert numbers == list(range(1, len(records) + 1))
    for name in records:
        text = (ROOT / "docs" / "adr" / name).read_text(encoding="utf-8")
        for heading in ("## Context", "## Decision", "## Consequences"):
            assert heading in text, f"{name} lacks {heading}"
