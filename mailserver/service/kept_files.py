"""Large mail on its way out (ADR 0016): files that would make a message too large to travel stay here, sealed under a key
that only the message knows.

The code that opens them is made from the row key and the digest of the message as it was handed in, and is written
nowhere here: a retry, after a crash too, makes the same code and the same message again, and who has not the message
cannot make it. Names, sizes and octets open with the code alone; what the sender's own page shows is sealed to the
sender. Nothing large is held in memory.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256

from mailserver.audit.events import readable
from mailserver.crypto.blob import Encryptor, padme
from mailserver.crypto.ctx import ctx
from mailserver.crypto.hkdf import derive
from mailserver.crypto.seal import read_public_key
from mailserver.crypto.secret import Secret, random_id
from mailserver.crypto.wrap import unwrap, wrap
from mailserver.documents.subject import display_subject
from mailserver.mime.decode import decoder_of
from mailserver.mime.kept_files import Cut, KeptFile, KeptNote, choose_parts, cut_parts, file_name
from mailserver.mime.part import Part
from mailserver.mime.summary import HeaderSummary
from mailserver.model.errors import Malformed, NotFound, OverLimit
from mailserver.model.ids import ID_BYTES, AccountId, BlobId, KeptId
from mailserver.policy.decision import Decision, Reason, refuse
from mailserver.service.intake import READ_BYTES, Intake
from mailserver.service.keys import OpenAccount
from mailserver.service.quotas import Amount, Quotas
from mailserver.service.sealing import pad_summary, unpad_summary
from mailserver.service.summaries import Parsed, parse_intake
from mailserver.store import items
from mailserver.store.blob_folder import Spool
from mailserver.store.database import Connection
from mailserver.store.items import BlobRow
from mailserver.store.kept_rows import KeptRow, delete_kept
from mailserver.store.store import Store

DAY_SECONDS = 86400
_CODE_BYTES = 20
_CODE = re.compile(r"[a-z2-7]{32}")
_SEPARATORS = re.compile(r"[\s\u00a0.\-\u2010-\u2015]+")
_MISREAD = str.maketrans("018", "olb")
"""Digits that no code has, as the letters that they were read from."""


@dataclass(frozen=True, slots=True)
class KeptSettings:
    """``limit_bytes``: the largest message that may be handed in, 0 when nothing is kept; ``whole_bytes``: the largest
    that may travel when its files cannot be taken out; ``url``: where the pages are.
    """

    limit_bytes: int
    threshold_bytes: int
    whole_bytes: int
    days: int
    url: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What the sender's Unit writes of the files that stay here."""

    row: KeptRow
    blob: BlobRow

    def add(self, store: Store, connection: Connection) -> None:
        """Once: a message that is handed in twice at the same time has the same files, and one of them is enough."""
        row, held = self.row, store.kept.find_kept(connection, self.row.kept_id)
        if held is not None and held.expires_at > row.created_at:
            return
        delete_kept(connection, row.account_id, row.kept_id)
        items.add_blob(connection, row.account_id, self.blob)
        store.kept.add_kept(connection, row)


