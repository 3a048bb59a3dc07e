"""Where a connection's masked trace goes: the operator's log, for as long as the administrator said."""

import logging

from mailserver.imap.session import now_seconds
from mailserver.imap.trace import Direction, Trace
from mailserver.log import incident_id
from mailserver.service.keys import OpenAccount

TRACE_LOG = logging.getLogger("pli.imap.trace")


class Tracer:
    """The masked trace of one connection, as lines of the operator's log, until the hour the administrator set."""

    def __init__(self, account: OpenAccount) -> None:
        self._traces = {direction: Trace() for direction in Direction}
        self._until = account.profile.traced_until
        self._extra = {"account": account.account_id.hex(), "connection": incident_id()}

    def note(self, direction: Direction, octets: bytes) -> None:
        """Write what passes; nothing once the time is over."""
        if now_seconds() < self._until:
            for line in self._traces[direction].feed(octets):
                TRACE_LOG.info(line, extra={**self._extra, "from": direction.value})
