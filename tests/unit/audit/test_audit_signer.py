"""Checkpoints, and the signer that never signs two trees that differ."""

import sqlite3
from base64 import b64encode

import pytest
from unit.audit.audit_history import CAMILLE, FOREIGN_KEYS, KEYS, NOW, ORIGIN, OTHER, History, mixed_history

from mailserver.audit import merkle
from mailserver.audit.checkpoint import (
    Checkpoint,
    NoteSignature,
    SignedCheckpoint,
    format_body,
    format_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
    verify_checkpoint,
)
from mailserver.audit.export import (
    ExportHead,
    format_export,
    format_person_receipt,
    parse_earlier_size,
    parse_person_receipt,
)
from mailserver.audit.sign_request import (
    SignerHead,
    SignRequest,
    format_sign_request,
    format_signer_head,
    parse_sign_request,
    parse_signer_head,
)
from mailserver.audit.signer import LogSigner, create_log_state
from mailserver.model.errors import Conflict, Corrupt, Malformed, NotFound, OverLimit, Unavailable

HEAD = Checkpoint(ORIGIN, 5, b"r" * 32)
LEAVES = mixed_history(20).leaves


def head_of(leaves):
    return Checkpoint(ORIGIN, len(leaves), merkle.Frontier().extend(map(merkle.leaf_hash, leaves)).root())


@pytest.fixture
def signer(tmp_path):
    create_log_state(tmp_path / "log.db", ORIGIN)
    made = LogSigner(tmp_path / "log.db", KEYS, ORIGIN)
    yield made
    made.close()


def test_the_body_is_c2sp_s():
    root = b64encode(b"r" * 32).decode()
    assert format_body(HEAD) == f"{ORIGIN}\n5\n{root}\n".encode()


def test_a_signed_checkpoint_verifies_with_both_signatures():
    raw = sign_checkpoint(HEAD, KEYS)
    assert verify_checkpoint(KEYS.publics, ORIGIN, raw) == HEAD
    assert format_checkpoint(parse_checkpoint(raw)) == raw


def test_a_witness_line_is_kept_and_ignored():
    signed = parse_checkpoint(sign_checkpoint(HEAD, KEYS))
    witness = NoteSignature("witness.example", b"wwww", b"cosignature")
    raw = format_checkpoint(SignedCheckpoint(HEAD, (*signed.signatures, witness)))
    assert verify_checkpoint(KEYS.publics, ORIGIN, raw) == HEAD
    assert parse_checkpoint(raw).signatures[2] == witness


@pytest.mark.parametrize("kept", [(0,), (1,), (0, 0, 1), (0, 1, 1)])
def test_one_signature_or_a_double_one_is_refused(kept):
    signed = parse_checkpoint(sign_checkpoint(HEAD, KEYS))
    raw = format_checkpoint(SignedCheckpoint(HEAD, tuple(signed.signatures[at] for at in kept)))
    with pytest.raises(Corrupt, match="checkpoint-signature-missing"):
        verify_checkpoint(KEYS.publics, ORIGIN, raw)


@pytest.mark.parametrize("at", [0, 1])
def test_either_signature_wrong_is_refused(at):
    signed = parse_checkpoint(sign_checkpoint(HEAD, KEYS))
    lines = list(signed.signatures)
    lines[at] = NoteSignature(ORIGIN, lines[at].key_id, bytes(len(lines[at].signature)))
    with pytest.raises(Corrupt) as caught:
        verify_checkpoint(KEYS.publics, ORIGIN, format_checkpoint(SignedCheckpoint(HEAD, tuple(lines))))
    assert caught.value.code == "checkpoint-signature"


def test_other_keys_and_another_origin_are_refused():
    raw = sign_checkpoint(HEAD, KEYS)
    with pytest.raises(Corrupt, match="checkpoint-signature-missing"):
        verify_checkpoint(FOREIGN_KEYS.publics, ORIGIN, raw)
    with pytest.raises(Corrupt, match="checkpoint-origin"):
        verify_checkpoint(KEYS.publics, "other.example", raw)


