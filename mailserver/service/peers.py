"""The other operators' servers: what their certificates are worth now, by the rules of this operator's configuration."""

import logging
from datetime import datetime

from mailserver.crypto.revocation_lists import Standing
from mailserver.policy.decision import Decision
from mailserver.policy.mail_rules import PeerFacts, PeerRules, decide_peer
from mailserver.service.revocations import Revocations

logger = logging.getLogger("pli.tls")


class Peers:
    """``find_standing`` never blocks; ``check`` may ask the network: pool threads only."""

    def __init__(self, rules: PeerRules, revocations: Revocations) -> None:
        self.rules = rules
        self._revocations = revocations

    def find_standing(self, certificate_der: bytes, now: datetime) -> Standing | None:
        """What is known of its revocation without asking anybody."""
        return self._revocations.find_known(certificate_der, now)

    def check(self, certificate_der: bytes, now: datetime) -> Standing:
        """Whether it was revoked. One that nobody can tell and that is let in all the same is a line in the log."""
        known = self.find_standing(certificate_der, now)
        if known is not None:
            return known
        standing = self._revocations.check(certificate_der, now)
        if standing is Standing.UNKNOWN and not self.rules.demands_standing:
            logger.warning("peer let in, its revocation could not be checked")
        return standing

    def decide(self, facts: PeerFacts, now: datetime) -> Decision:
        return decide_peer(facts, now, self.rules)
