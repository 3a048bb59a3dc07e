"""The patient's documents and « Qui a consulté ». Every opening is in the log before a byte leaves (L1, L4)."""

import base64
import binascii
import re
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from anyio import CapacityLimiter
from starlette.requests import Request
from starlette.responses import Response

from mailserver.audit.events import readable
from mailserver.audit.wording import describe
from mailserver.documents.codes import find_class_label, find_type_label
from mailserver.documents.display import find_plain_type, find_shown, human_title, safe_file_name
from mailserver.documents.record import DocumentRecord
from mailserver.model.errors import NotFound
from mailserver.model.ids import ID_BYTES, DocumentId
from mailserver.service.history import read_history
from mailserver.service.shown_names import isolated
from mailserver.service.space_documents import FiledDocument, OpenedDocument, Replacement
from mailserver.service.web_sessions import WebSession
from webmail.desk import Desk
from webmail.sending import Content, HeldResponse, slices
from webmail.shares import Shares
from webmail.words import Words

HISTORY_LINES = 50
WHOLE_BYTES = 40 * 1024 * 1024
"""A text or a CDA above this is not shown, but downloaded as it was sent."""
WHOLE_AT_ONCE = 2
DOCUMENTS_OF_ACCOUNT = 4
ALL_LINES = 10_000
_IMAGES = frozenset({"image/jpeg", "image/png", "image/jpg"})
_FRAMES = frozenset({"application/pdf", "text/plain"})
CONTENT_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"


@dataclass(frozen=True, slots=True)
class DocumentLine:
    """A document in words."""

    ref: str
    title: str
    date: str
    author: str
    kind: str
    is_replaced: bool
    claim: str
    """That somebody else says it is replaced, in words; empty without that."""
    shown: str
    """How it can be seen in place: ``image``, ``frame``, or empty for download only."""
    is_pdf: bool
    size: str


class DocumentPages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._shares = Shares(DOCUMENTS_OF_ACCOUNT, "many-documents")
        self._whole = CapacityLimiter(WHOLE_AT_ONCE)

    async def show_list(self, request: Request) -> Response:
        """The patient's documents; nothing of them is opened."""
        session = await self._desk.session(request)
        listed = await self._desk.run(partial(self._desk.works.documents.list_documents, session.account))
        words = self._desk.words(request)
        values: dict[str, object] = {"documents": [line_of(each, words) for each in listed]}
        return self._desk.page(request, "documents.html", values, session)

    async def show_document(self, request: Request) -> Response:
        session = await self._desk.session(request)
        load = partial(self._desk.works.documents.load_document, session.account, _document_id(request))
        line = line_of(await self._desk.run(load), self._desk.words(request))
        return self._desk.page(request, "document.html", {"document": line}, session)

    async def send_content(self, request: Request) -> Response:
        """What is shown in place: exactly the type found in the bytes, in a frame that runs nothing."""
        session = await self._desk.session(request)
        with ExitStack() as held:
            held.enter_context(self._shares.take(session.account.account_id))
            opened = await self._open(request, session)
            content = await self._find_content(opened)
            if content is None:
                return self._desk.problem(request, "not-shown", 404, session)
            # browsers refuse their PDF viewer inside a sandbox; a PDF has its type from its octets and runs nothing
            sandbox = "" if content.content_type == "application/pdf" else "; sandbox"
            headers = {"content-security-policy": CONTENT_POLICY + sandbox, "content-disposition": "inline"}
            return HeldResponse(content, headers, held.pop_all())

    async def send_download(self, request: Request) -> Response:
        """The readable file; for a document made for software alone, the file as it was sent."""
        session = await self._desk.session(request)
        with ExitStack() as held:
            held.enter_context(self._shares.take(session.account.account_id))
            opened = await self._open(request, session)
            record = opened.record
            shown = await self._find_content(opened)
            name = safe_file_name(_title(record), shown.content_type if shown else record.media_type)
            sent = shown or Content("application/octet-stream", record.size_bytes, opened.pieces())
            return HeldResponse(sent, download_headers(name), held.pop_all())

    async def _open(self, request: Request, session: WebSession) -> OpenedDocument:
        desk = self._desk
        document_id, origin = _document_id(request), desk.origin(request)
        show = desk.works.documents.open_document
        return await desk.run(partial(show, session.account, document_id, origin, desk.now()))

    async def _find_content(self, opened: OpenedDocument) -> Content | None:
        """What is shown of a document. A text or a CDA must be held whole to be judged: few at once, none too long."""
        record, desk = opened.record, self._desk
        plain = find_plain_type(record.media_type, await desk.run(opened.head))
        if plain is not None:
            return Content(plain, record.size_bytes, opened.pieces())
        if record.size_bytes > WHOLE_BYTES:
            return None
        shown = await desk.run(lambda: find_shown(record.media_type, opened.whole()), self._whole)
        return None if shown is None else Content(shown.content_type, len(shown.data), slices(shown.data))

    async def show_history(self, request: Request) -> Response:
        """The log in words, by month. The reading is its first line."""
        desk = self._desk
        session = await desk.session(request)
        newest = ALL_LINES if request.query_params.get("all") == "1" else HISTORY_LINES
        read = partial(
            read_history, desk.works.store, session.account, desk.origin(request), desk.now(), newest
        )
        history = await desk.run(read)
        words = desk.words(request)
        months: dict[str, list[dict[str, str]]] = {}
        for each in history.events:
            event = each.event
            line = {
                "what": words.unbroken(describe(event, words.language)),
                "when": words.moment(event.when),
                "network": event.origin.network,
                "client": event.origin.client,
                "address": event.who.handle if "@" in event.who.handle else "",
            }
            months.setdefault(words.month(event.when), []).append(line)
        values: dict[str, object] = {"months": months, "history": history, "shown": len(history.events)}
        return desk.page(request, "history.html", values, session)


