"""The offline verifier: what it accepts, and every mutation that it must refuse, by name."""

import json
from base64 import b64decode, b64encode

import pytest
from unit.audit.audit_history import (
    CAMILLE,
    FOREIGN_KEYS,
    KEYS,
    OTHER,
    History,
    event,
    from_lines,
    mixed_history,
    to_lines,
)

from mailserver.audit import verify_export
from mailserver.audit.entry import commitment, format_leaf, parse_leaf
from mailserver.audit.events import canonical_bytes
from mailserver.audit.merkle import leaf_hash
from mailserver.audit.verify_export import CheckFailed, verify

SAVED_SIZE = 9


def b64(raw):
    return b64encode(raw).decode()


def delete(lines):
    del lines[4]


def duplicate(lines):
    lines.insert(4, dict(lines[4]))


def swap(lines):
    lines[3], lines[4] = lines[4], lines[3]


def edit(lines):
    lines[3]["text"] = lines[3]["text"].replace("Alix", "Aloïs")


def edit_salt(lines):
    lines[3]["salt"] = b64(b"s" * 32)


def cut_head(lines):
    del lines[1]


def rechain(lines, start):
    """Make text, commitment and chain agree again from a line on: only the tree can tell."""
    previous = bytes(32) if start == 1 else leaf_hash(b64decode(lines[start - 1]["leaf"]))
    for number in range(start, len(lines)):
        line = lines[number]
        raw = bytearray(b64decode(line["leaf"]))
        raw[17:25] = (number - 1).to_bytes(8, "big")
        raw[25:57] = previous
        raw[57:] = commitment(b64decode(line["salt"]), line["text"].encode())
        line["leaf"] = b64(bytes(raw))
        previous = leaf_hash(bytes(raw))


def edit_and_rechain(lines):
    edit(lines)
    rechain(lines, 3)


def delete_and_rechain(lines):
    delete(lines)
    lines[0]["entries"] -= 1
    rechain(lines, 4)


def cut_head_and_rechain(lines):
    cut_head(lines)
    lines[0]["entries"] -= 1
    rechain(lines, 1)


def cut_tail(lines):
    del lines[-1]


def cut_tail_and_restate(lines):
    del lines[-4:]
    lines[0]["entries"] -= 4


def cut_everything(lines):
    del lines[1:]
    lines[0]["entries"] = 0


def replay_of_another(lines):
    lines[4] = to_lines(mixed_history().export(OTHER))[2]


def take_over_anothers_leaf(lines):
    lines[0]["pseudonym"] = OTHER.hex()


def broken_previous(lines):
    raw = bytearray(b64decode(lines[3]["leaf"]))
    raw[30] ^= 1
    lines[3]["leaf"] = b64(bytes(raw))


def place_goes_back(lines):
    lines[4]["index"] = lines[3]["index"]


def wrong_place(lines):
    lines[2]["index"] -= 1


def place_outside(lines):
    lines[-1]["index"] = 999


def shorter_proof(lines):
    lines[3]["proof"].pop()


def longer_proof(lines):
    lines[3]["proof"].append(b64(bytes(32)))


def short_hash_in_proof(lines):
    lines[3]["proof"][0] = b64(bytes(31))


def forge_checkpoint(lines):
    note = lines[0]["checkpoint"].split("\n")
    note[2] = b64(b"\x07" * 32)
    lines[0]["checkpoint"] = "\n".join(note)


def forge_checkpoint_size(lines):
    lines[0]["checkpoint"] = lines[0]["checkpoint"].replace("\n13\n", "\n14\n")


def drop_line(lines, at):
    note = lines[0]["checkpoint"].split("\n")
    del note[at]
    lines[0]["checkpoint"] = "\n".join(note)


def drop_ed25519(lines):
    drop_line(lines, 4)


def drop_mldsa44(lines):
    drop_line(lines, 5)


def double_ed25519(lines):
    note = lines[0]["checkpoint"].split("\n")
    note[5] = note[4]
    lines[0]["checkpoint"] = "\n".join(note)


def foreign_signature(lines):
    lines[0]["publics"]["mldsa44"] = b64(FOREIGN_KEYS.publics[1])


def not_a_key(lines):
    lines[0]["publics"]["ed25519"] = ""


def erase(lines):
    lines[3]["text"] = lines[3]["salt"] = None


