"""Files that large mail left here: the public page of who has the code, downloads that can be resumed, and what a sender
still keeps.

The address names the files, the code opens them: typed into a form, then held in a cookie of this one address, or sent
by software as a bearer token (RFC 6750 §2.1). Neither is ever in an address (S11).
"""

import logging
import re
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import anyio
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mailserver.audit.events import Actor
from mailserver.mime.kept_files import KeptFile, KeptNote
from mailserver.model.errors import Denied, NotFound
from mailserver.model.network import network_of
from mailserver.service.kept_fetching import SOMEBODY, OpenedKept
from mailserver.service.kept_files import format_kept_id, parse_kept_id
from mailserver.service.mail_permit import actor_of
from webmail.desk import Desk, go_to
from webmail.form_stream import clean_file_name
from webmail.pages_documents import download_headers
from webmail.ranges import Span, find_span
from webmail.sending import Content, HeldResponse
from webmail.shares import Shares
from webmail.words import Words

KEPT_COOKIE = "__Secure-pli-kept"
COOKIE_SECONDS = 3600
DOWNLOADS_OF_NETWORK = 8
_CODE_CHARACTERS = 200
_BEARER = re.compile(r"bearer +([A-Za-z0-9-]{1,100})", re.IGNORECASE)

logger = logging.getLogger("pli.web")


@dataclass(frozen=True, slots=True)
class KeptLine:
    """A kept file in words; ``link`` is where it is downloaded."""

    name: str
    size: str
    link: str


class KeptPages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._shares = Shares(DOWNLOADS_OF_NETWORK, "many-kept")

    async def show(self, request: Request) -> Response:
        """The form for the code; with the code, the files. Software that sends the code gets the list as JSON."""
        code, is_software = _find_code(request)
        if not code:
            return self._form(request)
        try:
            opened = await self._open(request, code)
        except Denied:
            if is_software:
                # RFC 6750 §3
                told = {"www-authenticate": 'Bearer error="invalid_token"'}
                return JSONResponse({"error": "invalid_token"}, 401, told)
            return _set_code(self._form(request, status=403), request, "")
        if is_software:
            return JSONResponse(_listed(request, opened))
        words = self._desk.words(request)
        lines = [
            KeptLine(shown_name(each, words), words.size(each.size_bytes), f"{request.url.path}/files/{rank}")
            for rank, each in enumerate(opened.files)
        ]
        values: dict[str, object] = {"lines": lines, "until": words.date_of(opened.until)}
        return self._desk.page(request, "kept_files.html", values)

    async def post_code(self, request: Request) -> Response:
        """A code from the form: kept in a cookie of this address when it opens the files."""
        form = await self._desk.read_form(request)
        code = form.get("code", "")[:_CODE_CHARACTERS]
        try:
            await self._open(request, code)
        except Denied:
            return self._form(request, is_wrong=True, status=403)
        return _set_code(go_to(request.url.path), request, "".join(re.findall(r"[A-Za-z0-9]", code)))

    def _form(self, request: Request, *, is_wrong: bool = False, status: int = 200) -> Response:
        return self._desk.page(request, "kept_code.html", {"is_wrong": is_wrong}, status=status)

    async def _open(self, request: Request, code: str) -> OpenedKept:
        """Wrong codes slow their network down as wrong passwords do (S9). Raises Denied("kept-code")."""
        desk, peer = self._desk, self._desk.peer(request)
        with desk.throttle.attempt(peer, "") as seconds:
            await anyio.sleep(seconds)
            try:
                kept_id = parse_kept_id(request.path_params["ref"])
                return await desk.run(partial(desk.works.kept.open_kept, kept_id, code, desk.now()))
            except (Denied, NotFound):
                desk.throttle.note_failure(peer, "")
                logger.warning("kept files not opened", extra={"network": network_of(peer)})
                raise Denied("kept-code") from None

    async def send_file(self, request: Request) -> Response:
        """One file, or a part of it, for who has the code."""
        code, is_software = _find_code(request)
        try:
            opened = await self._open(request, code)
        except Denied:
            if is_software:
                return JSONResponse({"error": "invalid_token"}, 401, {"www-authenticate": "Bearer"})
            return go_to(request.url.path.rpartition("/files/")[0])
        return await self._send(request, opened, SOMEBODY)

    async def send_own_file(self, request: Request) -> Response:
        """One kept file of a message in the person's own box; the message holds the code."""
        desk = self._desk
        session = await desk.session(request)
        ref, origin, now = request.path_params["ref"], desk.origin(request), desk.now()

        def work() -> OpenedKept:
            message = desk.works.mailbox.open_message(session.account, ref, origin, now)
            found = message.find_note()
            kept_id = None if found is None else desk.works.kept.find_kept_id(found[1])
            if found is None or kept_id is None:
                raise NotFound("kept-files")
            return desk.works.kept.open_kept(kept_id, found[1].code, now)

        try:
            opened = await desk.run(work)
        except Denied:
            return desk.problem(request, "kept-gone", 404, session)
        return await self._send(request, opened, actor_of(session.account))

    async def _send(self, request: Request, opened: OpenedKept, who: Actor) -> Response:
        """The download is in the sender's log before its first byte leaves (L4)."""
        desk, rank = self._desk, int(request.path_params["rank"])
        file, words = opened.load_file(rank), desk.words(request)
        span = _find_span(request.headers, file)
        headers = download_headers(shown_name(file, words)) | {"etag": _etag(file)}
        if span is None:
            return Response(status_code=416, headers={"content-range": f"bytes */{file.size_bytes}"})
        if request.method == "HEAD":
            # RFC 9110 §14.2: Range is for GET alone
            length = {"content-length": str(file.size_bytes), "accept-ranges": "bytes"}
            return Response(headers=headers | length, media_type="application/octet-stream")
        with ExitStack() as held:
            held.enter_context(self._shares.take(network_of(desk.peer(request))))
            fetch = partial(desk.works.kept.fetch, opened, rank, who, desk.origin(request), desk.now())
            pieces = (await desk.run(fetch))(span.start, span.stop)
            content = Content("application/octet-stream", span.length_bytes, pieces)
            return HeldResponse(content, headers | span.headers(), held.pop_all(), span.status)

    async def show_sent(self, request: Request) -> Response:
        """What the person's own large messages keep here."""
        desk = self._desk
        session = await desk.session(request)
        listed = await desk.run(partial(desk.works.kept.list_sent, session.account))
        words = desk.words(request)
        values: dict[str, object] = {
            "sent": [
                {
                    "ref": format_kept_id(each.kept_id),
                    "subject": each.subject,
                    "files": [(name, words.size(size)) for name, size in each.files],
                    "when": words.moment(each.sent_at),
                    "until": words.date_of(each.until),
                }
                for each in listed
            ],
            "is_ended": request.query_params.get("ended") == "1",
        }
        return desk.page(request, "kept_sent.html", values, session)

    async def post_end(self, request: Request) -> Response:
        """End the files of one message before their time."""
        desk = self._desk
        session = await desk.session(request)
        form = await desk.read_form(request)
        if not session.is_form_token(form.get("token", "")):
            return desk.problem(request, "form", 400, session)
        kept_id, origin = parse_kept_id(request.path_params["ref"]), desk.origin(request)
        await desk.run(partial(desk.works.kept.withdraw, session.account, kept_id, origin, desk.now()))
        return go_to("/kept?ended=1")