def line_of(filed: FiledDocument, words: Words) -> DocumentLine:
    """A document as people speak of it: its date is that of the care, failing that of the paper."""
    record = filed.record
    when = record.service_start or record.created or record.received
    claimed = (record.author_name, plain_specialty(record.author_specialty), record.author_institution)
    author = ", ".join(filter(None, map(readable, claimed)))
    kind = find_type_label(record.type_code) or find_class_label(record.class_code.code) or ""
    media = (record.embedded_media_type or record.media_type).partition(";")[0].strip().lower()
    shown = "image" if media in _IMAGES else "frame" if media in _FRAMES else ""
    return DocumentLine(
        _ref(filed.document_id),
        _title(record),
        words.day(when),
        author,
        kind,
        filed.replaced_by is not None and filed.replaced_by.is_same_sender,
        claim_words(filed.replaced_by, words),
        shown,
        media == "application/pdf",
        words.size(record.size_bytes),
    )


def claim_words(claim: Replacement | None, words: Words) -> str:
    """What another sender says, under its name: not a fact."""
    if claim is None or claim.is_same_sender:
        return ""
    who = isolated(claim.sender) if claim.sender else words("documents.someone")
    return words("documents.claimed", who=who)


def plain_specialty(value: str) -> str:
    """The words of a coded specialty: HL7 writes code^label^system, and the label ends in a mark like (SM)."""
    parts = value.split("^")
    words = parts[1] if len(parts) > 1 else parts[0]
    return re.sub(r"\s*\([A-Z]{1,4}\)$", "", words.strip())


def _title(record: DocumentRecord) -> str:
    return human_title(record.title, record.type_code, record.class_code)


def _ref(document_id: DocumentId) -> str:
    return base64.urlsafe_b64encode(document_id).rstrip(b"=").decode()


def _document_id(request: Request) -> DocumentId:
    ref = request.path_params["ref"]
    try:
        raw = base64.b64decode(ref + "=" * (-len(ref) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise NotFound("document") from None
    if len(raw) != ID_BYTES:
        raise NotFound("document")
    return DocumentId(raw)


def download_headers(name: str) -> dict[str, str]:
    """Saved, never shown (RFC 6266): even opened by mistake it runs nothing."""
    plain = name.encode("ascii", "replace").decode().replace('"', "'").replace("\\", "_").replace("?", "_")
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    return {"content-disposition": disposition, "content-security-policy": f"{CONTENT_POLICY}; sandbox"}
