"""Check a copy of a Pli access log without Pli and without a network.

Run: ``python verify_export.py EXPORT [--checkpoint SAVED] [--lang fr|en] [--allow-erased]``. Exit 0 when every step
holds, 1 otherwise. Needs Python 3.11 and ``cryptography`` (50 or later); imports nothing else, on purpose: this one
file can be read whole. SAVED is a receipt kept from an earlier day, or the bare text of a checkpoint.

Steps: 1 file, 2 checkpoint, 3 receipt, 4 texts, 5 chain, 6 tree, 7 completeness.
"""

import argparse
import hashlib
import json
import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

MLDSA44_TYPE = b"\xffpli/mldsa44/1"
LANGUAGES = ("fr", "en")
COLON = (" : ", ": ")
STEPS = {
    1: ("Lecture du fichier", "Reading the file"),
    2: ("Signatures du point de contrôle", "Signatures of the checkpoint"),
    3: ("Comparaison avec le reçu conservé", "Comparison with the saved receipt"),
    4: ("Texte de chaque entrée", "Text of each entry"),
    5: ("Chaîne des entrées", "Chain of the entries"),
    6: ("Présence de chaque entrée dans l’arbre signé", "Presence of each entry in the signed tree"),
    7: ("Aucune entrée ne manque à la fin", "No entry is missing at the end"),
}
FAILURES_TEXT = """
unreadable | le fichier ne peut pas être lu | the file cannot be read
format | le fichier n’a pas le format attendu | the file does not have the expected format
checkpoint-text | le point de contrôle est mal formé | the checkpoint is malformed
signature-missing | il manque l’une des deux signatures du point de contrôle | one of the two signatures of the checkpoint is missing
signature | une signature du point de contrôle est fausse | a signature of the checkpoint is wrong
receipt-format | le reçu conservé est mal formé | the saved receipt is malformed
receipt-person | le reçu conservé est celui d’un autre compte | the saved receipt is that of another account
receipt-origin | le reçu vient d’un autre journal | the receipt comes from another log
receipt-signature | le reçu n’est pas signé par les clés de cette copie | the receipt is not signed by the keys of this copy
receipt-newer | cette copie est plus ancienne que le reçu | this copy is older than the receipt
receipt-proof-missing | la copie n’a pas la preuve pour ce reçu : demandez-en une nouvelle avec ce reçu | the copy has no proof for this receipt: ask for a new one with this receipt
receipt-history | l’historique signé a été réécrit depuis ce reçu | the signed history was rewritten since this receipt
receipt-tail | des entrées que le reçu compte ne sont plus là | entries that the receipt counts are gone
receipt-entry | la dernière entrée que le reçu nomme a changé | the last entry that the receipt names has changed
text-altered | le texte ne correspond pas à son empreinte | the text does not match its commitment
text-missing | le texte a été effacé | the text was erased
pseudonym | l’entrée est celle d’un autre compte | the entry is that of another account
sequence | le numéro ne suit pas : entrée ôtée, ajoutée, répétée ou déplacée | the number does not follow: an entry was removed, added, repeated or moved
previous | l’entrée ne suit pas la précédente | the entry does not follow the one before
order | la place dans l’arbre recule | the place in the tree goes back
inclusion | l’entrée n’est pas dans l’arbre signé | the entry is not in the signed tree
count | le nombre d’entrées n’est pas celui que la copie annonce | the number of entries is not the one that the copy states
"""
FAILURES = {code: words for code, *words in (line.split(" | ") for line in FAILURES_TEXT.strip().split("\n"))}


class CheckFailed(Exception):
    """``step`` and ``code`` say which check failed; ``entry`` is its number from 1, or 0."""

    def __init__(self, step: int, code: str, entry: int = 0) -> None:
        super().__init__(code)
        self.step, self.code, self.entry = step, code, entry


@dataclass(frozen=True)
class Note:
    origin: str
    size: int
    root: bytes
    body: bytes
    lines: list[tuple[str, bytes]]


