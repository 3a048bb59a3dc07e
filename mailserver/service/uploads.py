"""The messages of one APPEND, MULTIAPPEND or REPLACE on their way in: octets in pieces, then all placed or none.

What is held in memory is bounded, whatever comes: one small message as it arrives, finished small ones sealed, and
large ones in unnamed files, already sealed too (S5). Nothing of an upload outlives ``close`` but what was placed.
Blocking: for the pool.
"""

from dataclasses import dataclass

from mailserver.mime.summary_wire import format_summary
from mailserver.model.errors import Denied, Malformed, NotFound, OverLimit, Unavailable
from mailserver.service.intake import Intake
from mailserver.service.keys import OpenAccount
from mailserver.service.mailboxes import Mailboxes, MailboxInfo, flag_bits
from mailserver.service.messages import Messages
from mailserver.service.named_mailboxes import NamedMailbox
from mailserver.service.placing import Leaving, NewMessage, Placed
from mailserver.service.quotas import Amount
from mailserver.service.sealing import SealedBlob, seal_octets, shared_octets
from mailserver.service.summaries import parse_intake
from mailserver.store.blob_folder import ROW_BYTES_LIMIT, BlobFolder

MOST_MESSAGES = 500
MOST_LARGE = 16
"""Messages with a file of their own, which stays open until all are placed."""
MOST_HELD_BYTES = 2 * 2**20
"""Sealed octets of small messages that wait for the last one (S4)."""


@dataclass(frozen=True, slots=True)
class UploadTools:
    """What every upload of one server is made with; ``limit_bytes``: the largest message."""

    mailboxes: Mailboxes
    messages: Messages
    blobs: BlobFolder
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class _Finished:
    """A message whose octets have all come: sealed when small, else in its own intake."""

    flags: tuple[str, ...]
    received_at: int
    summary: bytes
    size_bytes: int
    """As the quota counts it."""
    sealed: SealedBlob | None
    intake: Intake | None


class Upload:
    """``begin``, ``write`` …, ``end`` for each message, then ``place``; ``close`` whatever happens."""

    def __init__(self, tools: UploadTools, now: int) -> None:
        self._tools = tools
        self._now = now
        self._intake: Intake | None = None
        self._flags: tuple[str, ...] = ()
        self._received_at = now
        self._finished: list[_Finished] = []

    def begin(self, flags: tuple[str, ...], received_at: int | None) -> None:
        """A message begins. Raises OverLimit("too-many-uploads")."""
        held = sum(each.size_bytes for each in self._finished if each.intake is None)
        large = sum(each.intake is not None for each in self._finished)
        if len(self._finished) == MOST_MESSAGES or held > MOST_HELD_BYTES or large == MOST_LARGE:
            raise OverLimit("too-many-uploads")
        self._intake = Intake(self._tools.blobs, self._tools.limit_bytes)
        self._flags = flags
        self._received_at = self._now if received_at is None else received_at

    def is_light(self, count: int) -> bool:
        """Whether writing so many octets touches nothing but memory: no need for the pool."""
        return self._intake is not None and self._intake.size_bytes + count <= ROW_BYTES_LIMIT

    def write(self, octets: bytes) -> None:
        """The next octets of the message. Raises OverLimit("message-too-large"), Unavailable."""
        assert self._intake is not None
        self._intake.write(octets)

    def end(self) -> None:
        """All octets of the message have come. Raises Malformed("message-empty"), OverLimit."""
        intake = self._intake
        assert intake is not None
        if not intake.size_bytes:
            raise Malformed("message-empty")  # RFC 3502: so an APPEND is cancelled
        intake.finish()
        summary = format_summary(parse_intake(intake).summary)
        small = intake.small
        sealed = None if small is None else seal_octets(small)
        kept = intake if small is None else None
        self._finished.append(
            _Finished(self._flags, self._received_at, summary, intake.padded_bytes, sealed, kept)
        )
        if sealed is not None:
            intake.close()
        self._intake = None

    def demand_room(self, account: OpenAccount, size_bytes: int, leaving: Leaving | None) -> None:
        """Refuse early what has no room: a message of so many octets as well. Raises OverLimit("quota")."""
        self._demand_room(account, Amount(1, size_bytes), leaving)

    def place(self, target: NamedMailbox, leaving: Leaving | None = None) -> Placed:
        """Put all messages into a mailbox and take away what leaves, of the same account, in one transaction.

        Raises NotFound("mailbox"), NotFound("message"), OverLimit("quota").
        """
        tools, account = self._tools, target.account
        self._demand_room(account, Amount(0, 0), leaving)
        names = [flag for each in self._finished for flag in each.flags]
        info = tools.mailboxes.add_keywords(account, target.info, names)
        new = self._seal_all(info)
        try:
            return tools.messages.place(account, info.mailbox_id, new, self._now, leaving)
        except (
            Denied,
            NotFound,
            OverLimit,
        ):  # decided in the transaction, which left nothing: no file is named
            self._discard(new)
            raise

    def close(self) -> None:
        """Forget everything: files without a name vanish."""
        intakes = [self._intake, *(each.intake for each in self._finished)]
        for intake in intakes:
            if intake is not None:
                intake.close()
        self._intake = None
        self._finished.clear()

    def _demand_room(self, account: OpenAccount, more: Amount, leaving: Leaving | None) -> None:
        """Only what is added counts: the message that gives way makes room (RFC 8508 §3.4)."""
        messages = self._tools.messages
        count = more.messages + len(self._finished)
        octets = more.storage_bytes + sum(each.size_bytes for each in self._finished)
        if leaving is not None:
            count -= 1
            octets -= messages.sum_padded(account, leaving.mailbox_id, [(leaving.uid, leaving.uid)])
        messages.quotas.demand_room(account.account_id, Amount(count, octets))

    def _seal_all(self, info: MailboxInfo) -> list[NewMessage]:
        """Every message or no file: on a full disk what was kept already goes at once."""
        new: list[NewMessage] = []
        try:
            for each in self._finished:
                new.append(self._new_message(each, info))  # noqa: PERF401 # what is there is needed when one fails
        except Unavailable:
            self._discard(new)
            raise
        return new

    def _discard(self, new: list[NewMessage]) -> None:
        for each in new:
            self._tools.blobs.discard(each.blob.row.blob_id)

    def _new_message(self, each: _Finished, info: MailboxInfo) -> NewMessage:
        if each.sealed is not None:
            blob = each.sealed
        else:
            assert each.intake is not None
            blob = shared_octets(each.intake.keep())
        return NewMessage(blob, each.summary, flag_bits(info, each.flags), each.received_at)
