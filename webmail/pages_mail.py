"""The inbox, one message, its attachments. Reading is logged by the service before any octet is opened."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse

from mailserver.audit.wording import Language
from mailserver.mime.header_writer import check_content_type
from mailserver.mime.kept_files import KeptNote
from mailserver.mime.summary import Attachment, DisplayAddress
from mailserver.model.account import Role
from mailserver.model.errors import Malformed
from mailserver.service.filing import ARCHIVE_NAME
from mailserver.service.timelines import MessageTimeline
from mailserver.service.web_answers import AnswerPlan
from mailserver.service.web_mailbox import OpenMessage
from mailserver.service.web_sessions import WebSession
from webmail.answer_form import AnswerState, form_values
from webmail.cleaning import FRAME_POLICY, clean_html
from webmail.desk import Desk
from webmail.form_stream import clean_file_name
from webmail.pages_documents import download_headers
from webmail.pages_kept import note_lines
from webmail.timeline_words import timeline_lines
from webmail.words import Words

_SAFE_TYPES = frozenset({"application/pdf", "image/jpeg", "image/png", "text/plain"})
_UID_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Reading:
    """A message with everything that its page says."""

    session: WebSession
    message: OpenMessage
    plan: AnswerPlan | None
    """None for a message that the person wrote."""
    text: tuple[str, bool] | None
    has_html: bool
    set_aside: str
    is_told: bool
    """Whether its sender is told that it was opened."""
    scanned_at: datetime | None
    note: tuple[int, KeptNote] | None
    """Files that stay with the sender's operator, and the rank of the part that says so."""
    is_kept_here: bool
    timelines: Sequence[MessageTimeline] = ()
    """Of a message that the person sent."""


