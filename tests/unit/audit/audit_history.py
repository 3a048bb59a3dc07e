"""A small log of two accounts, built through the public functions, for the tests of this folder."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mailserver.audit import merkle
from mailserver.audit.checkpoint import Checkpoint, sign_checkpoint
from mailserver.audit.entry import AccountHead, commitment, format_leaf, next_leaf
from mailserver.audit.events import (
    Actor,
    ActorKind,
    AuditEvent,
    AuditObject,
    EventKind,
    ObjectKind,
    Origin,
    canonical_bytes,
)
from mailserver.audit.export import (
    ExportHead,
    OpenedEntry,
    PersonReceipt,
    format_export,
    format_person_receipt,
)
from mailserver.crypto.log_keys import LogSigningKeys
from mailserver.crypto.secret import Secret

ORIGIN = "log.pli.example/1"
NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
CAMILLE, OTHER = b"C" * 16, b"O" * 16
KEYS = LogSigningKeys(Secret(b"\x01" * 32), Secret(b"\x02" * 32))
FOREIGN_KEYS = LogSigningKeys(Secret(b"\x03" * 32), Secret(b"\x04" * 32))


def event(number=0, title="Bilan sanguin"):
    return AuditEvent(
        EventKind.DOCUMENT_OPENED,
        NOW + timedelta(days=number),
        Actor(ActorKind.PROFESSIONAL, "Dr Alix Demo", "alix@med.example", "médecin", "Cabinet des Lilas"),
        AuditObject(ObjectKind.DOCUMENT, title),
        Origin("192.0.2.0/24", "Courriel 1.0"),
    )


class History:
    def __init__(self, keys=KEYS):
        self.keys = keys
        self.leaves = []
        self.heads = {}
        self.entries = {}

    def add(self, pseudonym, raw=None, salt=None):
        index = len(self.leaves)
        raw = canonical_bytes(event(index)) if raw is None else raw
        salt = salt or index.to_bytes(32, "big")
        head = self.heads.get(pseudonym, AccountHead(pseudonym))
        leaf, self.heads[pseudonym] = next_leaf(head, commitment(salt, raw))
        self.leaves.append(format_leaf(leaf))
        self.entries.setdefault(pseudonym, []).append(OpenedEntry(index, leaf, raw, salt))

    @property
    def hashes(self):
        return [merkle.leaf_hash(leaf) for leaf in self.leaves]

    def checkpoint(self, size=None):
        hashes = self.hashes[:size]
        return sign_checkpoint(
            Checkpoint(ORIGIN, len(hashes), merkle.Frontier().extend(hashes).root()), self.keys
        )

    def export(self, pseudonym=CAMILLE, earlier=(), size=None, erased=()):
        size = len(self.leaves) if size is None else size
        entries = [entry for entry in self.entries[pseudonym] if entry.index < size]
        entries = [
            replace(entry, event=None, salt=None) if number in erased else entry
            for number, entry in enumerate(entries)
        ]
        head = ExportHead(pseudonym, self.keys.publics, self.checkpoint(size), len(entries), tuple(earlier))
        return b"".join(format_export(head, entries, merkle.reader_over(self.hashes[:size])))

    def receipt(self, size, pseudonym=CAMILLE):
        entries = [entry for entry in self.entries[pseudonym] if entry.index < size]
        last = entries[-1].leaf.leaf_hash() if entries else bytes(32)
        return format_person_receipt(PersonReceipt(pseudonym, len(entries), last, self.checkpoint(size)))


def mixed_history(count=13, keys=KEYS):
    history = History(keys)
    for number in range(count):
        history.add(OTHER if number % 3 == 1 else CAMILLE)
    return history


def to_lines(raw):
    return [json.loads(line) for line in raw.decode().splitlines()]


def from_lines(lines):
    return b"".join(
        json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for line in lines
    )
