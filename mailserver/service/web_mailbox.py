"""Mail as the web pages read it: a page of lines, one message with its parts, its attachments.

A message is named by an opaque word that holds no person and no address. Every body read has the day's permit, so
the reading is in the log before the first byte leaves (L1, L4).
"""

import base64
import binascii
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mailserver.audit.events import Origin, readable
from mailserver.crypto.ctx import ctx
from mailserver.documents.reasons import EXPLANATIONS, Explanation, SetAsideReason
from mailserver.documents.subject import display_subject
from mailserver.mime.decode import decode_text, decoder_of
from mailserver.mime.headers import HeaderBlock
from mailserver.mime.kept_files import NOTE_NAME, KeptNote, parse_note
from mailserver.mime.summary import Attachment, DisplayAddress, HeaderSummary, PartRow, show_addresses
from mailserver.mime.summary_wire import parse_summary
from mailserver.mime.trace import TRACE_BYTES, find_scanned
from mailserver.model.account import Flag, Role
from mailserver.model.errors import Corrupt, Malformed, NotFound
from mailserver.model.ids import ID_BYTES, MailboxId
from mailserver.service.header_facts import HeaderFacts, read_header_facts
from mailserver.service.keys import OpenAccount
from mailserver.service.mail_permit import MailPermits
from mailserver.service.mailboxes import Mailboxes
from mailserver.service.messages import MessageReader, Messages, OpenedItem
from mailserver.service.shown_names import plain_person
from mailserver.store.item_changes import FlagChange
from mailserver.store.items import uid_ranges
from mailserver.store.store import Store

PAGE_LINES = 20
TEXT_BYTES = 512 * 1024
"""Most octets of a body that a page shows; the rest is downloaded."""
_READ_BYTES = 64 * 1024
_ITEM_MARK_BYTES = 8


@dataclass(frozen=True, slots=True)
class MessageLine:
    """One line of a list. ``people`` are the senders, in Sent the recipients."""

    ref: str
    people: tuple[DisplayAddress, ...]
    subject: str
    received_at: datetime
    attachments: int
    flags: Flag

    @property
    def is_unread(self) -> bool:
        return not self.flags & Flag.SEEN

    @property
    def is_set_aside(self) -> bool:
        return bool(self.flags & Flag.SET_ASIDE)


@dataclass(frozen=True, slots=True)
class MailPage:
    """Newest first. ``before`` continues the list; ``damaged`` lines could not be opened (S12)."""

    lines: tuple[MessageLine, ...]
    unread: int
    before: int | None
    damaged: int


class OpenMessage:
    """One message, its reading logged. Octets are opened as they are asked for."""

    def __init__(
        self, line: MessageLine, summary: HeaderSummary, item: OpenedItem, reader: MessageReader
    ) -> None:
        self.line = line
        self.summary = summary
        self.item = item
        self._reader = reader
        self._facts: HeaderFacts | None = None

    def __repr__(self) -> str:
        return "OpenMessage(…)"

    def facts(self) -> HeaderFacts:
        if self._facts is None:
            self._facts = read_header_facts(HeaderBlock(self._head()))
        return self._facts

    def find_audience(self) -> tuple[DisplayAddress, ...]:
        """To and Cc: the first of each, as many as a summary shows."""
        block = HeaderBlock(self._head())
        shown = [show_addresses(block.find_all(name))[0] for name in (b"to", b"cc")]
        return tuple(plain_person(each) for people in shown for each in people)

    def _head(self) -> bytes:
        return self._reader.read(0, self.summary.header_bytes)

    def find_scanned(self) -> datetime | None:
        """When our antivirus let it pass; None when it did not see it."""
        return find_scanned(self._reader.read(0, min(TRACE_BYTES, self.summary.header_bytes)))

    def find_text(self) -> tuple[str, bool] | None:
        """The plain text and whether all of it is here; None when the message has none."""
        return self._find("text/plain")

    def find_html(self) -> tuple[str, bool] | None:
        """The HTML as its author wrote it: for the cleaner, never for a page."""
        return self._find("text/html")

    def _find(self, content_type: str) -> tuple[str, bool] | None:
        for row in _body_rows(self.summary):
            if row.content_type == content_type:
                stop = min(row.body_end, row.body_start + TEXT_BYTES)
                octets = b"".join(self._decoded(row, stop))
                return decode_text(octets, row.charset), stop == row.body_end
        return None

    def find_note(self) -> tuple[int, KeptNote] | None:
        """Where the note of files that stay with the sender's operator stands among the attachments, and what it says."""
        for rank, each in enumerate(self.summary.attachments):
            row = self.summary.parts[each.index]
            if row.filename != NOTE_NAME or row.content_type != "text/plain":
                continue
            note = parse_note(self._reader.read(row.header_start, row.body_start))
            if note is not None:
                return rank, note
        return None

    def open_attachment(self, rank: int) -> tuple[Attachment, Iterator[bytes]]:
        """An attachment and its octets in pieces. Raises NotFound("attachment")."""
        if not 0 <= rank < len(self.summary.attachments):
            raise NotFound("attachment")
        attachment = self.summary.attachments[rank]
        row = self.summary.parts[attachment.index]
        return attachment, self._decoded(row, row.body_end)

    def _decoded(self, row: PartRow, stop: int) -> Iterator[bytes]:
        decoder = decoder_of(row.encoding)
        for start in range(row.body_start, stop, _READ_BYTES):
            yield decoder.update(self._reader.read(start, min(start + _READ_BYTES, stop)))
        yield decoder.finish()


