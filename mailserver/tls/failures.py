"""Remembers why a peer's last handshakes failed, so that its next MAIL is told in words.

Python's ssl has no verify callback: a refused certificate ends as a bare EOF for the peer, in TLS 1.3 even after it
believes that the handshake succeeded. OpenSSL's reason is kept for 15 minutes by peer address, bounded in number:
the oldest leaves first. Used from one event loop; no clock of its own.
"""

import ssl
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailserver.tls.faults import HandshakeFault, classify_fault

KEEP = timedelta(minutes=15)
PEERS = 4096
_DETAIL_CHARACTERS = 120


@dataclass(frozen=True, slots=True)
class HandshakeFailure:
    """One failed handshake. ``detail`` is OpenSSL's own phrase, printable ASCII, for the operator and the 530."""

    fault: HandshakeFault
    detail: str
    at: datetime


def fault_of(error: Exception) -> tuple[HandshakeFault, str]:
    """What a handshake raised → the fault and OpenSSL's phrase. Anything but an SSLError is OTHER."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return classify_fault(error.verify_code, error.reason), _printable(error.verify_message)
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        return classify_fault(None, reason), _printable(reason.replace("_", " ").lower())
    return HandshakeFault.OTHER, "connection closed"


class HandshakeFailures:
    """The last failure of each peer address, forgotten after ``keep`` or when ``peers`` others came later."""

    def __init__(self, *, peers: int = PEERS, keep: timedelta = KEEP) -> None:
        self._peers = peers
        self._keep = keep
        self._failures: OrderedDict[str, HandshakeFailure] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def add_failure(self, peer: str, error: Exception, now: datetime) -> HandshakeFailure:
        """Remember what the handshake of this peer address raised; return it for the operator's log."""
        fault, detail = fault_of(error)
        failure = HandshakeFailure(fault, detail, now)
        self._failures[peer] = failure
        self._failures.move_to_end(peer)
        while len(self._failures) > self._peers:
            self._failures.popitem(last=False)
        return failure

    def find_failure(self, peer: str, now: datetime) -> HandshakeFailure | None:
        """The last failure of this peer address, if it is recent."""
        failure = self._failures.get(peer)
        if failure is None:
            return None
        if now - failure.at > self._keep:
            del self._failures[peer]
            return None
        return failure

    def remove_failure(self, peer: str) -> None:
        """Forget a peer whose handshake has now succeeded."""
        self._failures.pop(peer, None)


def _printable(text: str) -> str:
    return "".join(char for char in text if " " <= char <= "~")[:_DETAIL_CHARACTERS]