ROOT = b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "checkpoint-syntax"),
        (b"\xff", "checkpoint-syntax"),
        (b"x" * 70_000, "checkpoint-length"),
        (f"o\n1\n{ROOT}\n\n".encode(), "checkpoint-syntax"),
        (f"o\n1\n{ROOT}\nextension\n\n— o AAAAAAA=\n".encode(), "checkpoint-syntax"),
        (f"o\n1\n{ROOT}\n\n— o AAAAAAA=".encode(), "checkpoint-syntax"),
        (f"o\n1\n{ROOT}\n\n".encode() + "— o AAAAAAA=\n".encode() * 17, "checkpoint-syntax"),
        (f"o\n01\n{ROOT}\n\n— o AAAAAAA=\n".encode(), "checkpoint-size"),
        (f"o\n+1\n{ROOT}\n\n— o AAAAAAA=\n".encode(), "checkpoint-size"),
        (f"o\n9999999999999999999\n{ROOT}\n\n— o AAAAAAA=\n".encode(), "checkpoint-head"),
        ("o\n1\nAAAA\n\n— o AAAAAAA=\n".encode(), "checkpoint-head"),
        ("o\n1\nAA\n\n— o AAAAAAA=\n".encode(), "checkpoint-base64"),
        ("o\n1\nAB==\n\n— o AAAAAAA=\n".encode(), "checkpoint-base64"),
        (f"o+o\n1\n{ROOT}\n\n— o AAAAAAA=\n".encode(), "checkpoint-origin"),
        (f"o\n1\n{ROOT}\n\n- o AAAAAAA=\n".encode(), "checkpoint-signature"),
        (f"o\n1\n{ROOT}\n\n— o AAAAAA==\n".encode(), "checkpoint-signature"),
    ],
)
def test_a_malformed_note_is_refused(raw, code):
    with pytest.raises(Malformed) as caught:
        parse_checkpoint(raw)
    assert caught.value.code == code


def test_the_signer_computes_the_root_itself(signer):
    raw = signer.sign_leaves(0, LEAVES[:7], NOW)
    assert verify_checkpoint(KEYS.publics, ORIGIN, raw) == head_of(LEAVES[:7])
    raw = signer.sign_leaves(7, LEAVES[7:], NOW)
    assert verify_checkpoint(KEYS.publics, ORIGIN, raw) == head_of(LEAVES)


def test_an_empty_log_has_a_checkpoint(signer):
    head = signer.current()
    assert (head.size, head.tail) == (0, ())
    assert verify_checkpoint(KEYS.publics, ORIGIN, head.checkpoint) == head_of([])
    assert verify_checkpoint(KEYS.publics, ORIGIN, signer.sign_leaves(0, [], NOW)) == head_of([])


def test_state_survives_the_process(tmp_path, signer):
    signer.sign_leaves(0, LEAVES[:7], NOW)
    signer.close()
    again = LogSigner(tmp_path / "log.db", KEYS, ORIGIN)
    assert again.current().size == 7
    assert again.current().tail == tuple(map(merkle.leaf_hash, LEAVES[:7]))
    assert verify_checkpoint(KEYS.publics, ORIGIN, again.sign_leaves(7, LEAVES[7:9], NOW)) == head_of(
        LEAVES[:9]
    )
    again.close()


@pytest.mark.parametrize(("first", "end"), [(5, 9), (5, 12), (7, 9), (5, 7)])
def test_the_same_tail_may_come_again_alone_or_longer(signer, first, end):
    signer.sign_leaves(0, LEAVES[:5], NOW)
    signer.sign_leaves(5, LEAVES[5:9], NOW)
    for _ in range(2):
        raw = signer.sign_leaves(first, LEAVES[first:end], NOW)
        assert verify_checkpoint(KEYS.publics, ORIGIN, raw) == head_of(LEAVES[: max(end, 9)])


