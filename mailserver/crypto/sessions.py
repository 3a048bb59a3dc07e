"""Keys of a web session (K21): wrapped in the row under the cookie's secret and the hour's key.

The database alone opens nothing (no cookie secret, no hourly key), nor does a stolen cookie once its row or its hour
is gone. The expiry and the factor are authenticated: a row cannot be given a longer life or a second factor.
"""

from datetime import datetime

from mailserver.crypto.ctx import ctx
from mailserver.crypto.hkdf import derive
from mailserver.crypto.secret import Secret
from mailserver.crypto.wrap import unwrap, wrap
from mailserver.model.errors import Corrupt, Denied


def seal_session(
    secret: Secret,
    hourly_key: Secret,
    account: bytes,
    session_id: bytes,
    expiry: datetime,
    factor: str,
    payload: bytes,
) -> bytes:
    """Wrap ``payload`` (mail and space roots, never the AMK). ``expiry`` is aware and counts in whole seconds."""
    return wrap(_key(secret, hourly_key), payload, _aad(account, session_id, expiry, factor))


def open_session(
    secret: Secret,
    hourly_key: Secret,
    account: bytes,
    session_id: bytes,
    expiry: datetime,
    factor: str,
    sealed: bytes,
) -> bytes:
    """The payload; Denied("session") when the cookie, the hour or any field differs. The caller judges ``expiry``."""
    try:
        return unwrap(_key(secret, hourly_key), sealed, _aad(account, session_id, expiry, factor))
    except Corrupt:
        raise Denied("session") from None


def _key(secret: Secret, hourly_key: Secret) -> Secret:
    """HKDF(secret ‖ hourly key); both have 32 bytes, so that the border cannot move."""
    if len(secret.reveal()) != 32 or len(hourly_key.reveal()) != 32:
        raise ValueError("a session secret and an hourly key have 32 bytes")
    return derive(Secret(secret.reveal() + hourly_key.reveal()), "session-key")


def _aad(account: bytes, session_id: bytes, expiry: datetime, factor: str) -> bytes:
    if expiry.tzinfo is None:
        raise ValueError("an expiry is an aware datetime")
    return ctx("session", account, session_id, int(expiry.timestamp()), factor)