def shown_name(file: KeptFile, words: Words) -> str:
    return clean_file_name(file.filename) or words("message.unnamed")


def note_lines(note: KeptNote, ref: str, *, is_here: bool, words: Words) -> list[KeptLine]:
    """The kept files of a message as its page lists them; a link only to what is kept here."""
    return [
        KeptLine(
            shown_name(each, words),
            words.size(each.size_bytes),
            f"/messages/{ref}/kept/{rank}" if is_here else "",
        )
        for rank, each in enumerate(note.files)
    ]


def _find_code(request: Request) -> tuple[str, bool]:
    """The code that came with a request, and whether software sent it."""
    match = _BEARER.fullmatch(request.headers.get("authorization", "").strip())
    return (match[1], True) if match else (request.cookies.get(KEPT_COOKIE, ""), False)


def _set_code(response: Response, request: Request, code: str) -> Response:
    """Forgotten after an hour; a download that is under way goes on."""
    response.set_cookie(
        KEPT_COOKIE,
        code,
        max_age=COOKIE_SECONDS if code else 0,
        path=request.url.path,
        secure=True,
        httponly=True,
        samesite="strict",
    )
    return response


def _etag(file: KeptFile) -> str:
    """Strong: the octets' own digest (RFC 9110 §8.8.3)."""
    return f'"{file.digest.hex()[:32]}"'


def _find_span(headers: Headers, file: KeptFile) -> Span | None:
    return find_span(headers.get("range", ""), headers.get("if-range", ""), _etag(file), file.size_bytes)


def _listed(request: Request, opened: OpenedKept) -> dict[str, object]:
    files = [
        {
            "name": each.filename,
            "type": each.content_type,
            "size": each.size_bytes,
            "sha256": each.digest.hex(),
            "path": f"{request.url.path}/files/{rank}",
        }
        for rank, each in enumerate(opened.files)
    ]
    return {"until": opened.until.isoformat(), "files": files}