@pytest.mark.parametrize(
    ("first", "leaves"),
    [
        (10, LEAVES[9:10]),  # a gap
        (0, LEAVES[:5]),  # older than the last batch
        (5, LEAVES[6:9]),  # other leaves at signed indexes
        (7, LEAVES[8:9]),
        (4, LEAVES[4:9]),
    ],
)
def test_a_fork_is_refused_and_changes_nothing(signer, first, leaves):
    signer.sign_leaves(0, LEAVES[:5], NOW)
    signer.sign_leaves(5, LEAVES[5:9], NOW)
    with pytest.raises(Conflict, match="log-fork"):
        signer.sign_leaves(first, leaves, NOW)
    assert verify_checkpoint(KEYS.publics, ORIGIN, signer.current().checkpoint) == head_of(LEAVES[:9])
    signer.sign_leaves(9, LEAVES[9:], NOW)


def test_the_other_history_of_a_caller_that_lost_its_database_is_refused(signer):
    signer.sign_leaves(0, LEAVES[:9], NOW)
    other = History()
    for _ in range(9):
        other.add(CAMILLE, b"other")
    with pytest.raises(Conflict, match="log-fork"):
        signer.sign_leaves(0, other.leaves, NOW)


@pytest.mark.parametrize(
    "order",
    [[3], [0], [3, 2], [1, 3], [1, 2, 4, 5]],
)
def test_an_account_s_chain_must_follow(signer, order):
    with pytest.raises(Conflict, match="log-sequence"):
        signer.sign_leaves(0, [LEAVES[at] for at in [0, *order]], NOW)
    assert signer.current().size == 0


def test_a_chain_must_follow_across_batches(signer):
    signer.sign_leaves(0, LEAVES[:5], NOW)
    with pytest.raises(Conflict, match="log-sequence"):
        signer.sign_leaves(5, LEAVES[6:], NOW)
    assert OTHER != CAMILLE


def test_a_missing_foreign_or_damaged_state_is_never_a_new_log(tmp_path):
    path = tmp_path / "log.db"
    with pytest.raises(NotFound, match="log-state"):
        LogSigner(path, KEYS, ORIGIN)
    create_log_state(path, ORIGIN)
    with pytest.raises(Conflict, match="log-state"):
        create_log_state(path, ORIGIN)
    with pytest.raises(Conflict, match="log-origin"):
        LogSigner(path, KEYS, "other.example")
    path.write_bytes(b"damaged" * 1000)
    with pytest.raises(Corrupt, match="log-state"):
        LogSigner(path, KEYS, ORIGIN)
    path.write_bytes(b"")
    with pytest.raises(Conflict, match="log-origin"):
        LogSigner(path, KEYS, ORIGIN)


def test_a_state_without_its_row_or_that_cannot_be_opened_is_refused(tmp_path):
    path = tmp_path / "log.db"
    create_log_state(path, ORIGIN)
    with sqlite3.connect(path) as breaker:
        breaker.execute("DELETE FROM tree")
    breaker.close()
    with pytest.raises(Conflict, match="log-origin"):
        LogSigner(path, KEYS, ORIGIN)
    with sqlite3.connect(path) as breaker:
        breaker.execute("ALTER TABLE tree RENAME COLUMN origin TO gone")
    breaker.close()
    with pytest.raises(Unavailable, match="log-state"):
        LogSigner(path, KEYS, ORIGIN)


def test_a_state_that_cannot_be_written_refuses_to_sign(tmp_path, signer):
    signer.sign_leaves(0, LEAVES[:5], NOW)
    with sqlite3.connect(tmp_path / "log.db") as breaker:
        breaker.execute("ALTER TABLE head RENAME TO gone")
    breaker.close()
    with pytest.raises(Unavailable, match="log-state"):
        signer.sign_leaves(5, LEAVES[5:], NOW)
    with sqlite3.connect(tmp_path / "log.db") as breaker:
        breaker.execute("ALTER TABLE gone RENAME TO head")
        breaker.execute("ALTER TABLE tail RENAME TO away")
    breaker.close()
    with pytest.raises(Unavailable, match="log-state"):
        signer.current()


