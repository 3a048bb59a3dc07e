"""SMS through a provider's HTTP interface: one POST of a JSON object, whose shape the operator's configuration gives.

TLS with authority and name checked, a bearer token, no redirect followed, no word of the provider kept. The number and
the text are in the request's body and nowhere else.
"""

import http.client
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from mailserver.config.sms_body import SmsBody
from mailserver.crypto.secret import Secret
from mailserver.service.delivery_reports import AttemptResult, Cause, Fate, passing
from mailserver.service.outbound import SmsOrder
from mailserver.tls.contexts import web_client_context

STEP_SECONDS = 20.0
REPLY_BYTES = 64 * 1024
_PASSING = frozenset({401, 403, 408, 425, 429})
"""What a client may have to put right, or to wait for: the message is tried again within its life."""


@dataclass(frozen=True, slots=True)
class SmsAccess:
    """``url`` is https. ``sender`` is the name that the provider shows; ``authority`` None: the system's own."""

    url: str
    body: SmsBody
    sender: str = ""
    token: Secret | None = field(default=None, repr=False)
    authority: Path | None = None


class SmsProvider:
    """The provider of ``[sms]``. Raises Malformed("web-authority"). ``send`` blocks: pool threads."""

    def __init__(self, access: SmsAccess) -> None:
        self._access = access
        self._context = web_client_context(access.authority)

    def send(self, order: SmsOrder) -> AttemptResult:
        """One request; what became of it (RFC 9110 §15)."""
        try:
            status = self._post(order)
        except ssl.SSLCertVerificationError as error:
            return passing(Cause.LINK_LOST, error.verify_message)
        except (OSError, http.client.HTTPException):
            return passing(Cause.UNREACHABLE, "the SMS provider does not answer")
        if 200 <= status < 300:
            return AttemptResult(Fate.DELIVERED, Cause.DELIVERED, status)
        fate = Fate.PASSING if status >= 500 or status in _PASSING else Fate.REFUSED
        return AttemptResult(fate, Cause.PEER_REPLY, status, "4.0.0" if fate is Fate.PASSING else "5.0.0")

    def _post(self, order: SmsOrder) -> int:
        access = self._access
        parts = urlsplit(access.url)
        body = access.body.fill({"number": order.number, "text": order.text, "sender": access.sender})
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Connection": "close"}
        if access.token is not None:
            headers["Authorization"] = f"Bearer {access.token.reveal().decode()}"
        link = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=STEP_SECONDS, context=self._context
        )
        try:
            path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
            link.request("POST", path, body, headers)
            reply = link.getresponse()
            reply.read(REPLY_BYTES)
            return reply.status
        finally:
            link.close()
