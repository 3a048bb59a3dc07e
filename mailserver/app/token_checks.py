"""The check of access tokens that the configuration asks for, with its way to the issuer."""

import base64
import logging
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

from mailserver.config import Config
from mailserver.crypto.tokens import IntrospectionCheck, JwtCheck, KeySource, TokenCheck, TokenPolicy
from mailserver.model.errors import Unavailable
from mailserver.tls.https_client import ANSWER_BYTES, HttpsEndpoint

logger = logging.getLogger("pli.tokens")


def build_token_check(config: Config) -> TokenCheck | None:
    """None where no issuer is configured. Nothing is read or fetched before the first token."""
    oauth = config.oauth
    if not oauth.issuer:
        return None
    lifetime = timedelta(minutes=oauth.lifetime_minutes)
    policy = TokenPolicy(oauth.issuer, frozenset(oauth.audiences), oauth.claim, lifetime)
    authority = config.path(oauth.authority) if oauth.authority else None
    if oauth.jwks_file:
        path = config.path(oauth.jwks_file)
        return JwtCheck(policy, KeySource(lambda: _read(path, ANSWER_BYTES)))
    if oauth.jwks_url:
        endpoint = HttpsEndpoint(oauth.jwks_url, authority)
        return JwtCheck(policy, KeySource(lambda: _fetch(endpoint, {"Accept": "application/json"})))
    secret_path = config.path(oauth.client_secret_file)
    asked = HttpsEndpoint(oauth.introspection_url, authority)
    return IntrospectionCheck(policy, lambda token: _ask(asked, oauth.client_id, secret_path, token))


def _ask(endpoint: HttpsEndpoint, client_id: str, secret_path: Path, token: bytes) -> bytes:
    """RFC 7662 §2.1, with our name and secret as RFC 6749 §2.3.1 writes them."""
    secret = _read(secret_path, 1024).decode("utf-8", "replace").strip()
    pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}".encode()
    headers = {
        "Accept": "application/json",
        "Authorization": f"Basic {base64.b64encode(pair).decode()}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    body = urlencode({"token": token, "token_type_hint": "access_token"}).encode()
    return _fetch(endpoint, headers, body)


def _fetch(endpoint: HttpsEndpoint, headers: dict[str, str], body: bytes | None = None) -> bytes:
    try:
        return endpoint.fetch(headers, body)
    except Unavailable as error:
        logger.error("the issuer of tokens does not answer", extra={"detail": error.detail})  # noqa: TRY400 # no trace of use
        raise Unavailable("token-issuer") from None


def _read(path: Path, limit_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit_bytes)
    except OSError as error:
        logger.error("a file of [oauth] cannot be read", extra={"path": path.name, "number": error.errno})  # noqa: TRY400 # as above
        raise Unavailable("token-issuer") from None
