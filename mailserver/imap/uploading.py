"""APPEND and REPLACE as their octets come: which step is taken when, and what the client is told of it.

One upload runs at a time. It is judged before its octets are taken where the client waits, or where there are many
(RFC 9051 §6.3.12). Any octet is kept but NUL (S1). Whatever goes wrong, nothing was stored and the octets that still
come are dropped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

from mailserver.imap import commands as c
from mailserver.imap import framing as f
from mailserver.imap.catenate import BadUrl, read_url
from mailserver.imap.encode import Status as Word
from mailserver.imap.encode import code_append_uid, format_continuation, format_untagged
from mailserver.imap.parse import BadCommand, parse_command
from mailserver.imap.parse_uploads import parse_further
from mailserver.imap.replies import (
    HOLDS_BINARY,
    HOLDS_NUL,
    NO_SUCH_MESSAGE,
    READ_ONLY,
    TRY_CREATE,
    reply_to_bad_command,
    reply_to_bad_url,
    reply_to_failure,
    reply_to_verdict,
)
from mailserver.imap.session import Reply, Session, done, now_seconds
from mailserver.imap.states import decide_command
from mailserver.model.errors import Denied, Malformed, PliError
from mailserver.model.rights import Right
from mailserver.service.named_mailboxes import NamedMailbox
from mailserver.service.placing import Leaving
from mailserver.service.uploads import Upload, UploadTools
from mailserver.store.blob_folder import ROW_BYTES_LIMIT

LEAST_BYTES_PER_SECOND = 500
PATIENCE_SECONDS = 60.0
Event = f.MessageAnnounced | f.LiteralChunk | f.LiteralEnd | f.AppendEnd


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to an upload; ``command`` is the one that ran, None when none could be made out."""

    tag: str | None
    reply: Reply
    command: c.Upload | None = None


@dataclass(slots=True)
class _Job:
    """An upload under way. ``last``: the literal whose octets come."""

    tag: str
    command: c.Upload
    upload: Upload
    leaving: Leaving | None
    started_at: float
    last: c.OctetsFollow | None = None
    received_bytes: int = 0


