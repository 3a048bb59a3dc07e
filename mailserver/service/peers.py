"""The other operators' servers: what their certificates are worth now, by the rules of this operator's configuration.

Whether one was revoked may be a question to the network. It is asked in two threads of its own, once for a certificate
however many wait for the answer: a responder that is silent holds none of the threads that serve people.
"""

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

from mailserver.crypto.revocation_lists import Standing
from mailserver.policy.decision import Decision
from mailserver.policy.mail_rules import PeerFacts, PeerRules, decide_peer
from mailserver.service.revocations import Revocations

THREADS = 2
CHECK_SECONDS = 10.0
"""How long a conversation waits for a check; then nobody can tell, for now."""

logger = logging.getLogger("pli.tls")


class Peers:
    """Nothing here blocks. ``close`` it."""

    def __init__(self, rules: PeerRules, revocations: Revocations) -> None:
        self.rules = rules
        self._revocations = revocations
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="revocation")
        self._lock = threading.Lock()
        self._asked: dict[bytes, Future[Standing]] = {}

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def find_standing(self, certificate_der: bytes, now: datetime) -> Standing | None:
        """What is known of its revocation without asking anybody."""
        return self._revocations.find_known(certificate_der, now)

    def begin_check(self, certificate_der: bytes, now: datetime) -> Future[Standing]:
        """Whether it was revoked: the answer, or that of the question which is being asked already."""
        with self._lock:
            asked = self._asked.get(certificate_der)
            if asked is None:
                asked = self._asked[certificate_der] = self._pool.submit(self._check, certificate_der, now)
            return asked

    def _check(self, certificate_der: bytes, now: datetime) -> Standing:
        """One that nobody can tell and that is let in all the same is a line in the log."""
        try:
            standing = self._revocations.check(certificate_der, now)
        finally:
            with self._lock:
                del self._asked[certificate_der]
        if standing is Standing.UNKNOWN and not self.rules.demands_standing:
            logger.warning("peer let in, its revocation could not be checked")
        return standing

    def decide(self, facts: PeerFacts, now: datetime) -> Decision:
        return decide_peer(facts, now, self.rules)
