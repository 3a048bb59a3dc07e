"""Stored formats of the access log, byte for byte: what an earlier release wrote must still read and verify."""

import json
from pathlib import Path

import pytest
from unit.audit.audit_history import KEYS, ORIGIN

from mailserver.audit import merkle
from mailserver.audit.checkpoint import verify_checkpoint
from mailserver.audit.entry import AccountHead, LeafType, commitment, format_leaf, next_leaf, open_entry
from mailserver.audit.events import canonical_bytes, parse_event
from mailserver.audit.security_log import format_security_line, parse_security_line
from mailserver.audit.verify_export import CheckFailed, verify
from mailserver.audit.wording import Language, describe
from mailserver.crypto.seal import KeyPair
from mailserver.crypto.secret import Secret

FOLDER = Path(__file__).parent / "audit"
MERKLE = json.loads((FOLDER / "merkle.json").read_text(encoding="utf-8"))
FORMATS = json.loads((FOLDER / "formats.json").read_text(encoding="utf-8"))
EXPORTS = sorted(FOLDER.glob("export-*.jsonl"))


@pytest.mark.parametrize("size", range(9))
def test_roots_of_the_certificate_transparency_leaves(size):
    hashes = [merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in MERKLE["leaves"][:size]]
    assert merkle.Frontier().extend(hashes).root().hex() == MERKLE["roots"][size]


@pytest.mark.parametrize("case", FORMATS["events"], ids=lambda case: case["french"])
def test_events_keep_their_bytes_and_words(case):
    raw = case["canonical"].encode()
    event = parse_event(raw)
    assert canonical_bytes(event) == raw
    assert describe(event, Language.FRENCH) == case["french"]
    assert describe(event, Language.ENGLISH) == case["english"]


def test_leaves_keep_their_bytes():
    head = AccountHead(bytes.fromhex(FORMATS["pseudonym"]))
    for case, entry in zip(FORMATS["leaves"], FORMATS["events"], strict=True):
        committed = commitment(bytes.fromhex(case["salt"]), entry["canonical"].encode())
        leaf, head = next_leaf(head, committed, LeafType(case["type"]))
        assert committed.hex() == case["commitment"]
        assert format_leaf(leaf).hex() == case["leaf"]
        assert head.last.hex() == case["leaf_hash"]


def test_a_sealed_entry_still_opens():
    case = FORMATS["sealed"]
    pair = KeyPair.from_seed(Secret(bytes.fromhex(case["seed"])))
    ids = bytes.fromhex(case["account"]), bytes.fromhex(case["entry"])
    opened = open_entry(bytes.fromhex(case["sealed"]), pair, *ids)
    assert opened == (FORMATS["events"][0]["canonical"].encode(), bytes.fromhex(case["salt"]))


def test_a_checkpoint_still_verifies():
    checkpoint = verify_checkpoint(KEYS.publics, ORIGIN, FORMATS["checkpoint"].encode())
    assert (checkpoint.size, checkpoint.root.hex()) == (8, MERKLE["roots"][8])


def test_a_security_line_still_parses():
    line = FORMATS["security_line"].encode() + b"\n"
    assert format_security_line(parse_security_line(line)) == line


@pytest.mark.parametrize("path", EXPORTS, ids=lambda path: path.stem)
def test_exports_have_the_outcome_that_their_name_says(path):
    """``export-<outcome>[--what].jsonl`` against the receipt of the same folder."""
    outcome = path.stem.removeprefix("export-").partition("--")[0]
    saved = (FOLDER / "receipt.json").read_bytes()
    if outcome == "intact":
        assert verify(path.read_bytes(), saved).entries == 4
        return
    with pytest.raises(CheckFailed) as caught:
        verify(path.read_bytes(), saved)
    assert caught.value.code == outcome
