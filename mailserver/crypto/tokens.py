"""Access tokens as the custodian judges them (K7): who they speak for, said by the one issuer that is configured.

A ``TokenCheck`` gives the holder of a token or refuses it. Two are real: a signed token, checked here with the issuer's
keys; an opaque one, asked about at the issuer (RFC 7662). Fetching is a call that the application gives.
"""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from mailserver.crypto.jose import (
    TOKEN_BYTES,
    JsonObject,
    VerifyKey,
    parse_json_object,
    parse_jwk_set,
    parse_token,
)
from mailserver.model.errors import Denied, Malformed, Unavailable

CLOCK_TOLERANCE_SECONDS = 60
SUBJECT_CHARACTERS = 255
KEYS_FRESH = timedelta(minutes=10)
"""After so long the issuer's keys are fetched again, so that one it withdrew ends."""
KEYS_KEPT = timedelta(hours=1)
"""So long the last good keys go on when they cannot be fetched; then no token is taken."""
FETCH_PAUSE = timedelta(minutes=1)
"""A key id that nobody knows, or an issuer that does not answer, has the keys fetched once in this time."""
SILENCE = timedelta(seconds=10)
"""An issuer that did not answer about one token is asked about none for so long."""


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """What a token must say. ``claim`` names the person; ``lifetime`` bounds a signed token's whole life.

    ``clients``: those that may have asked for it; empty for any that the issuer gives a token for us.
    """

    issuer: str
    audiences: frozenset[str]
    claim: str
    lifetime: timedelta
    clients: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Holder:
    """Who a token speaks for, in the issuer's words."""

    issuer: str
    subject: str = field(repr=False)


class TokenCheck(Protocol):
    """Judges one token."""

    def check(self, token: bytes, now: datetime) -> Holder:
        """Raises Denied("token-…") for a bad one, Unavailable("token-issuer") when nobody can say."""


class KeySource:
    """The issuer's keys: fetched when first needed, when they are old, and for a key id that is not among them."""

    def __init__(self, fetch: Callable[[], bytes]) -> None:
        """``fetch`` gives the octets of a JWK set, within a time and a size; it raises Unavailable."""
        self._fetch = fetch
        self._lock = threading.Lock()
        self._keys: tuple[VerifyKey, ...] = ()
        self._fetched_at: datetime | None = None
        self._tried_at: datetime | None = None

    def keys_for(self, kid: str, now: datetime) -> tuple[VerifyKey, ...]:
        """The keys to try a token of this key id with. Raises Unavailable("token-issuer")."""
        with self._lock:
            is_known = not kid or any(key.kid == kid for key in self._keys)
            if not (is_known and self._is_within(KEYS_FRESH, now)):
                self._refresh(now)
            if not self._is_within(KEYS_KEPT, now):
                raise Unavailable("token-issuer")
            return self._keys

    def _refresh(self, now: datetime) -> None:
        if self._tried_at is not None and abs(now - self._tried_at) < FETCH_PAUSE:
            return
        self._tried_at = now
        try:
            self._keys = parse_jwk_set(self._fetch())
        except (Unavailable, Malformed):
            return  # the last good keys go on for a while
        self._fetched_at = now

    def _is_within(self, span: timedelta, now: datetime) -> bool:
        return self._fetched_at is not None and abs(now - self._fetched_at) <= span


class JwtCheck:
    """Signed tokens (RFC 7519)."""

    def __init__(self, policy: TokenPolicy, keys: KeySource) -> None:
        self._policy = policy
        self._keys = keys

    def check(self, token: bytes, now: datetime) -> Holder:
        """1. Form. 2. Signature, by a key of the issuer. 3. Issuer, audience and client. 4. Times and whole life. 5. Holder."""
        try:
            parsed = parse_token(token)
            claims = parsed.verify(self._keys.keys_for(parsed.kid, now))
        except Malformed:
            raise Denied("token-form") from None
        policy, at = self._policy, now.timestamp()
        _judge_names(policy, claims)
        issued, expires = _time(claims, "iat"), _time(claims, "exp")
        not_before = _time(claims, "nbf") if "nbf" in claims else issued
        latest = at + CLOCK_TOLERANCE_SECONDS
        if expires <= at - CLOCK_TOLERANCE_SECONDS or issued > latest or not_before > latest:
            raise Denied("token-time")
        if not 0 < expires - issued <= policy.lifetime.total_seconds():
            raise Denied("token-lifetime")
        return _holder(policy, claims)


class IntrospectionCheck:
    """Tokens that only their issuer understands. ``ask`` posts a token and gives the answer's octets, within a time and
    a size; it raises Unavailable, and Denied for a token that the issuer will not read.
    """

    def __init__(self, policy: TokenPolicy, ask: Callable[[bytes], bytes]) -> None:
        self._policy = policy
        self._ask = ask
        self._silent_until: datetime | None = None

    def check(self, token: bytes, now: datetime) -> Holder:
        """RFC 7662 §2.2: active, and if it says so ours and not over. An issuer that talks nonsense cannot answer."""
        if not 0 < len(token) <= TOKEN_BYTES:
            raise Denied("token-form")
        said = self._answer(token, now)
        if said.get("active") is not True:
            raise Denied("token-inactive")
        policy, at = self._policy, now.timestamp()
        _judge_names(policy, {"iss": policy.issuer, **said})
        if _time(said, "exp") <= at - CLOCK_TOLERANCE_SECONDS:
            raise Denied("token-time")
        if "nbf" in said and _time(said, "nbf") > at + CLOCK_TOLERANCE_SECONDS:
            raise Denied("token-time")
        return _holder(policy, said)

    def _answer(self, token: bytes, now: datetime) -> JsonObject:
        """What the issuer says of a token; one that did not answer is not asked again for some seconds."""
        if self._silent_until is not None and now < self._silent_until:
            raise Unavailable("token-issuer")
        try:
            return parse_json_object(self._ask(token))
        except (Malformed, Unavailable):
            self._silent_until = now + SILENCE
            raise Unavailable("token-issuer") from None


def _judge_names(policy: TokenPolicy, claims: JsonObject) -> None:
    if claims.get("iss") != policy.issuer:
        raise Denied("token-issuer")
    audience = claims.get("aud", [])
    listed = audience if isinstance(audience, list) else [audience]
    # RFC 7519 §4.1.3: made for us, whoever asked for it; a client's name opens nothing by itself
    if policy.audiences.isdisjoint({each for each in listed if isinstance(each, str)}):
        raise Denied("token-audience")
    client = claims.get("azp", claims.get("client_id"))  # RFC 9068 §2.2 and RFC 7662 §2.2 say client_id
    if policy.clients and not (isinstance(client, str) and client in policy.clients):
        raise Denied("token-client")


def _time(claims: JsonObject, name: str) -> float:
    """A NumericDate (RFC 7519 §2)."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Denied("token-time")
    try:
        seconds = float(value)
    except OverflowError:
        raise Denied("token-time") from None
    if not math.isfinite(seconds):
        raise Denied("token-time")
    return seconds


def _holder(policy: TokenPolicy, claims: JsonObject) -> Holder:
    subject = claims.get(policy.claim)
    if (
        not isinstance(subject, str)
        or not 0 < len(subject) <= SUBJECT_CHARACTERS
        or not subject.isprintable()
    ):
        raise Denied("token-subject")
    return Holder(policy.issuer, subject)
