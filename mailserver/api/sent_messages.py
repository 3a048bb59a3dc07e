"""What became of the messages that the caller sent: lists, one of them, a search by Message-ID. ``docs/api.md`` tells the
shapes. No address and no Message-ID ever stands in a URL: a sending is named by its random id.
"""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse

from mailserver.api.login import ApiLogin
from mailserver.api.problems import language_of
from mailserver.api.wording import attempt_words, notice_words, state_words
from mailserver.audit.wording import Language
from mailserver.model.errors import Malformed, NotFound, OverLimit
from mailserver.service.timelines import HeardState, MessageTimeline, RecipientTimeline, Timelines
from mailserver.store.jobs import AttemptRow
from mailserver.store.sent_rows import SentPlace

MOST_MESSAGES, MESSAGES = 100, 20
"""Of one page: at most, and when nothing is asked."""
BODY_BYTES = 4096
BODY_SECONDS = 10
_MESSAGE_ID_CHARACTERS = 998
_ID = re.compile(r"[0-9a-f]{32}")
_PLACE = re.compile(r"([0-9]{1,12})-([0-9a-f]{32})")


class SentMessages:
    def __init__(self, login: ApiLogin, timelines: Timelines) -> None:
        self._login = login
        self._timelines = timelines

    async def show_list(self, request: Request) -> JSONResponse:
        """``GET /api/v1/sent``: newest first."""
        limit = _parse_limit(request.query_params.get("limit", str(MESSAGES)))
        before = _parse_place(request.query_params.get("before"))
        account = await self._login.admit(request)
        work = partial(self._timelines.list_page, account, limit, before)
        messages, place = await self._login.run(work)
        following = None if place is None else f"{place[0]}-{place[1].hex()}"
        return _answer(request, messages, {"next": following})

    async def show_one(self, request: Request) -> JSONResponse:
        """``GET /api/v1/sent/{id}``."""
        account = await self._login.admit(request)
        named = request.path_params["sent_id"]
        if _ID.fullmatch(named) is None:
            raise NotFound("sent")
        work = partial(self._timelines.load_sent, account, bytes.fromhex(named))
        language = language_of(request)
        found = _message(await self._login.run(work), language)
        return JSONResponse(found, headers={"content-language": language.value})

    async def search(self, request: Request) -> JSONResponse:
        """``POST /api/v1/sent/search``: each sending of one Message-ID, oldest first."""
        account = await self._login.admit(request)
        message_id = _parse_search(await _read_body(request))
        messages = await self._login.run(partial(self._timelines.find_sent, account, message_id))
        return _answer(request, messages, {})


def _parse_limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MOST_MESSAGES):
        raise Malformed("limit")
    return int(text)


def _parse_place(text: str | None) -> SentPlace | None:
    """Where a page begins, as the page before said it."""
    if text is None:
        return None
    found = _PLACE.fullmatch(text)
    if found is None:
        raise Malformed("before")
    return int(found[1]), bytes.fromhex(found[2])


async def _read_body(request: Request) -> bytes:
    """Raises Malformed("media-type"), OverLimit("body", "slow")."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise Malformed("media-type")
    body = bytearray()
    with anyio.move_on_after(BODY_SECONDS) as patience:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES:
                raise OverLimit("body")
    if patience.cancelled_caught:
        raise OverLimit("slow")
    return bytes(body)


def _parse_search(body: bytes) -> str:
    """The Message-ID, with its angle brackets even when it was sent without."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("search") from None
    match asked:
        case {"message_id": str(text)} if 0 < len(text) <= _MESSAGE_ID_CHARACTERS and text.isprintable():
            return text if text.startswith("<") else f"<{text}>"
        case _:
            raise Malformed("search")


def _answer(
    request: Request, messages: Sequence[MessageTimeline], more: dict[str, str | None]
) -> JSONResponse:
    language = language_of(request)
    body: dict[str, object] = {"messages": [_message(each, language) for each in messages]}
    return JSONResponse(body | more, HTTPStatus.OK, {"content-language": language.value})


def _message(found: MessageTimeline, language: Language) -> dict[str, object]:
    return {
        "id": found.sent_id.hex(),
        "message_id": found.message_id or None,
        "sent_at": _instant(found.sent_at),
        "recipients": [_recipient(each, language) for each in found.recipients],
    }


def _recipient(found: RecipientTimeline, language: Language) -> dict[str, object]:
    due = found.next_try_at
    return {
        "address": str(found.recipient),
        "state": found.state.value,
        "text": state_words(found.state, language),
        "next_try_at": None if due is None else _instant(due),
        "attempts": [_attempt(each, language) for each in found.attempts],
        "notice": None if found.heard is None else _notice(found.heard, language),
    }


def _notice(heard: HeardState, language: Language) -> dict[str, object]:
    return {
        "state": heard.state.value,
        "at": _instant(heard.at),
        "code": heard.code or None,
        "text": notice_words(heard, language),
    }


def _attempt(attempt: AttemptRow, language: Language) -> dict[str, object]:
    return {
        "number": attempt.number,
        "at": _instant(attempt.at),
        "result": attempt.result,
        "reply_code": attempt.reply_code or None,
        "text": attempt_words(attempt, language),
    }


def _instant(seconds: int) -> str:
    """RFC 3339 §5.6, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
