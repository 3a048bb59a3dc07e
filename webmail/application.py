"""The web pages as one application: routes, and the one table from errors to what a person is told.

A process builds it with ``create_app`` over the services it has; ``server.serve_web`` gives it a port.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mailserver.config import Config
from mailserver.crypto.custodian_verbs import CustodianVerbs
from mailserver.log import incident_id
from mailserver.model.errors import (
    Conflict,
    Corrupt,
    Denied,
    Malformed,
    NotFound,
    OverLimit,
    PliError,
    Unavailable,
)
from mailserver.policy.trust_store import TrustStore
from mailserver.service.absence_settings import AbsenceSettings
from mailserver.service.contact_settings import ContactSettings
from mailserver.service.directory import Directory
from mailserver.service.displayed_receipts import DisplayedReceipts
from mailserver.service.kept_fetching import KeptFetching
from mailserver.service.keys import Keys
from mailserver.service.login_resets import LoginResets
from mailserver.service.mail_permit import MailPermits
from mailserver.service.mailboxes import Mailboxes
from mailserver.service.messages import Messages
from mailserver.service.notices import Notices
from mailserver.service.space_documents import SpaceDocuments
from mailserver.service.submit import Submission
from mailserver.service.throttle import Throttle
from mailserver.service.timelines import Timelines
from mailserver.service.web_answers import WebAnswers
from mailserver.service.web_codes import WebCodes
from mailserver.service.web_contacts import WebContacts
from mailserver.service.web_login import WebLogin
from mailserver.service.web_mailbox import WebMailbox
from mailserver.service.web_sessions import WebSessions
from mailserver.service.web_writing import WebWriting
from mailserver.store import log_rows
from mailserver.store.store import Store
from webmail.desk import COOKIE, Desk, SignedOut, Works, drop_cookie, go_to
from webmail.guard import Guard
from webmail.pages_answer import AnswerPages
from webmail.pages_away import AwayPages
from webmail.pages_contacts import ContactPages
from webmail.pages_documents import DocumentPages
from webmail.pages_kept import KeptPages
from webmail.pages_login import LoginPages
from webmail.pages_mail import MailPages
from webmail.pages_settings import SettingsPages
from webmail.pages_write import WritePages

_STATIC_TYPES = {".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
logger = logging.getLogger("pli.web")


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class WebServices:
    """What the pages need of a process; the names are those of the process's own services."""

    config: Config
    custody: CustodianVerbs
    store: Store
    directory: Directory
    trust: TrustStore
    keys: Keys
    mailboxes: Mailboxes
    messages: Messages
    permits: MailPermits
    notices: Notices
    submission: Submission
    absence_settings: AbsenceSettings
    resets: LoginResets
    throttle: Throttle
    clock: Callable[[], datetime] = utc_now


def build_works(services: WebServices) -> Works:
    """The use cases of the pages."""
    store = services.store
    sessions = WebSessions(store, services.keys, services.custody)
    codes = WebCodes(store, services.directory, services.notices)
    mailbox = WebMailbox(store, services.mailboxes, services.messages, services.permits)
    return Works(
        store,
        sessions,
        WebLogin(store, services.keys, sessions, codes, services.directory.domains),
        mailbox,
        WebAnswers(
            store, services.mailboxes, services.messages, services.submission, services.config.operator
        ),
        WebContacts(services.submission),
        WebWriting(services.submission),
        DisplayedReceipts(store, mailbox, services.submission, services.config.operator),
        SpaceDocuments(store),
        ContactSettings(store, services.directory, services.notices, codes),
        Timelines(store),
        services.absence_settings,
        KeptFetching(store, services.config.web_url),
        services.resets,
    )


def create_app(services: WebServices) -> Starlette:
    """The application, ready for ``serve_web`` or any ASGI server behind TLS."""
    desk = Desk(build_works(services), services.throttle, services.config.operator, services.clock)
    app = Starlette(
        routes=[*page_routes(desk), *_plain_routes(services, desk)],
        exception_handlers={
            SignedOut: _signed_out,
            PliError: partial(_told, desk),
            HTTPException: partial(_told_http, desk),
        },
    )
    app.add_middleware(Guard)
    return app


