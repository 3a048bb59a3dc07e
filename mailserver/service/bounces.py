"""Reports about our notices that come back later by ordinary mail: an address that failed for good is marked as dead.

A report is believed when it bears the mark of a notice of the last days that the relay took, and fails the very address
that is the person's now. Each notice marks once: the same report, or another about it, changes nothing more.
"""

import logging
from datetime import datetime
from enum import StrEnum

from mailserver.mime.bounces import Bounce, Failure, find_bounce
from mailserver.mime.limits import MimeLimits
from mailserver.mime.scanner import MessageScanner
from mailserver.model.errors import Conflict, NotFound, OverLimit
from mailserver.model.ids import JobId
from mailserver.service.contacts import ContactChange, Contacts, is_address_status, log_dead
from mailserver.service.delivery_reports import Cause
from mailserver.service.notice_tokens import find_jobs
from mailserver.store import jobs
from mailserver.store.database import Connection
from mailserver.store.jobs import JobRow, JobState, Lane
from mailserver.store.store import Store
from mailserver.store.writer import Unit

BOUNCE_BYTES = 256 * 1024
"""The largest report that is read: a notice and its report have a few KiB."""
LIFE_SECONDS = 8 * 86400
"""RFC 5321 §4.5.4.1: mail servers give up after four or five days."""
_LIMITS = MimeLimits(depth=10, parts=50)

logger = logging.getLogger("pli.contacts")


class Heard(StrEnum):
    STRANGE = "strange"
    """No report, or about no notice of ours."""
    LEFT = "left"
    """About a notice of ours; nothing follows from it."""
    MARKED = "marked"
    LATER = "later"
    """The notice is just being sent, or its account being changed: look again."""


class Bounces:
    """Blocks: pool threads only."""

    def __init__(self, store: Store, contacts: Contacts) -> None:
        self._store = store
        self._contacts = contacts

    def hear(self, octets: bytes, now: datetime) -> Heard:
        """What one mail of the bounce mailbox leads to. Raises Unavailable, Corrupt."""
        bounce = _find_bounce(octets)
        job = None if bounce is None else self._find_job(bounce)
        if bounce is None or job is None:
            return Heard.STRANGE
        if now.timestamp() - job.created_at > LIFE_SECONDS or job.state is JobState.FAILED:
            return Heard.LEFT
        if job.state is not JobState.DONE:
            return Heard.LATER
        for failure in bounce.failures:
            heard = self._settle(job, failure, now)
            if heard is not Heard.LEFT:
                return heard
        return Heard.LEFT

    def _find_job(self, bounce: Bounce) -> JobRow | None:
        for job_id in find_jobs(self._store.macs, bounce.words):
            row = self._find_stored(job_id)
            if row is not None and row.lane is Lane.NOTICE:
                return row
        return None

    def _find_stored(self, job_id: JobId) -> JobRow | None:
        with self._store.database.read() as connection:
            try:
                return self._store.jobs.load_job(connection, job_id)
            except NotFound:
                return None

    def _settle(self, job: JobRow, failure: Failure, now: datetime) -> Heard:
        try:
            change = self._contacts.find_return(job.account_id, failure.names)
        except NotFound:  # the account is gone
            return Heard.LEFT
        if change is None:
            return Heard.LEFT
        is_dead = is_address_status(failure.status)
        try:
            is_first = self._commit(job, change if is_dead else None, int(now.timestamp()))
        except Conflict:
            return Heard.LATER
        if not is_first:
            return Heard.LEFT
        logger.warning("a notice came back", extra={"job": job.job_id.hex(), "code": failure.status})
        if not is_dead:
            return Heard.LEFT
        log_dead(job.job_id)
        return Heard.MARKED

    def _commit(self, job: JobRow, change: ContactChange | None, at: int) -> bool:
        """One Unit: the notice has failed after all, and the address is marked; False when it had failed before."""
        accounts = self._store.accounts

        def run(connection: Connection) -> bool:
            if change is not None and accounts.load_account(connection, job.account_id) != change.before:
                raise Conflict("account-changed")
            if not jobs.mark_returned(connection, job):
                return False
            jobs.add_attempt(connection, job.job_id, job.attempts + 1, at, (Cause.PEER_REPLY, 0))
            if change is not None:
                accounts.replace_account(connection, change.after)
            return True

        return self._store.writer.commit(Unit(job.account_id, run))


def _find_bounce(octets: bytes) -> Bounce | None:
    if len(octets) > BOUNCE_BYTES:
        return None
    scanner = MessageScanner(_LIMITS)
    try:
        scanner.feed(octets)
        root = scanner.close()
    except OverLimit:
        return None
    return find_bounce(root, lambda start, stop: octets[start:stop])