@dataclass(frozen=True)
class Entry:
    index: int
    leaf: bytes
    salt: bytes | None
    text: bytes | None
    proof: list[bytes]
    leaf_hash: bytes


@dataclass(frozen=True)
class Export:
    pseudonym: bytes
    ed25519: bytes
    mldsa44: bytes
    checkpoint: str
    stated: int
    proofs: dict[int, list[bytes]]
    entries: list[Entry]


@dataclass(frozen=True)
class Report:
    """What was shown to hold. ``period``: first and last UTC time as the entries say them, or empty texts.

    ``proven``: how many entries the saved receipt counts; that none is missing after them is not shown.
    """

    entries: int
    erased: int
    period: tuple[str, str]
    log: tuple[str, int]
    fingerprint: str
    proven: int
    has_receipt: bool


def verify(raw: bytes, saved: bytes | None = None, *, allow_erased: bool = False) -> Report:
    """All seven steps. Raises CheckFailed at the first that does not hold."""
    export = _read_export(raw)
    note = _parse_note(export.checkpoint, 2, "checkpoint-text")
    _check_signatures(export, note, 2, "signature")
    receipt = _check_receipt(export, note, saved)
    times = [_check_text(entry, number, allow_erased) for number, entry in enumerate(export.entries, 1)]
    _check_chain(export)
    for number, entry in enumerate(export.entries, 1):
        if not _is_included(entry, note):
            raise CheckFailed(6, "inclusion", number)
    _check_complete(export, receipt)
    known = sorted(filter(None, times))
    fingerprint = hashlib.sha256(export.ed25519 + export.mldsa44).hexdigest()
    log, proven = (note.origin, note.size), receipt.entries if receipt else 0
    period = (known[0], known[-1]) if known else ("", "")
    return Report(len(times), times.count(""), period, log, fingerprint, proven, receipt is not None)


def _expect(holds: bool) -> None:
    if not holds:
        raise ValueError("format")


def _b64(text: str) -> bytes:
    raw = b64decode(text, validate=True)
    _expect(b64encode(raw).decode() == text)
    return raw


def _hashes(values: Iterable[str]) -> list[bytes]:
    return [_b64(value) for value in values]


