"""What the operator reads of SMTP: one JSON line for each refusal and failed handshake, and the security log (L14).

Words of a closed set, codes, the listener and the peer's network; never an address, a subject or a name of a person.
"""

import logging
from datetime import datetime

from mailserver.audit.events import EventResult
from mailserver.audit.security_log import SecurityKind, SecurityRecord, security_fields
from mailserver.model.ids import AccountId
from mailserver.service.throttle import network_of
from mailserver.smtp.link import Role
from mailserver.smtp.replies import Refusal
from mailserver.tls.failures import HandshakeFailure

LOG = logging.getLogger("pli.smtp")
SECURITY = logging.getLogger("pli.security")


class Journal:
    """The lines of one connection."""

    def __init__(self, role: Role, peer: str) -> None:
        self._listener = role.value
        self._network = network_of(peer)

    def refused(self, refusal: Refusal, dn: str = "") -> None:
        """``dn`` is the name in the certificate of the operator that called."""
        fields = {"reason": refusal.word, "code": refusal.code, **self._place()}
        LOG.info("refused", extra=fields | ({"dn": dn} if dn else {}))

    def handshake_failed(self, failure: HandshakeFailure) -> None:
        fields = {"reason": failure.fault.value, "detail": failure.detail, **self._place()}
        LOG.warning("TLS handshake failed", extra=fields)

    def failed(self, error: BaseException, incident: str) -> None:
        """Something of ours: where it failed goes to the log, its text nowhere."""
        LOG.error("connection failed", exc_info=error, extra={"incident": incident, **self._place()})

    def note(
        self, kind: SecurityKind, result: EventResult, now: datetime, account_id: AccountId | None = None
    ) -> None:
        """One record of the security log."""
        record = SecurityRecord(now, kind, result, account=account_id, network=self._network)
        SECURITY.info("security", extra={"record": security_fields(record)})

    def _place(self) -> dict[str, str]:
        return {"listener": self._listener, "network": self._network}