def test_the_state_is_synced_in_full(signer):
    assert signer._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert signer._db.execute("PRAGMA journal_mode").fetchone() == ("truncate",)


def test_the_channel_carries_bytes(signer):
    answer = parse_signer_head(signer.answer(format_sign_request(0, LEAVES[:3]), NOW))
    assert (answer.size, answer.tail_first, len(answer.tail)) == (3, 0, 3)
    assert verify_checkpoint(KEYS.publics, ORIGIN, answer.checkpoint) == head_of(LEAVES[:3])
    asked = parse_signer_head(signer.answer(format_sign_request(0, []), NOW))
    assert (asked.size, asked.tail) == (3, answer.tail)


def test_a_request_and_a_head_survive_their_bytes():
    assert parse_sign_request(format_sign_request(7, LEAVES)) == SignRequest(7, tuple(LEAVES))
    head = SignerHead(9, 7, (b"h" * 32, b"i" * 32), b"note")
    assert parse_signer_head(format_signer_head(head)) == head


@pytest.mark.parametrize(
    "raw", [b"", b"\2" + bytes(12), b"\1" + bytes(11) + b"\1", b"\1" + bytes(13), b"\1" + b"\xff" * 12]
)
def test_a_malformed_request_is_refused(raw):
    with pytest.raises(Malformed, match="sign-request"):
        parse_sign_request(raw)


@pytest.mark.parametrize(
    "raw", [b"", b"\2" + bytes(30), b"\1" + bytes(20), b"\1" + bytes(19) + b"\1x", b"\1" + b"\1" * 30]
)
def test_a_malformed_head_is_refused(raw):
    with pytest.raises(Malformed, match="signer-head"):
        parse_signer_head(raw)


def test_a_request_has_limits():
    with pytest.raises(OverLimit, match="log-batch"):
        format_sign_request(0, [LEAVES[0]] * 1001)
    with pytest.raises(Malformed, match="sign-request"):
        format_sign_request(0, [b"short"])
    with pytest.raises(Malformed, match="sign-request"):
        format_sign_request(2**63, [])


def test_an_export_counts_its_entries():
    history = mixed_history()
    head = ExportHead(CAMILLE, KEYS.publics, history.checkpoint(), 99)
    with pytest.raises(Malformed, match="export-count"):
        list(format_export(head, history.entries[CAMILLE], merkle.reader_over(history.hashes)))
    with pytest.raises(NotFound, match="log-leaf"):
        list(_outside(history))


def _outside(history):
    head = ExportHead(CAMILLE, KEYS.publics, history.checkpoint(3), 9)
    return format_export(head, history.entries[CAMILLE], merkle.reader_over(history.hashes[:3]))


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"format":"pli-log-receipt/1"}'])
def test_a_malformed_person_receipt_is_refused(raw):
    with pytest.raises(Malformed, match="log-receipt"):
        parse_person_receipt(raw)


def test_a_person_receipt_survives_its_bytes_and_no_other():
    raw = mixed_history().receipt(9)
    assert format_person_receipt(parse_person_receipt(raw)) == raw
    for other in (
        raw.strip(),
        raw.replace(b'"entries":6', b'"entries":-6'),
        raw.replace(b"receipt/1", b"receipt/2"),
    ):
        with pytest.raises(Malformed, match="log-receipt"):
            parse_person_receipt(other)


def test_the_size_to_prove_from_is_in_the_receipt_or_in_the_bare_checkpoint():
    history = mixed_history()
    raw = history.receipt(9)
    assert parse_earlier_size(raw) == parse_earlier_size(parse_person_receipt(raw).checkpoint) == 9
    for other in (b"", b"{}", b"a receipt\n", b"\xff", raw.replace(b'"checkpoint":"', b'"checkpoint":"x\\n')):
        with pytest.raises(Malformed, match="log-receipt"):
            parse_earlier_size(other)