@dataclass(frozen=True, slots=True)
class Travelling:
    """A message in the form that travels, beside the one that was handed in, whose archive is what is filed."""

    intake: Intake
    summary: HeaderSummary
    original: Intake
    original_summary: HeaderSummary
    kept: Kept | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A kept file and where it begins among the octets of its object."""

    file: KeptFile
    start: int


class KeptFiles:
    def __init__(self, store: Store, quotas: Quotas, settings: KeptSettings) -> None:
        self._store = store
        self._quotas = quotas
        self._settings = settings
        self.limit_bytes = settings.limit_bytes

    def choose(self, root: Part, size_bytes: int, most_bytes: int) -> tuple[Part, ...] | Decision:
        """The parts that stay here, none for a message that travels whole; or why it cannot travel.

        ``most_bytes``: what the recipients take, beside the threshold.
        """
        settings = self._settings
        most = min(most_bytes, settings.threshold_bytes, settings.whole_bytes)
        if size_bytes <= most or not self.limit_bytes:
            return ()
        parts = choose_parts(root, size_bytes, most)
        if parts is not None:
            return parts
        return () if size_bytes <= settings.whole_bytes else refuse(Reason.MESSAGE_NOT_SEPARABLE)

    @contextmanager
    def travelling(
        self, account: OpenAccount, intake: Intake, parsed: Parsed, parts: Sequence[Part], now: datetime
    ) -> Iterator[Travelling | Decision]:
        """The message as it travels: itself, or a form of it that lives until the block ends. Raises Unavailable when the
        disk is full.
        """
        if not parts:
            yield Travelling(intake, parsed.summary, intake, parsed.summary)
            return
        try:
            note, kept = self._keep(account, intake, parsed, parts, now)
        except OverLimit:
            yield refuse(Reason.KEPT_WITHOUT_ROOM)
            return
        with closing(Intake(self._store.blobs, intake.size_bytes, intake.digest)) as reduced:
            try:
                _write_reduced(reduced, intake, parts, note)
                summary = parse_intake(reduced).summary
            except BaseException:
                self.discard(kept)
                raise
            yield Travelling(reduced, summary, intake, parsed.summary, kept)

    def discard(self, kept: Kept | None) -> None:
        """The message is refused after all: its files go at once, since no Unit was begun that names them."""
        if kept is not None:
            self._store.blobs.discard(kept.row.blob_id)

    def _keep(
        self, account: OpenAccount, intake: Intake, parsed: Parsed, parts: Sequence[Part], now: datetime
    ) -> tuple[KeptNote, Kept | None]:
        """The files of these parts in one durable object; None when this very message left it here before. Raises
        OverLimit("quota").
        """
        mark = (account.account_id, intake.digest, ",".join(part.path for part in parts))
        kept_id = KeptId(self._store.macs.sign("kept-id", mark)[:16])
        secret = Secret(self._store.macs.sign("kept-code", mark)[:_CODE_BYTES])
        with self._store.database.read() as connection:
            held = self._store.kept.find_kept(connection, kept_id)
        kept = None
        if held is None or held.expires_at <= now.timestamp():
            self._quotas.demand_room(account.account_id, Amount(0, sum(part.size_bytes for part in parts)))
            kept = self._seal(account, (kept_id, secret), intake, parsed, parts, now)
            held = kept.row
        files = tuple(found.file for found in open_contents(held, secret))
        url = page_url(self._settings.url, format_kept_id(kept_id))
        return KeptNote(url, format_code(secret), last_day(held), files), kept

    def _seal(
        self,
        account: OpenAccount,
        key: tuple[KeptId, Secret],
        intake: Intake,
        parsed: Parsed,
        parts: Sequence[Part],
        now: datetime,
    ) -> Kept:
        kept_id, secret = key
        blob_id = BlobId(random_id())
        with closing(self._store.blobs.spool()) as spool:
            encryptor = Encryptor(data_key(secret, kept_id, blob_id), ctx("blob", blob_id))
            files = [_take_part(part, intake, encryptor, spool) for part in parts]
            padded = padme(encryptor.plain_bytes)
            for piece in encryptor.finish_pieces(padded):
                spool.write(piece)
            spool.keep(blob_id)
            blob = BlobRow(blob_id, spool.stored_bytes, spool.digest, None)
        at = int(now.timestamp())
        ends_at = (at // DAY_SECONDS + self._settings.days + 1) * DAY_SECONDS
        account_id = account.account_id
        contents = wrap(
            derive(secret, "kept-contents"),
            pad_summary(_format_files(files)),
            contents_context(account_id, kept_id, blob_id),
        )
        record = _seal_record(account, kept_id, parsed, files)
        row = KeptRow(account_id, kept_id, blob_id, at, ends_at, padded, contents, record)
        return Kept(row, blob)


def _take_part(part: Part, intake: Intake, encryptor: Encryptor, spool: Spool) -> KeptFile:
    """One part's decoded octets into the object, as they come."""
    decoder, digest, size = decoder_of(part.content.encoding), sha256(), 0

    def take(plain: bytes) -> None:
        nonlocal size
        digest.update(plain)
        size += len(plain)
        spool.write(encryptor.update(plain))

    for start in range(part.body_start, part.body_end, READ_BYTES):
        take(decoder.update(intake.read(start, min(start + READ_BYTES, part.body_end))))
    take(decoder.finish())
    return KeptFile(readable(file_name(part)) or "fichier", part.content.content_type, size, digest.digest())


