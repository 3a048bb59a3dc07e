"""Verbs about the connection itself: CAPABILITY to ENABLE, and login (RFC 9051 §6.1, §6.2).

A failed login waits before it is looked at, the more the more there were (S9), and says the same whatever was wrong
(K22). STARTTLS, LOGOUT and IDLE change the wire: the connection does them.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable

from mailserver.crypto.slots import SlotScope
from mailserver.imap.commands import Authenticate, Capability, Check, Enable, Id, Login, Namespace, Noop
from mailserver.imap.encode import (
    DELIMITER,
    code_capability,
    format_capability,
    format_enabled,
    format_id,
    format_namespace,
)
from mailserver.imap.encode import Status as Word
from mailserver.imap.replies import CERTIFICATE_REFUSED, LOGIN_FAILED, TOKEN_REFUSED
from mailserver.imap.session import CLIENT_CHARACTERS, Reply, Session, done, now_seconds
from mailserver.imap.states import OFFERED, Feature, State
from mailserver.model.errors import Denied, Malformed
from mailserver.service.boxes import NAMESPACE
from mailserver.service.keys import OpenAccount
from mailserver.service.named_mailboxes import NamedMailboxes
from mailserver.service.sasl import (
    Mechanism,
    TokenLogin,
    format_token_refusal,
    parse_external,
    parse_token_login,
)

SCOPES = (SlotScope.IMAP, SlotScope.IMAP_SMTP)
SERVER_ID = (("name", "Pli"), ("vendor", "Pli"))


async def run_capability(session: Session, _command: Capability) -> Reply:
    session.wire.send(format_capability(session.capabilities()))
    return done("CAPABILITY")


async def run_noop(session: Session, _command: Noop) -> Reply:
    """The news it asks for are told by the connection, after the verb (RFC 9051 §6.1.2)."""
    session.has_news |= session.selected is not None
    return done("NOOP")


async def run_check(session: Session, _command: Check) -> Reply:
    """Everything is on the disk already (RFC 3501 §6.4.1)."""
    session.has_news = True
    return done("CHECK")


async def run_id(session: Session, command: Id) -> Reply:
    """RFC 2971: kept for the access log's "by which client", never for behaviour (§3.3)."""
    said = {name.lower(): value for name, value in command.pairs if value}
    words = (said.get("name", ""), said.get("version", ""))
    session.client = " ".join(word for word in words if word)[:CLIENT_CHARACTERS]
    session.wire.send(format_id(SERVER_ID))
    return done("ID")


async def run_namespace(session: Session, _command: Namespace) -> Reply:
    """RFC 2342 §5: the root is the person's own; shared boxes have a namespace once there is one."""
    boxes = await session.wire.call(session.open_names().list_boxes)
    session.wire.send(format_namespace(f"{NAMESPACE}{DELIMITER}" if boxes else ""))
    return done("NAMESPACE")


async def run_enable(session: Session, command: Enable) -> Reply:
    """RFC 5161 §3.2: what cannot be enabled is left out, and what is enabled already is not said again."""
    hidden = session.open_account().profile.hidden_capabilities
    offered = {feature for feature in OFFERED if feature.value not in hidden}
    asked = {feature for feature in offered if feature.value.upper() in command.names}
    session.wire.send(
        format_enabled(feature.value for feature in Feature if feature in asked - session.enabled)
    )
    if not asked.isdisjoint({Feature.CONDSTORE, Feature.QRESYNC}):
        session.enable_condstore()  # RFC 7162 §3.2.3: QRESYNC brings CONDSTORE
    session.enabled |= asked
    if Feature.REV2 in asked and session.selected is not None:
        session.selected.view.forget_recent()
    return done("ENABLE")


async def run_login(session: Session, command: Login) -> Reply:
    """RFC 9051 §6.2.3, with an app password (K4)."""
    return await log_in(session, command.name, command.password, "LOGIN")


