"""Opening an account for what AUTH's exchange gave: an app password, a token or a certificate (RFC 4954 §4)."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import assert_never

from mailserver.audit.events import EventResult, Origin
from mailserver.audit.security_log import SecurityKind
from mailserver.crypto.slots import SlotScope
from mailserver.model.errors import Denied
from mailserver.pool import Pool
from mailserver.service.keys import OpenAccount
from mailserver.service.sasl import TOKEN_MECHANISMS, Mechanism, TokenLogin
from mailserver.service.throttle import network_of
from mailserver.smtp.journal import Journal
from mailserver.smtp.link import Link
from mailserver.smtp.sasl import MECHANISMS, CertificateLogin, Credentials, Said
from mailserver.smtp.services import SmtpServices

SCOPES = (SlotScope.SMTP, SlotScope.IMAP_SMTP)


def list_mechanisms(services: SmtpServices, link: Link) -> tuple[str, ...]:
    """Tokens where the configuration takes them, EXTERNAL once a certificate was shown on this connection."""
    tokens = TOKEN_MECHANISMS if services.logins.policy.takes_tokens else ()
    return (*MECHANISMS, *tokens, *(() if link.certificate is None else (Mechanism.EXTERNAL,)))


async def log_in(
    said: Said, services: SmtpServices, pool: Pool, link: Link, journal: Journal
) -> OpenAccount | None:
    """Waits as long as earlier failures ask (S9); None whatever was wrong (K22)."""
    throttle, peer = services.throttle, link.peer
    await asyncio.sleep(throttle.delay_seconds(peer, said.login))
    now = datetime.now(UTC)
    try:
        account = await _open(said, services, pool, link, now)
    except Denied:
        throttle.note_failure(peer, said.login)
        journal.note(SecurityKind.LOGIN, EventResult.REFUSED, now)
        return None
    throttle.note_success(peer, said.login)
    journal.note(SecurityKind.LOGIN, EventResult.DONE, now, account.account_id)
    return account


def _open(
    said: Said, services: SmtpServices, pool: Pool, link: Link, now: datetime
) -> Awaitable[OpenAccount]:
    logins, origin = services.logins, Origin(network_of(link.peer), "SMTP")
    match said:
        case Credentials(login, secret):
            work, at = services.keys.open_with_app_password, int(now.timestamp())
            return pool.hop(work, login, secret, SCOPES, at)
        case TokenLogin():
            return asyncio.wrap_future(logins.begin_with_token(said, SlotScope.SMTP, origin))
        case CertificateLogin(login):
            shown = link.certificate or b""
            return asyncio.wrap_future(logins.begin_with_certificate(login, shown, SlotScope.SMTP, origin))
        case _:
            assert_never(said)