def salt_only(lines):
    lines[3]["text"] = None


MUTATIONS = [
    (delete, 5, "sequence"),
    (delete_and_rechain, 6, "inclusion"),
    (duplicate, 5, "sequence"),
    (swap, 5, "sequence"),
    (edit, 4, "text-altered"),
    (edit_salt, 4, "text-altered"),
    (edit_and_rechain, 6, "inclusion"),
    (cut_head, 5, "sequence"),
    (cut_head_and_rechain, 6, "inclusion"),
    (cut_tail, 7, "count"),
    (cut_tail_and_restate, 7, "receipt-tail"),
    (cut_everything, 7, "receipt-tail"),
    (replay_of_another, 5, "pseudonym"),
    (take_over_anothers_leaf, 3, "receipt-person"),
    (broken_previous, 5, "previous"),
    (place_goes_back, 5, "order"),
    (wrong_place, 6, "inclusion"),
    (place_outside, 6, "inclusion"),
    (shorter_proof, 6, "inclusion"),
    (longer_proof, 6, "inclusion"),
    (short_hash_in_proof, 6, "inclusion"),
    (forge_checkpoint, 2, "signature"),
    (forge_checkpoint_size, 2, "signature"),
    (drop_ed25519, 2, "signature-missing"),
    (drop_mldsa44, 2, "signature-missing"),
    (double_ed25519, 2, "signature-missing"),
    (foreign_signature, 2, "signature-missing"),
    (not_a_key, 2, "signature-missing"),
    (erase, 4, "text-missing"),
    (salt_only, 4, "text-missing"),
]


@pytest.fixture(scope="module")
def history():
    return mixed_history()


@pytest.fixture(scope="module")
def good(history):
    return history.export(earlier=(1, 4, 8, SAVED_SIZE))


@pytest.fixture(scope="module")
def saved(history):
    return history.receipt(SAVED_SIZE)


def refused(raw, saved=None, **options):
    with pytest.raises(CheckFailed) as caught:
        verify(raw, saved, **options)
    return caught.value.step, caught.value.code


@pytest.mark.parametrize(
    ("mutation", "step", "code"), MUTATIONS, ids=[case[0].__name__ for case in MUTATIONS]
)
def test_every_mutation_is_refused_at_its_step(good, saved, mutation, step, code):
    lines = to_lines(good)
    mutation(lines)
    assert refused(from_lines(lines), saved) == (step, code)


def test_a_good_copy_says_how_many_entries_of_which_period(good, saved):
    report = verify(good, saved)
    assert report.entries == 9
    assert report.period == ("2026-03-01T08:00:00.000000Z", "2026-03-13T08:00:00.000000Z")
    assert report.log == ("log.pli.example/1", 13)
    assert (report.proven, report.erased, report.has_receipt) == (6, 0, True)


@pytest.mark.parametrize("size", [0, 1, 4, 8, SAVED_SIZE, 13])
def test_a_bare_checkpoint_of_any_earlier_size_serves(history, good, size):
    report = verify(good, history.checkpoint(size))
    assert report.proven == 0
    assert report.has_receipt


def test_an_empty_log_is_intact():
    history = History()
    history.entries[CAMILLE] = []
    report = verify(history.export(), history.receipt(0))
    assert report.entries == 0
    assert report.period == ("", "")


@pytest.mark.parametrize("fork_at", [0, 5, 8])
def test_a_fork_before_the_receipt_is_refused_even_when_signed(saved, fork_at):
    fork = History()
    for number in range(14):
        raw = canonical_bytes(event(number, "Autre titre" if number >= fork_at else "Bilan sanguin"))
        fork.add(OTHER if number % 3 == 1 else CAMILLE, raw)
    assert refused(fork.export(earlier=(SAVED_SIZE,)), saved) == (3, "receipt-history")


def test_a_fork_at_the_receipts_own_size_is_refused(saved):
    fork = History()
    for number in range(SAVED_SIZE):
        fork.add(OTHER if number % 3 == 1 else CAMILLE, canonical_bytes(event(number, "Autre titre")))
    assert refused(fork.export(), saved) == (3, "receipt-history")


def test_a_history_wholly_rewritten_under_other_keys_is_refused(saved):
    rewritten = mixed_history(keys=FOREIGN_KEYS).export(earlier=(SAVED_SIZE,))
    assert verify(rewritten).entries == 9
    assert refused(rewritten, saved) == (3, "receipt-signature")