def parse_plain(response: bytes) -> tuple[str, bytes] | None:
    """RFC 4616 §2: (authcid, password); None when it is no such message or asks to act for somebody else."""
    parts = response.split(b"\0")
    if len(parts) != 3:
        return None
    try:
        authzid, authcid = parts[0].decode("utf-8"), parts[1].decode("utf-8")
    except UnicodeDecodeError:
        return None
    return (authcid, parts[2]) if authzid in {"", authcid} else None


def mechanisms_of(session: Session) -> tuple[str, ...]:
    """What AUTHENTICATE takes on this connection."""
    return ("PLAIN", *session.further_mechanisms())


async def run_authenticate(session: Session, command: Authenticate) -> Reply:
    """AUTHENTICATE once its response is there (RFC 9051 §6.2.2); mechanisms that are not offered never reach this."""
    response = command.initial or b""
    try:
        match command.mechanism:
            case Mechanism.OAUTHBEARER | Mechanism.XOAUTH2:
                return await _log_in_with_token(
                    session, parse_token_login(Mechanism(command.mechanism), response)
                )
            case Mechanism.EXTERNAL:
                return await _log_in_with_certificate(session, parse_external(response))
            case _:
                found = parse_plain(response)
    except Malformed:
        found = None
    if found is None:
        return Reply(Word.BAD, f"The {command.mechanism} response cannot be understood")
    return await log_in(session, *found, "AUTHENTICATE")


async def log_in(session: Session, name: str, secret: bytes, verb: str) -> Reply:
    """Open the account, or say the one refusal."""
    keys, text = session.services.keys, secret.decode("ascii", "replace")
    return await _admit(
        session,
        name,
        lambda: session.wire.call(keys.open_with_app_password, name, text, SCOPES, now_seconds()),
        LOGIN_FAILED,
        verb,
    )


async def _log_in_with_token(session: Session, said: TokenLogin) -> Reply:
    """RFC 7628 §3, XOAUTH2: the custodian judges the token and releases the keys (K7)."""
    logins, origin = session.services.logins, session.origin()

    def begin() -> Awaitable[OpenAccount]:
        return asyncio.wrap_future(logins.begin_with_token(said, SlotScope.IMAP, origin))

    return await _admit(session, said.login, begin, TOKEN_REFUSED)


async def _log_in_with_certificate(session: Session, name: str) -> Reply:
    """RFC 4422 §A: the certificate of this connection's handshake."""
    logins, origin, shown = session.services.logins, session.origin(), session.certificate or b""

    def begin() -> Awaitable[OpenAccount]:
        return asyncio.wrap_future(logins.begin_with_certificate(name, shown, SlotScope.IMAP, origin))

    return await _admit(session, name, begin, CERTIFICATE_REFUSED)


async def _admit(
    session: Session,
    name: str,
    begin: Callable[[], Awaitable[OpenAccount]],
    refusal: Reply,
    verb: str = "AUTHENTICATE",
) -> Reply:
    """Wait as long as earlier failures ask (S9), open the account, or say the one refusal of its way."""
    throttle = session.services.throttle
    delay = throttle.delay_seconds(session.peer, name)
    if delay:
        await asyncio.sleep(delay)
    try:
        account = await begin()
    except Denied:
        throttle.note_failure(session.peer, name)
        return refusal
    await session.wire.drain()  # the peer may have left meanwhile
    throttle.note_success(session.peer, name)
    session.account = account
    services, watch = session.services, session.wire.watch
    session.names = NamedMailboxes(services.mailboxes, services.boxes, account, session.origin, watch)
    session.state = State.AUTHENTICATED
    return done(verb, code_capability(session.capabilities()))


def refusal_challenge(session: Session, command: Authenticate) -> str:
    """Why a token was refused, in base64, before the refusal itself."""
    advice = session.services.logins.policy.advice
    return base64.b64encode(format_token_refusal(Mechanism(command.mechanism), advice)).decode("ascii")