def _no_double(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    _expect(len(fields) == len(pairs))
    return fields


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text")
    return value


def _integer(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("integer")
    return value


def _read_export(raw: bytes) -> Export:
    try:
        *lines, end = raw.decode().split("\n")
        head, *rest = [json.loads(line, object_pairs_hook=_no_double) for line in lines]
        _expect(head["format"] == "pli-log-export/1" and not end)
        return Export(
            bytes.fromhex(head["pseudonym"]),
            _b64(head["publics"]["ed25519"]),
            _b64(head["publics"]["mldsa44"]),
            _text(head["checkpoint"]),
            _integer(head["entries"]),
            {_integer(item["size"]): _hashes(item["proof"]) for item in head["consistency"]},
            [_read_entry(fields) for fields in rest],
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckFailed(1, "format") from error


def _read_entry(fields: dict[str, str]) -> Entry:
    leaf = _b64(fields["leaf"])
    _expect(len(leaf) == 89)
    salt, text = fields["salt"], fields["text"]
    return Entry(
        _integer(fields["index"]),
        leaf,
        None if salt is None else _b64(salt),
        None if text is None else text.encode(),
        _hashes(fields["proof"]),
        hashlib.sha256(b"\x00" + leaf).digest(),
    )


def _parse_note(text: str, step: int, code: str) -> Note:
    """Three lines, an empty one, then ``— name base64(key id ‖ signature)`` lines."""
    body, blank, notes = text.partition("\n\n")
    lines = body.split("\n")
    try:
        _expect(bool(blank) and len(lines) == 3 and notes.endswith("\n") and lines[0].isprintable())
        _expect(re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1], re.ASCII) is not None)
        signatures = []
        for line in notes[:-1].split("\n"):
            dash, name, value = line.split(" ")
            _expect(dash == "\u2014")
            signatures.append((name, _b64(value)))
        return Note(lines[0], int(lines[1]), _b64(lines[2]), f"{body}\n".encode(), signatures)
    except ValueError as error:
        raise CheckFailed(step, code) from error


def _check_signatures(export: Export, note: Note, step: int, code: str) -> None:
    """Both signatures, each present once, over the whole text."""
    found = []
    for kind, public in ((b"\x01", export.ed25519), (MLDSA44_TYPE, export.mldsa44)):
        key_id = hashlib.sha256(note.origin.encode() + b"\n" + kind + public).digest()[:4]
        mine = [raw[4:] for name, raw in note.lines if name == note.origin and raw[:4] == key_id]
        if len(mine) != 1:
            raise CheckFailed(step, "signature-missing" if code == "signature" else code)
        found.append(mine[0])
    try:
        Ed25519PublicKey.from_public_bytes(export.ed25519).verify(found[0], note.body)
        MLDSA44PublicKey.from_public_bytes(export.mldsa44).verify(found[1], note.body)
    except (InvalidSignature, ValueError) as error:
        raise CheckFailed(step, code) from error


@dataclass(frozen=True)
class Receipt:
    pseudonym: bytes | None
    entries: int
    last: bytes
    checkpoint: str


def _read_receipt(saved: bytes) -> Receipt:
    try:
        text = saved.decode()
        if not text.startswith("{"):
            return Receipt(None, 0, b"", text)
        fields = json.loads(text, object_pairs_hook=_no_double)
        _expect(fields["format"] == "pli-log-receipt/1")
        pseudonym, last = bytes.fromhex(fields["pseudonym"]), _b64(fields["last"])
        return Receipt(pseudonym, _integer(fields["entries"]), last, _text(fields["checkpoint"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckFailed(3, "receipt-format") from error


def _check_receipt(export: Export, note: Note, saved: bytes | None) -> Receipt | None:
    """The saved checkpoint is one of this log's, and today's tree only adds to it."""
    if saved is None:
        return None
    receipt = _read_receipt(saved)
    old = _parse_note(receipt.checkpoint, 3, "receipt-format")
    if receipt.pseudonym not in {None, export.pseudonym}:
        raise CheckFailed(3, "receipt-person")
    if old.origin != note.origin:
        raise CheckFailed(3, "receipt-origin")
    _check_signatures(export, old, 3, "receipt-signature")
    if old.size > note.size:
        raise CheckFailed(3, "receipt-newer")
    trivial = old.size in {0, note.size}
    proof = [] if trivial else export.proofs.get(old.size)
    if proof is None:
        raise CheckFailed(3, "receipt-proof-missing")
    if not _is_consistent(old, note, proof):
        raise CheckFailed(3, "receipt-history")
    return receipt


def _check_text(entry: Entry, number: int, allow_erased: bool) -> str:
    """The time that the entry states, or nothing when its text was erased."""
    if entry.salt is None and entry.text is None and allow_erased:
        return ""
    if entry.salt is None or entry.text is None:
        raise CheckFailed(4, "text-missing", number)
    commitment = hashlib.sha256(b"pli/entry/1" + entry.salt + entry.text).digest()
    if len(entry.salt) != 32 or commitment != entry.leaf[57:]:
        raise CheckFailed(4, "text-altered", number)
    try:
        when = _text(json.loads(entry.text, object_pairs_hook=_no_double)["when"])
        _expect(re.fullmatch(r"[0-9]{4}-[0-9-]{5}T[0-9:.]{15}Z", when) is not None)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckFailed(4, "text-altered", number) from error
    return when


def _check_chain(export: Export) -> None:
    previous, place = bytes(32), -1
    for number, entry in enumerate(export.entries, 1):
        if entry.leaf[1:17] != export.pseudonym:
            raise CheckFailed(5, "pseudonym", number)
        if int.from_bytes(entry.leaf[17:25], "big") != number - 1:
            raise CheckFailed(5, "sequence", number)
        if entry.leaf[25:57] != previous:
            raise CheckFailed(5, "previous", number)
        if entry.index <= place:
            raise CheckFailed(5, "order", number)
        previous, place = entry.leaf_hash, entry.index


def _check_complete(export: Export, receipt: Receipt | None) -> None:
    if len(export.entries) != export.stated:
        raise CheckFailed(7, "count")
    if receipt and receipt.entries > export.stated:
        raise CheckFailed(7, "receipt-tail")
    if receipt and receipt.entries and export.entries[receipt.entries - 1].leaf_hash != receipt.last:
        raise CheckFailed(7, "receipt-entry", receipt.entries)


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _climb(place: int, last: int, start: bytes, proof: list[bytes]) -> tuple[bytes, bytes, int]:
    """RFC 9162 §2.1.3.2 and §2.1.4.2: the root of the old tree, of the new one, and what is left to climb."""
    old = new = start
    for sibling in proof:
        if last == 0 or len(sibling) != 32:
            return b"", b"", -1
        if place & 1 or place == last:
            old, new = _node(sibling, old), _node(sibling, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = _node(new, sibling)
        place, last = place >> 1, last >> 1
    return old, new, last


def _is_included(entry: Entry, note: Note) -> bool:
    _, root, rest = _climb(entry.index, note.size - 1, entry.leaf_hash, entry.proof)
    return entry.index < note.size and rest == 0 and root == note.root


def _is_consistent(old: Note, new: Note, proof: list[bytes]) -> bool:
    if old.size in {0, new.size}:
        return old.root == (new.root if old.size else hashlib.sha256().digest())
    # an old tree of 2**n leaves is the first subtree itself; its root is not repeated in the proof
    path = [old.root, *proof] if old.size.bit_count() == 1 else proof
    if not path:
        return False
    place, last = old.size - 1, new.size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old_root, new_root, left = _climb(place, last, path[0], path[1:])
    return left == 0 and old_root == old.root and new_root == new.root


REPORT_TEXT = """
Copie intacte : {0.entries} entrées, du {0.period[0]} au {0.period[1]} (UTC). | Intact copy: {0.entries} entries, from {0.period[0]} to {0.period[1]} (UTC).
Textes effacés : {0.erased}. | Erased texts: {0.erased}.
Journal : {0.log[0]}, {0.log[1]} feuilles. Empreinte de ses clés : {0.fingerprint}. | Log: {0.log[0]}, {0.log[1]} leaves. Fingerprint of its keys: {0.fingerprint}.
Entrées couvertes par un reçu : {0.proven} ; rien ne prouve que toutes les suivantes soient là. | Entries covered by a receipt: {0.proven}; nothing proves that all later ones are here.
"""


def _print_report(report: Report, at: int) -> None:
    skipped = ("non faite, sans reçu", "not done, no receipt")[at]
    for step, words in STEPS.items():
        outcome = "OK" if report.has_receipt or step not in {3, 7} else skipped
        print(f"{step}. {words[at]}{COLON[at]}{outcome}")
    for line in REPORT_TEXT.strip().split("\n"):
        print(line.split(" | ")[at].format(report))


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 when everything holds, 1 otherwise."""
    parser = argparse.ArgumentParser(description="Vérifier une copie du journal / verify a copy of the log")
    parser.add_argument("export", type=Path)
    parser.add_argument("--checkpoint", type=Path, metavar="SAVED")
    parser.add_argument("--lang", choices=LANGUAGES, default=LANGUAGES[0])
    parser.add_argument("--allow-erased", action="store_true")
    options = parser.parse_args(arguments)
    at = LANGUAGES.index(options.lang)
    try:
        saved = options.checkpoint.read_bytes() if options.checkpoint else None
        report = verify(options.export.read_bytes(), saved, allow_erased=options.allow_erased)
    except OSError:
        failure = CheckFailed(1, "unreadable")
    except CheckFailed as error:
        failure = error
    else:
        _print_report(report, at)
        return 0
    place = (f", entrée {failure.entry}", f", entry {failure.entry}")[at] if failure.entry else ""
    title = (f"ÉCHEC à l’étape {failure.step}", f"FAILED at step {failure.step}")[at]
    print(f"{title} ({STEPS[failure.step][at]}{place}){COLON[at]}{FAILURES[failure.code][at]}.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