def page_routes(desk: Desk) -> list[Route]:
    """Every page. What is not GET is unsafe: the guard looks at its origin, the page at its token."""
    login, mail, documents = LoginPages(desk), MailPages(desk), DocumentPages(desk)
    contacts, away = ContactPages(desk), AwayPages(desk)
    write, kept = WritePages(desk), KeptPages(desk)
    answers = AnswerPages(desk, mail, contacts, write)
    settings = SettingsPages(desk, login.find_keys)
    return [
        Route("/login", login.show_login, methods=["GET"]),
        Route("/login", login.post_login, methods=["POST"]),
        Route("/login/code", login.show_code, methods=["GET"]),
        Route("/login/code", login.post_code, methods=["POST"]),
        Route("/logout", login.post_logout, methods=["POST"]),
        Route("/", mail.show_inbox, methods=["GET"]),
        Route("/sent", mail.show_sent, methods=["GET"]),
        Route("/messages/{ref}", mail.show_message, methods=["GET"]),
        Route("/messages/{ref}/html", mail.send_html, methods=["GET"]),
        Route("/messages/{ref}/files/{rank:int}", mail.send_file, methods=["GET"]),
        Route("/messages/{ref}/kept/{rank:int}", kept.send_own_file, methods=["GET"]),
        Route("/messages/{ref}/answer", answers.post_answer, methods=["POST"]),
        Route("/contacts", contacts.show_list, methods=["GET"]),
        Route("/contacts/{ref}", contacts.show_form, methods=["GET"]),
        Route("/contacts/{ref}/message", answers.post_message, methods=["POST"]),
        Route("/write", write.show_form, methods=["GET"]),
        Route("/write", write.post_recipients, methods=["POST"]),
        Route("/write/message", answers.post_new_message, methods=["POST"]),
        Route("/documents", documents.show_list, methods=["GET"]),
        Route("/documents/{ref}", documents.show_document, methods=["GET"]),
        Route("/documents/{ref}/content", documents.send_content, methods=["GET"]),
        Route("/documents/{ref}/download", documents.send_download, methods=["GET"]),
        Route("/away", away.show_form, methods=["GET"]),
        Route("/away", away.post_form, methods=["POST"]),
        Route("/kept", kept.show_sent, methods=["GET"]),
        Route("/kept/{ref}", kept.show, methods=["GET"]),
        Route("/kept/{ref}", kept.post_code, methods=["POST"]),
        Route("/kept/{ref}/files/{rank:int}", kept.send_file, methods=["GET"]),
        Route("/kept/{ref}/end", kept.post_end, methods=["POST"]),
        Route("/history", documents.show_history, methods=["GET"]),
        Route("/settings", settings.show_settings, methods=["GET"]),
        Route("/settings/notices", settings.post_notices, methods=["POST"]),
        Route("/settings/password", settings.post_password, methods=["POST"]),
        Route("/settings/contact", settings.post_contact, methods=["POST"]),
        Route("/settings/contact/code", settings.post_code, methods=["POST"]),
    ]


def _plain_routes(services: WebServices, desk: Desk) -> list[Route]:
    """Health, and the style sheets that are held in memory."""
    folder = Path(__file__).parent / "static"
    files = {path.name: (path.read_bytes(), _STATIC_TYPES[path.suffix]) for path in folder.iterdir()}

    async def static(request: Request) -> Response:
        found = files.get(request.path_params["name"])
        if found is None:
            raise HTTPException(404)
        # a sandboxed frame has no origin of its own, and must still get the sheet of letters
        headers = {"cache-control": "public, max-age=3600", "cross-origin-resource-policy": "cross-origin"}
        return Response(found[0], media_type=found[1], headers=headers)

    def is_ready() -> bool:
        with services.store.database.read() as connection:
            log_rows.find_checkpoint(connection)
        return True

    async def live(_request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(_request: Request) -> Response:
        try:
            is_up = await desk.run(is_ready)
        except PliError:
            is_up = False
        return JSONResponse({"ready": is_up}, 200 if is_up else 503)

    return [
        Route("/static/{name}", static, methods=["GET"]),
        Route("/health", ready, methods=["GET"]),
        Route("/health/live", live, methods=["GET"]),
        Route("/health/ready", ready, methods=["GET"]),
    ]


async def _signed_out(request: Request, _error: Exception) -> Response:
    """To the door; that a session has ended is told to who had one."""
    return drop_cookie(go_to("/login?note=ended" if request.cookies.get(COOKIE) else "/login"))


async def _told(desk: Desk, request: Request, error: Exception) -> Response:
    """The table: error → status and words. The session is asked again, so that the page keeps its menu."""
    match error:
        case NotFound():
            key, status = "absent", 404
        case Denied():
            key, status = "denied", 403
        case OverLimit(code="many-answers" | "many-documents" | "many-kept"):
            key, status = error.code, 429
        case OverLimit():
            key, status = "too-large", 413
        case Malformed() | Conflict():
            key, status = "form", 400
        case Unavailable():
            key, status = "unavailable", 503
        case Corrupt():
            key, status = "corrupt", 500
        case _:
            key, status = "unavailable", 500
    if status >= 500 and isinstance(error, PliError):
        logger.warning("a page was refused", extra={"code": error.code, "incident": incident_id()})
    try:
        session = await desk.session(request)
    except (SignedOut, PliError):
        session = None
    return desk.problem(request, key, status, session)


async def _told_http(desk: Desk, request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return desk.problem(request, "absent" if status == 404 else "form", status)
