"""The person's copy of the log, made so that anyone can check it offline (L9, L12, L13).

JSON lines, UTF-8. First the header: pseudonym, the log's public keys, a signed checkpoint, the number of entries, and
consistency proofs from earlier sizes (those of the person's receipts). Then one line per entry in chain order: index in
the tree, leaf data, salt, the event's canonical text, inclusion proof. ``verify_export.py`` is the independent reader.
"""

import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailserver.audit.checkpoint import LogPublics, parse_checkpoint
from mailserver.audit.entry import LeafData, format_leaf
from mailserver.audit.merkle import HASH_BYTES, HashReader, consistency_proof, inclusion_proof
from mailserver.model.errors import Malformed
from mailserver.model.ids import ID_BYTES

EXPORT_FORMAT = "pli-log-export/1"
RECEIPT_FORMAT = "pli-log-receipt/1"


@dataclass(frozen=True, slots=True)
class OpenedEntry:
    """An entry as its owner opened it. ``event`` and ``salt`` are both None once the entry was erased."""

    index: int
    leaf: LeafData
    event: bytes | None
    salt: bytes | None


@dataclass(frozen=True, slots=True)
class ExportHead:
    """What the header states. ``earlier_sizes``: tree sizes of the receipts that the person may hold."""

    pseudonym: bytes
    publics: LogPublics
    checkpoint: bytes
    entries: int
    earlier_sizes: tuple[int, ...] = ()


def format_export(head: ExportHead, entries: Iterable[OpenedEntry], read: HashReader) -> Iterator[bytes]:
    """The file, line by line. ``read`` gives the hashes of the tree of ``head.checkpoint``.

    Raises NotFound when an entry or an earlier size is not in that tree, Malformed when ``head.entries`` is wrong.
    """
    size = parse_checkpoint(head.checkpoint).checkpoint.size
    yield _line(
        {
            "format": EXPORT_FORMAT,
            "pseudonym": head.pseudonym.hex(),
            "publics": {"ed25519": _b64(head.publics[0]), "mldsa44": _b64(head.publics[1])},
            "checkpoint": head.checkpoint.decode(),
            "entries": head.entries,
            "consistency": [
                {"size": old, "proof": [_b64(value) for value in consistency_proof(old, size, read)]}
                for old in sorted(set(head.earlier_sizes))
            ],
        }
    )
    count = 0
    for entry in entries:
        count += 1
        yield _line(
            {
                "index": entry.index,
                "leaf": _b64(format_leaf(entry.leaf)),
                "salt": None if entry.salt is None else _b64(entry.salt),
                "text": None if entry.event is None else entry.event.decode(),
                "proof": [_b64(value) for value in inclusion_proof(entry.index, size, read)],
            }
        )
    if count != head.entries:
        raise Malformed("export-count")


@dataclass(frozen=True, slots=True)
class PersonReceipt:
    """What the person keeps outside our database (L9): a checkpoint, and how far their chain went in it."""

    pseudonym: bytes
    entries: int
    last: bytes
    checkpoint: bytes

    def __post_init__(self) -> None:
        if len(self.pseudonym) != ID_BYTES or len(self.last) != HASH_BYTES or self.entries < 0:
            raise Malformed("log-receipt")


def format_person_receipt(receipt: PersonReceipt) -> bytes:
    """One line of JSON; ``verify_export.py --checkpoint`` reads it."""
    return _line(
        {
            "format": RECEIPT_FORMAT,
            "pseudonym": receipt.pseudonym.hex(),
            "entries": receipt.entries,
            "last": _b64(receipt.last),
            "checkpoint": receipt.checkpoint.decode(),
        }
    )


def parse_person_receipt(raw: bytes) -> PersonReceipt:
    """Inverse of ``format_person_receipt``; the checkpoint inside is not verified here. Raises Malformed."""
    try:
        fields = json.loads(raw)
        receipt = PersonReceipt(
            bytes.fromhex(fields["pseudonym"]),
            int(fields["entries"]),
            b64decode(fields["last"], validate=True),
            fields["checkpoint"].encode(),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Base64Error) as error:
        raise Malformed("log-receipt") from error
    if format_person_receipt(receipt) != raw:
        raise Malformed("log-receipt")
    return receipt


def parse_earlier_size(raw: bytes) -> int:
    """Size of the tree that a receipt, or the bare text of a checkpoint, was made of: what the next export proves
    from. Nothing is verified here. Raises Malformed("log-receipt").
    """
    note = parse_person_receipt(raw).checkpoint if raw.startswith(b"{") else raw
    try:
        return parse_checkpoint(note).checkpoint.size
    except Malformed as error:
        raise Malformed("log-receipt") from error


def _line(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _b64(raw: bytes) -> str:
    return b64encode(raw).decode()