class MailPages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def show_inbox(self, request: Request) -> Response:
        return await self._show_list(request, Role.INBOX)

    async def show_sent(self, request: Request) -> Response:
        return await self._show_list(request, Role.SENT)

    async def _show_list(self, request: Request, role: Role) -> Response:
        desk = self._desk
        session = await desk.session(request)
        digits = request.query_params.get("before", "")
        before = int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= _UID_DIGITS else None
        page = await desk.run(partial(desk.works.mailbox.list_page, session.account, role, before))
        words = desk.words(request)
        values: dict[str, object] = {
            "is_sent": role is Role.SENT,
            "page": page,
            "lines": [(line, who(line.people, words), words.moment(line.received_at)) for line in page.lines],
            "is_first": before is None,
        }
        return desk.page(request, "list.html", values, session)

    async def show_message(self, request: Request) -> Response:
        session = await self._desk.session(request)
        reading = await self.read(request, session)
        state = AnswerState(is_sent=request.query_params.get("sent") == "1")
        return self.message_page(request, reading, state)

    async def read(self, request: Request, session: WebSession) -> Reading:
        """The message that the address names, its reading logged. Raises NotFound, Corrupt, Unavailable."""
        desk = self._desk
        ref, origin, now = request.path_params["ref"], desk.origin(request), desk.now()
        language = desk.words(request).language

        def work() -> Reading:
            works, account = desk.works, session.account
            message = works.mailbox.open_message(account, ref, origin, now)
            is_sent = works.mailbox.is_sent(account, message)
            is_told = not is_sent and works.receipts.is_asked(account, message.facts())
            if is_told:
                works.receipts.send_receipt(account, message, origin, now)
            plan = None if is_sent else works.answers.plan(account, message, now)
            text = message.find_text()
            reason = ""
            if message.line.is_set_aside:
                found = works.mailbox.find_set_aside(account, message.summary.message_id)
                reason = (
                    "" if found is None else found.english if language is Language.ENGLISH else found.french
                )
            has_html = message.find_html() is not None
            scanned_at, note = message.find_scanned(), message.find_note()
            is_here = note is not None and works.kept.find_kept_id(note[1]) is not None
            sent_id = message.summary.message_id if is_sent else ""
            timelines = works.timelines.find_sent(account, sent_id) if sent_id else []
            return Reading(
                session, message, plan, text, has_html, reason, is_told, scanned_at, note, is_here, timelines
            )

        return await desk.run(work)

    def message_page(
        self, request: Request, reading: Reading, state: AnswerState, status: int = 200
    ) -> Response:
        """The message with its answer form, or with the reason why there is none."""
        desk, words = self._desk, self._desk.words(request)
        line, plan = reading.message.line, reading.plan
        files = [
            (rank, file_name(each, words), words.size(each.size_bytes))
            for rank, each in enumerate(reading.message.summary.attachments)
            if reading.note is None or rank != reading.note[0]
        ]
        values: dict[str, object] = form_values(desk, words, reading.session, plan, line.ref) | {
            "line": line,
            "people": who(line.people, words),
            "when": words.moment(line.received_at),
            "files": files,
            **_kept_values(reading, words),
            "text": reading.text[0] if reading.text else None,
            "is_cut": bool(reading.text and not reading.text[1]),
            "has_html": reading.has_html,
            "shows_html": reading.has_html
            and (reading.text is None or request.query_params.get("view") == "html"),
            "is_filed": any(name.casefold() == ARCHIVE_NAME for _rank, name, _size in files)
            and plan is not None
            and not line.is_set_aside,
            "set_aside": reading.set_aside,
            "is_told": reading.is_told,
            "scanned": words.moment(reading.scanned_at) if reading.scanned_at else "",
            "is_own": plan is None,
            "timeline": timeline_lines(reading.timelines, words),
            "action": f"/messages/{line.ref}/answer",
            "state": state,
        }
        return desk.page(request, "message.html", values, reading.session, status)

    async def send_html(self, request: Request) -> Response:
        """The letter as its author laid it out, cleaned, for the sandboxed frame only."""
        desk = self._desk
        session = await desk.session(request)
        ref, origin, now = request.path_params["ref"], desk.origin(request), desk.now()
        words = desk.words(request)

        def work() -> str:
            message = desk.works.mailbox.open_message(session.account, ref, origin, now)
            found = message.find_html()
            return clean_html(found[0] if found else "", words.language.value, words("message.frame"))

        return HTMLResponse(await desk.run(work), headers={"content-security-policy": FRAME_POLICY})

    async def send_file(self, request: Request) -> Response:
        """One attachment, to be saved, never shown."""
        desk = self._desk
        session = await desk.session(request)
        ref, origin, now = request.path_params["ref"], desk.origin(request), desk.now()
        rank = int(request.path_params["rank"])
        words = desk.words(request)

        def work() -> tuple[Attachment, Iterator[bytes]]:
            message = desk.works.mailbox.open_message(session.account, ref, origin, now)
            return message.open_attachment(rank)

        attachment, pieces = await desk.run(work)
        kind = (
            attachment.content_type if attachment.content_type in _SAFE_TYPES else "application/octet-stream"
        )
        headers = download_headers(file_name(attachment, words))
        return StreamingResponse(pieces, media_type=kind, headers=headers)


def _kept_values(reading: Reading, words: Words) -> dict[str, object]:
    """The files that did not travel with the message; of another operator's, what its page asks for."""
    if reading.note is None:
        return {"kept": None}
    note, is_here = reading.note[1], reading.is_kept_here
    lines = note_lines(note, reading.message.line.ref, is_here=is_here, words=words)
    return {
        "kept": note,
        "kept_lines": lines,
        "kept_until": words.date_of(note.until),
        "is_kept_here": is_here,
    }


def who(people: tuple[DisplayAddress, ...], words: Words) -> list[tuple[str, str]]:
    """(name, address) pairs; the address that was checked stands beside the name, or alone."""
    shown = [(each.name or each.address, each.address if each.name else "") for each in people[:5]]
    return shown or [(words("message.nobody"), "")]


def file_name(attachment: Attachment, words: Words) -> str:
    return clean_file_name(attachment.filename) or words("message.unnamed")


def writable_type(content_type: str) -> str:
    """A browser's word for a file's type, if a mail can carry it."""
    bare = content_type.partition(";")[0].strip().lower()
    try:
        check_content_type(bare)
    except Malformed:
        return "application/octet-stream"
    return "application/octet-stream" if bare.startswith(("message/", "multipart/")) else bare
