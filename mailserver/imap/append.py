"""APPEND (RFC 9051 §6.3.12, RFC 4315 §3): a message taken in pieces and kept octet for octet.

Any octet is kept but NUL (S1). A large message is sealed as it comes; only its latest piece is in memory.
"""

from mailserver.imap.commands import Append
from mailserver.imap.encode import code_append_uid
from mailserver.imap.flags import split_flags
from mailserver.imap.replies import HOLDS_NUL, TRY_CREATE
from mailserver.imap.session import Reply, Session, done, now_seconds
from mailserver.mime.summary_wire import format_summary
from mailserver.model.errors import NotFound
from mailserver.model.ids import MailboxId
from mailserver.service.intake import Intake
from mailserver.service.messages import Placed
from mailserver.service.quotas import Amount
from mailserver.service.summaries import parse_intake
from mailserver.store.blob_folder import ROW_BYTES_LIMIT

LEAST_BYTES_PER_SECOND = 500
PATIENCE_SECONDS = 60.0


class AppendJob:
    """One APPEND under way. ``close`` whatever happens: what was not placed then vanishes."""

    def __init__(self, session: Session, tag: str, command: Append, started_at: float) -> None:
        self.tag = tag
        self.command = command
        self.started_at = started_at
        self._session = session
        services = session.services
        self._intake = Intake(services.blobs, services.limit_bytes)

    async def check(self) -> Reply | None:
        """Refuse before the message is sent, when its mailbox does not exist. Raises OverLimit("quota")."""
        session = self._session
        found = await session.wire.call(session.open_names().find_mailbox, self.command.mailbox)
        if found is None:
            return TRY_CREATE
        more = Amount(1, self.command.size_bytes)
        quotas = session.services.messages.quotas
        await session.wire.call(quotas.demand_room, found.account.account_id, more)
        return None

    async def take(self, octets: bytes) -> Reply | None:
        """The next octets, or the refusal they earn. Small messages stay in memory and need no thread."""
        if b"\0" in octets:
            return HOLDS_NUL
        if self._intake.size_bytes + len(octets) <= ROW_BYTES_LIMIT:
            self._intake.write(octets)
        else:
            await self._session.wire.call(self._intake.write, octets)
        return None

    def is_too_slow(self, now: float) -> bool:
        """S4: a peer that sends almost nothing holds a connection and a file."""
        waited = now - self.started_at
        return waited > PATIENCE_SECONDS and self._intake.size_bytes < waited * LEAST_BYTES_PER_SECOND

    async def finish(self) -> Reply:
        """Place the message and say where; TRYCREATE when the mailbox is gone."""
        session = self._session
        try:
            mailbox_id, placed = await session.wire.call(self._place)
        except NotFound:
            return TRY_CREATE
        selected = session.selected
        if selected is not None and selected.info.mailbox_id == mailbox_id:
            session.has_news = True
        return done("APPEND", code_append_uid(placed.uidvalidity, [placed.uid]))

    def _place(self) -> tuple[MailboxId, Placed]:
        services = self._session.services
        found = self._session.open_names().load_mailbox(self.command.mailbox)
        account, info = found.account, found.info
        more = Amount(1, self._intake.padded_bytes)
        services.messages.quotas.demand_room(account.account_id, more)
        bits, missing = split_flags(self.command.flags, info.keywords)
        if missing:
            info = services.mailboxes.add_keywords(account, info, missing)
            bits, _missing = split_flags(self.command.flags, info.keywords)
        self._intake.finish()
        summary = format_summary(parse_intake(self._intake).summary)
        now = now_seconds()
        received_at = now if self.command.date is None else int(self.command.date.timestamp())
        stamp = (bits, received_at, now)
        placed = services.messages.append(account, info.mailbox_id, self._intake, summary, stamp)
        return info.mailbox_id, placed

    def close(self) -> None:
        self._intake.close()