class Uploads:
    """The uploads of one connection. ``clock`` is the loop's."""

    def __init__(self, session: Session, framer: f.Framer, clock: Callable[[], float]) -> None:
        self._session = session
        self._framer = framer
        self._clock = clock
        self._job: _Job | None = None

    def is_too_slow(self, now: float) -> bool:
        """S4: a peer that sends almost nothing holds a connection and a file."""
        job = self._job
        if job is None:
            return False
        waited = now - job.started_at
        return waited > PATIENCE_SECONDS and job.received_bytes < waited * LEAST_BYTES_PER_SECOND

    def drop(self) -> str | None:
        """Forget the upload under way; the tag that still waits for its answer."""
        job, self._job = self._job, None
        if job is None:
            return None
        job.upload.close()
        return job.tag

    async def take(self, event: Event) -> Outcome | None:
        """The next event of the framer; the outcome, once there is one. Octets of what was refused are passed over."""
        job = self._job
        match event:
            case f.MessageAnnounced(raw, _size, _waits, is_next):
                if not is_next:
                    return await self._begin(event)
                return await self._go_on(job, raw, event) if job is not None else None
            case f.LiteralChunk(octets):
                return await self._write(job, octets) if job is not None else None
            case f.LiteralEnd():
                return None
            case f.AppendEnd(raw):
                return await self._go_on(job, raw, None) if job is not None else None
            case _:
                assert_never(event)

    async def run(self, tag: str, command: c.Upload) -> Outcome:
        """An upload that needs no octets from the client: CATENATE of URLs alone."""
        job = self._admit(tag, command)
        return job if isinstance(job, Outcome) else await self._end(job, command.steps)

    async def _begin(self, event: f.MessageAnnounced) -> Outcome | None:
        try:
            tag, command = parse_command(event.command, is_utf8=self._session.is_utf8)
        except BadCommand as error:
            self._framer.refuse()
            return Outcome(error.tag, reply_to_bad_command(error))
        verdict = decide_command(self._session.state, command)
        if not verdict.is_allowed or not isinstance(command, c.Append | c.Replace):
            self._framer.refuse()
            return Outcome(tag, reply_to_verdict(verdict))
        job = self._admit(tag, command)
        if isinstance(job, Outcome):
            self._framer.refuse()
            return job
        return await self._follow(job, command.steps, event)

    def _admit(self, tag: str, command: c.Upload) -> _Job | Outcome:
        """The job, unless what is to be replaced is not there."""
        session, services = self._session, self._session.services
        leaving = None
        if isinstance(command, c.Replace):
            selected = session.open_mailbox()
            if selected.is_read_only:
                return Outcome(tag, READ_ONLY, command)
            uids = selected.view.uids_of(command.message, uid=command.uid)
            if not len(uids):
                missing = NO_SUCH_MESSAGE if command.uid else Reply(Word.BAD, "No such message number")
                return Outcome(tag, missing, command)
            leaving = Leaving(selected.info.mailbox_id, uids[0])
        tools = UploadTools(services.mailboxes, services.messages, services.blobs, services.limit_bytes)
        upload = Upload(tools, now_seconds())
        self._job = _Job(tag, command, upload, leaving, self._clock())
        return self._job

    async def _go_on(self, job: _Job, raw: f.RawCommand, event: f.MessageAnnounced | None) -> Outcome | None:
        """What follows a literal; without an event, up to the end of the command."""
        assert job.last is not None
        try:
            steps = parse_further(raw, job.last, is_only=isinstance(job.command, c.Replace))
        except Malformed as error:
            return self._fail(job, reply_to_bad_command(BadCommand(error.code, tag=job.tag)))
        if event is not None:
            return await self._follow(job, steps, event)
        return await self._end(job, steps)

    async def _follow(self, job: _Job, steps: Sequence[c.Step], event: f.MessageAnnounced) -> Outcome | None:
        """The steps before a literal, and leave to send it."""
        is_judged = event.is_waiting or event.size_bytes > ROW_BYTES_LIMIT
        try:
            if is_judged or not _LIGHT.issuperset(map(type, steps)):
                await self._session.wire.call(self._prepare, job, steps, event.size_bytes if is_judged else 0)
            else:
                self._take_steps(job, steps)
        except PliError as error:
            return self._fail(job, _reply_to(error))
        if event.is_waiting:
            self._session.wire.send(format_continuation("OK"))
        return None

    async def _write(self, job: _Job, octets: bytes) -> Outcome | None:
        """The next octets. Small messages stay in memory and need no thread."""
        job.received_bytes += len(octets)
        if b"\0" in octets:
            is_binary = job.last is not None and job.last.is_binary
            return self._fail(job, HOLDS_BINARY if is_binary else HOLDS_NUL)
        try:
            if job.upload.is_light(len(octets)):
                job.upload.write(octets)
            else:
                await self._session.wire.call(job.upload.write, octets)
        except PliError as error:
            return self._fail(job, _reply_to(error))
        return None

    async def _end(self, job: _Job, steps: Sequence[c.Step]) -> Outcome:
        """The last steps, and the messages into their mailbox; one hop."""
        session = self._session
        try:
            mailbox_id, code = await session.wire.call(self._place, job, steps)
        except PliError as error:
            reply = _reply_to(error)
        else:
            selected = session.selected
            if selected is not None and selected.info.mailbox_id == mailbox_id:
                session.has_news = True
            if isinstance(job.command, c.Replace):
                session.has_news = True
                # RFC 8508 §4.3: before the EXPUNGE
                session.wire.send(format_untagged(Word.OK, "Replacement message ready", code))
                reply = done("REPLACE")
            else:
                reply = done("APPEND", code)
        finally:
            self.drop()
        return Outcome(job.tag, reply, job.command)

    def _fail(self, job: _Job, reply: Reply) -> Outcome:
        """Answer now; octets that still come are dropped by the framer."""
        self._framer.refuse()
        self.drop()
        return Outcome(job.tag, reply, job.command)

    # --- in the pool ------------------------------------------------------------------------------------------

    def _prepare(self, job: _Job, steps: Sequence[c.Step], size_bytes: int) -> None:
        self._take_steps(job, steps)
        if size_bytes:
            target = self._target(job)
            target.account.demand(target.mailbox_id, Right.INSERT)
            job.upload.demand_room(target.account, size_bytes, job.leaving)

    def _take_steps(self, job: _Job, steps: Sequence[c.Step]) -> None:
        for step in steps:
            match step:
                case c.MessageBegins(flags, date):
                    job.upload.begin(flags, None if date is None else int(date.timestamp()))
                case c.UrlPart(url):
                    for octets in read_url(self._session, url):
                        job.upload.write(octets)
                case c.OctetsFollow():
                    job.last = step
                case c.MessageEnds():
                    job.upload.end()
                case _:
                    assert_never(step)

    def _place(self, job: _Job, steps: Sequence[c.Step]) -> tuple[bytes, bytes]:
        """The target's id and the APPENDUID code; none for who may not read there (RFC 4315 §3)."""
        self._take_steps(job, steps)
        target = self._target(job)
        placed = job.upload.place(target, job.leaving)
        code = code_append_uid(placed.uidvalidity, placed.uids) if target.may_read else b""
        return target.mailbox_id, code

    def _target(self, job: _Job) -> NamedMailbox:
        """Where the messages go. Raises NotFound("mailbox"); Denied when it is no place for a replacement."""
        session = self._session
        target = session.open_names().load_mailbox(job.command.mailbox)
        if job.leaving is not None and target.account.account_id != session.open_mailbox().account.account_id:
            raise Denied("other-account")  # one transaction is one account's
        return target


_LIGHT: frozenset[type[c.Step]] = frozenset({c.MessageBegins, c.OctetsFollow})
"""Steps that touch nothing but memory."""


def _reply_to(error: PliError) -> Reply:
    if isinstance(error, BadUrl):
        return reply_to_bad_url(error.url)
    return _NOT_FOUND.get(error.code) or reply_to_failure(error)


_NOT_FOUND = {"message": NO_SUCH_MESSAGE, "mailbox": TRY_CREATE}
"""What is missing of an upload, by the code of the error."""
