"""The mark of an answer form: when it was opened and a nonce, which become the mail's date and id, so that a form sent
twice is one mail. Only the session that got the form can make the mark.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mailserver.crypto.hkdf import verify_mac
from mailserver.service.web_sessions import ABSOLUTE_SECONDS, WebSession

_MARK = re.compile(r"([0-9]{1,12})\.([0-9a-f]{32})\.([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class FormMark:
    opened_at: datetime
    nonce: str


def new_form_mark(session: WebSession, ref: str, now: datetime) -> str:
    """A hidden field for one answer to message ``ref``."""
    opened, nonce = str(int(now.timestamp())), secrets.token_hex(16)
    return f"{opened}.{nonce}.{_seal(session, ref, opened, nonce).hex()}"


def find_form_mark(session: WebSession, ref: str, text: str, now: datetime) -> FormMark | None:
    """The mark, if this session was given it for this message and has not outlived it."""
    match = _MARK.fullmatch(text)
    if match is None or not verify_mac(_seal(session, ref, match[1], match[2]), bytes.fromhex(match[3])):
        return None
    opened_at = datetime.fromtimestamp(int(match[1]), UTC)
    is_fresh = timedelta() <= now - opened_at + timedelta(seconds=1) <= timedelta(seconds=ABSOLUTE_SECONDS)
    return FormMark(opened_at, match[2]) if is_fresh else None


def _seal(session: WebSession, ref: str, opened: str, nonce: str) -> bytes:
    return session.mark(f"answer|{ref}|{opened}|{nonce}")