class WebMailbox:
    def __init__(self, store: Store, mailboxes: Mailboxes, messages: Messages, permits: MailPermits) -> None:
        self._store = store
        self._mailboxes = mailboxes
        self._messages = messages
        self._permits = permits

    def list_page(self, account: OpenAccount, role: Role, before: int | None = None) -> MailPage:
        """The newest lines of a mailbox, or those before a UID."""
        info = self._mailboxes.load_by_role(account, role)
        rows = self._messages.select(account, info.mailbox_id, claims_recent=False).rows
        uids = [uid for uid, _flags, _modseq in rows if before is None or uid < before]
        shown = uids[-PAGE_LINES:]
        opened = self._open_page(account, info.mailbox_id, shown)
        lines = []
        for item in reversed(opened):
            try:
                lines.append(_line(item, parse_summary(item.summary), role))
            except Malformed:
                continue
        more = shown[0] if len(uids) > len(shown) else None
        unread = sum(not flags & Flag.SEEN for _uid, flags, _modseq in rows)
        return MailPage(tuple(lines), unread, more, len(shown) - len(lines))

    def _open_page(
        self, account: OpenAccount, mailbox_id: MailboxId, uids: Sequence[int]
    ) -> list[OpenedItem]:
        if not uids:
            return []
        try:
            return self._messages.page(account, mailbox_id, uid_ranges(uids))
        except Corrupt:
            pass
        opened: list[OpenedItem] = []
        for uid in uids:  # one damaged message must not hide the others
            try:
                opened += self._messages.page(account, mailbox_id, [(uid, uid)])
            except Corrupt:
                continue
        return opened

    def open_message(self, account: OpenAccount, ref: str, origin: Origin, now: datetime) -> OpenMessage:
        """One message, marked as read. Raises NotFound("message"), Corrupt, Unavailable when the reading cannot
        be logged.
        """
        mailbox_id, uid, mark = _parse_ref(ref)
        found = self._messages.page(account, mailbox_id, [(uid, uid)])
        if not found or found[0].row.item_id[:_ITEM_MARK_BYTES] != mark:
            raise NotFound("message")
        item = found[0]
        permit = self._permits.permit(account, origin, now)
        summary = parse_summary(item.summary)
        reader = self._messages.reader(account, item, summary.size_bytes, permit)
        if not item.row.flags & Flag.SEEN:
            self.mark(account, item, Flag.SEEN)
        sent = self._mailboxes.load_by_role(account, Role.SENT)
        role = Role.SENT if mailbox_id == sent.mailbox_id else Role.INBOX
        return OpenMessage(_line(item, summary, role), summary, item, reader)

    def is_sent(self, account: OpenAccount, message: OpenMessage) -> bool:
        sent = self._mailboxes.load_by_role(account, Role.SENT)
        return message.item.place.mailbox_id == sent.mailbox_id

    def mark(self, account: OpenAccount, item: OpenedItem, flag: Flag) -> None:
        uid = item.row.uid
        self._messages.mark_flags(account, item.place.mailbox_id, [(uid, uid)], (FlagChange.ADD, int(flag)))

    def find_set_aside(self, account: OpenAccount, message_id: str) -> Explanation | None:
        """Why a message's archive was not filed, in words; None when no case is known."""
        with self._store.database.read() as connection:
            rows = self._store.space.list_set_aside(connection, account.account_id)
        pair = account.space_root().pair(account.account.epoch)
        for row in reversed(rows):
            plain = pair.open(row.record, ctx("set-aside", account.account_id, row.record_id))
            fields = json.loads(plain)
            if fields["message_id"] == message_id:
                return EXPLANATIONS[SetAsideReason(fields["reason"])]
        return None


def _line(item: OpenedItem, summary: HeaderSummary, role: Role) -> MessageLine:
    people = summary.recipients if role is Role.SENT else summary.senders
    return MessageLine(
        _format_ref(item),
        tuple(map(plain_person, people)),
        readable(display_subject(summary.subject)),
        datetime.fromtimestamp(item.row.received_at, UTC),
        len(summary.attachments),
        Flag(item.row.flags & sum(Flag)),
    )


def _body_rows(summary: HeaderSummary) -> Iterator[PartRow]:
    """Leaves that are the message's own text: no attachment, nothing inside a forwarded message."""
    files = [summary.parts[each.index] for each in summary.attachments]
    for row in summary.parts:
        if row.content_type.startswith("multipart/") or row in files:
            continue
        if any(file.header_start <= row.header_start < file.body_end for file in files):
            continue
        yield row


def _format_ref(item: OpenedItem) -> str:
    mark = item.row.item_id[:_ITEM_MARK_BYTES]
    raw = item.place.mailbox_id + item.row.uid.to_bytes(4, "big") + mark
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _parse_ref(ref: str) -> tuple[MailboxId, int, bytes]:
    try:
        raw = base64.b64decode(ref + "=" * (-len(ref) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise NotFound("message") from None
    if len(raw) != ID_BYTES + 4 + _ITEM_MARK_BYTES:
        raise NotFound("message")
    uid = int.from_bytes(raw[ID_BYTES : ID_BYTES + 4], "big")
    return MailboxId(raw[:ID_BYTES]), uid, raw[ID_BYTES + 4 :]