def _write_reduced(reduced: Intake, intake: Intake, parts: Sequence[Part], note: KeptNote) -> None:
    """The message with its parts cut; every other octet as it came."""
    trace = intake.trace_bytes
    heads = [intake.read(max(trace, part.header_start), part.body_start) for part in parts]
    reduced.write_trace(intake.read(0, trace))
    at = trace
    for cut in (*cut_parts(parts, heads, note), Cut(intake.size_bytes, intake.size_bytes, b"")):
        for start in range(at, cut.start, READ_BYTES):
            reduced.write(intake.read(start, min(start + READ_BYTES, cut.start)))
        reduced.write(cut.octets)
        at = cut.stop
    reduced.finish()


def _seal_record(account: OpenAccount, kept_id: KeptId, parsed: Parsed, files: Sequence[KeptFile]) -> bytes:
    """What the sender sees of it later."""
    subject = readable(display_subject(parsed.summary.subject), 200)
    said = {"subject": subject, "files": [[each.filename, each.size_bytes] for each in files]}
    plain = pad_summary(json.dumps(said, ensure_ascii=False).encode())
    public = read_public_key(account.account.space_public)
    return public.seal(plain, record_context(account.account_id, kept_id))


def _format_files(files: Sequence[KeptFile]) -> bytes:
    listed = [[each.filename, each.content_type, each.size_bytes, each.digest.hex()] for each in files]
    return json.dumps(listed, ensure_ascii=False).encode()


def open_contents(row: KeptRow, secret: Secret) -> tuple[Found, ...]:
    """What a code opens of a row. Raises Corrupt: it is not this row's code."""
    context = contents_context(row.account_id, row.kept_id, row.blob_id)
    listed = json.loads(unpad_summary(unwrap(derive(secret, "kept-contents"), row.contents, context)))
    found, start = [], 0
    for name, kind, size, digest in listed:
        found.append(Found(KeptFile(name, kind, size, bytes.fromhex(digest)), start))
        start += size
    return tuple(found)


def last_day(row: KeptRow) -> date:
    """The last whole day (UTC) on which the files are here."""
    return datetime.fromtimestamp(row.expires_at - 1, UTC).date()


def data_key(secret: Secret, kept_id: KeptId, blob_id: BlobId) -> Secret:
    return derive(secret, "kept-data", kept_id, blob_id)


def contents_context(account_id: AccountId, kept_id: KeptId, blob_id: BlobId) -> bytes:
    return ctx("kept-contents", account_id, kept_id, blob_id)


def record_context(account_id: AccountId, kept_id: KeptId) -> bytes:
    return ctx("kept", account_id, kept_id)


def page_url(base: str, ref: str) -> str:
    """The public page of kept files: the address names them and opens nothing (S11)."""
    return f"{base.rstrip('/')}/kept/{ref}"


def format_kept_id(kept_id: KeptId) -> str:
    return base64.urlsafe_b64encode(kept_id).rstrip(b"=").decode()


def parse_kept_id(ref: str) -> KeptId:
    """Raises NotFound("kept-files") for what we did not write."""
    try:
        raw = base64.b64decode(ref + "=" * (-len(ref) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise NotFound("kept-files") from None
    if len(raw) != ID_BYTES:
        raise NotFound("kept-files")
    return KeptId(raw)


def format_code(secret: Secret) -> str:
    """160 bits as eight groups of four base32 characters (RFC 4648 §6), lower case."""
    text = base64.b32encode(secret.reveal()).decode().lower()
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def parse_code(text: str) -> Secret:
    """What a person typed or pasted, whatever its case, spaces and hyphens. Raises Malformed("kept-code")."""
    plain = _SEPARATORS.sub("", text[:200]).lower().translate(_MISREAD)
    if not _CODE.fullmatch(plain):
        raise Malformed("kept-code")
    return Secret(base64.b32decode(plain.upper()))
