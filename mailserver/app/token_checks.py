"""The check of access tokens that the configuration asks for, with its way to the issuer."""

import asyncio
import base64
import logging
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

from mailserver.config import Config
from mailserver.crypto.tokens import IntrospectionCheck, JwtCheck, KeySource, TokenCheck, TokenPolicy
from mailserver.model.errors import Denied, PliError, Unavailable
from mailserver.sync.https_fetch import NO_VALIDATORS, FetchLimits, Request, fetch
from mailserver.tls.contexts import web_client_context

LIMITS = FetchLimits(256 * 1024, 5.0)
_JSON = "application/json"
_SECRET_BYTES = 1024
_BAD_REQUEST = "400"

logger = logging.getLogger("pli.tokens")


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """``authority`` None: those of this machine."""

    url: str
    authority: Path | None


def build_token_check(config: Config) -> TokenCheck | None:
    """None where no issuer is configured. Nothing is read or fetched before the first token."""
    oauth = config.oauth
    if not oauth.issuer:
        return None
    lifetime = timedelta(minutes=oauth.lifetime_minutes)
    names = frozenset(oauth.audiences), oauth.claim, lifetime, frozenset(oauth.clients)
    policy = TokenPolicy(oauth.issuer, *names)
    authority = config.path(oauth.authority) if oauth.authority else None
    if oauth.jwks_file:
        path = config.path(oauth.jwks_file)
        return JwtCheck(policy, KeySource(lambda: _read(path, LIMITS.octets)))
    if oauth.jwks_url:
        endpoint = _Endpoint(oauth.jwks_url, authority)
        return JwtCheck(policy, KeySource(lambda: _fetch(endpoint, Request(_JSON))))
    secret_path = config.path(oauth.client_secret_file)
    asked = _Endpoint(oauth.introspection_url, authority)
    return IntrospectionCheck(policy, lambda token: _ask(asked, oauth.client_id, secret_path, token))


def _ask(endpoint: _Endpoint, client_id: str, secret_path: Path, token: bytes) -> bytes:
    """RFC 7662 §2.1, with our name and secret as RFC 6749 §2.3.1 writes them. Raises Denied("token-inactive") when the
    issuer will not read this very token.
    """
    secret = _read(secret_path, _SECRET_BYTES).decode("utf-8", "replace").strip()
    pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}".encode()
    headers = (
        ("Authorization", f"Basic {base64.b64encode(pair).decode()}"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    )
    body = urlencode({"token": token, "token_type_hint": "access_token"}).encode()
    try:
        return _fetch(endpoint, Request(_JSON, headers, body))
    except Unavailable as error:
        if error.detail == _BAD_REQUEST:
            raise Denied("token-inactive") from None
        raise


def _fetch(endpoint: _Endpoint, request: Request) -> bytes:
    """In a thread of the custodian's, which has no event loop of its own."""
    try:
        context = web_client_context(endpoint.authority)
        fetched = asyncio.run(fetch(endpoint.url, context, NO_VALIDATORS, LIMITS, request))
    except PliError as error:
        fields = {"code": error.code, "detail": error.detail}
        logger.error("the issuer of tokens does not answer", extra=fields)  # noqa: TRY400 # no trace of use
        raise Unavailable("token-issuer", error.detail if error.code == "fetch-status" else "") from None
    return fetched.body or b""


def _read(path: Path, limit_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit_bytes)
    except OSError as error:
        logger.error("a file of [oauth] cannot be read", extra={"path": path.name, "number": error.errno})  # noqa: TRY400 # as above
        raise Unavailable("token-issuer") from None