def test_a_copy_older_than_the_receipt_is_refused(history, saved):
    assert refused(history.export(size=7), saved) == (3, "receipt-newer")


def test_a_missing_consistency_proof_is_refused(history, saved):
    assert refused(history.export(), saved) == (3, "receipt-proof-missing")


@pytest.mark.parametrize("size", [4, SAVED_SIZE])
def test_an_altered_consistency_proof_is_refused(history, size):
    lines = to_lines(history.export(earlier=(size,)))
    for proof in ([], lines[0]["consistency"][0]["proof"][:-1], [b64(bytes(32))] * 4):
        lines[0]["consistency"][0]["proof"] = proof
        assert refused(from_lines(lines), history.checkpoint(size)) == (3, "receipt-history")


def test_a_receipt_of_another_log_is_refused(good, saved):
    other = saved.replace(b"log.pli.example/1", b"log.pli.example/2")
    assert refused(good, other) == (3, "receipt-origin")


def test_a_receipt_whose_last_entry_differs_is_refused(good, saved):
    fields = json.loads(saved)
    fields["last"] = b64(bytes(32))
    assert refused(good, json.dumps(fields).encode()) == (7, "receipt-entry")


@pytest.mark.parametrize(
    "receipt", [b"", b"\xff", b"{", b"{}", b'{"format":"x"}', b"origin\n0\n\n", b"a\n01\nAA==\n\nx\n"]
)
def test_a_malformed_receipt_is_refused(good, receipt):
    assert refused(good, receipt) == (3, "receipt-format")


def test_erased_texts_are_counted_only_when_allowed(history):
    raw = history.export(erased=(2, 5))
    assert refused(raw) == (4, "text-missing")
    assert verify(raw, allow_erased=True).erased == 2


def test_an_entry_that_is_not_an_event_is_refused():
    history = History()
    history.add(CAMILLE, b'{"when":"\\u001b[2J"}')
    assert refused(history.export()) == (4, "text-altered")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\n",
        b"[]\n",
        b"{}\n",
        b"[" * 100_000 + b"\n",
        b'{"format":"pli-log-export/2"}\n',
        b'{"format":"pli-log-export/1","format":"pli-log-export/1"}\n',
    ],
)
def test_what_is_not_an_export_is_refused(raw):
    assert refused(raw) == (1, "format")


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        (0, "entries", -1),
        (0, "entries", True),
        (0, "checkpoint", 5),
        (0, "pseudonym", "zz"),
        (1, "leaf", "AAAA"),
        (1, "leaf", "AB=="),
        (1, "index", "0"),
        (1, "proof", 3),
    ],
)
def test_a_field_of_the_wrong_form_is_refused(good, line, field, value):
    lines = to_lines(good)
    lines[line][field] = value
    assert refused(from_lines(lines)) == (1, "format")


def test_a_copy_cut_within_its_last_line_is_refused(good):
    assert refused(good[:-1]) == (1, "format")


@pytest.mark.parametrize(
    "note", ["", "a\nb\n", "a\x1b\n1\nAA==\n\n\u2014 a AA==\n", "a\n1\nAA==\n\n- a AA==\n"]
)
def test_a_malformed_checkpoint_is_refused(good, note):
    lines = to_lines(good)
    lines[0]["checkpoint"] = note
    assert refused(from_lines(lines)) == (2, "checkpoint-text")


def test_the_pseudonym_of_another_is_refused_without_receipt(good):
    lines = to_lines(good)
    take_over_anothers_leaf(lines)
    assert refused(from_lines(lines)) == (5, "pseudonym")


def test_each_failure_has_words_in_both_languages():
    assert all(len(words) == 2 and all(words) for words in verify_export.FAILURES.values())
    assert {code for _, _, code in MUTATIONS} <= set(verify_export.FAILURES)


def test_a_rechained_line_parses_as_a_leaf(good):
    lines = to_lines(good)
    rechain(lines, 1)
    assert from_lines(lines) == good
    assert format_leaf(parse_leaf(b64decode(lines[1]["leaf"]))) == b64decode(lines[1]["leaf"])
    assert KEYS.publics != FOREIGN_KEYS.publics
