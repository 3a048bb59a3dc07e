"""What is heard of people's ordinary addresses: one that does not exist any more is marked as dead.

Only what is said of the address itself counts (RFC 3463 §3.2): by the relay at once, or by a report that comes back
later (``mailserver.service.bounces``). The relay's yes ends a mark that the relay made; after a report it says nothing,
for such a relay takes mail for any address.
"""

import logging
from dataclasses import dataclass, replace

from mailserver.model.address import Address, parse_address
from mailserver.model.errors import Malformed
from mailserver.model.ids import AccountId, JobId
from mailserver.service.delivery_reports import AttemptResult, Cause, Fate
from mailserver.service.directory import Directory
from mailserver.service.notice_tokens import format_token
from mailserver.service.outbound import NoticeOrder
from mailserver.store.accounts import AccountRow
from mailserver.store.database import Connection
from mailserver.store.jobs import JobRow
from mailserver.store.store import Store
from mailserver.store.writer import Unit

# RFC 3463 §3.2, §3.3, of the recipient: 5.1.7 and 5.1.8 are of the sender, and would mark everybody
_ADDRESS_STATUS = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})

logger = logging.getLogger("pli.contacts")


@dataclass(frozen=True, slots=True)
class ContactChange:
    """An account's row before, and as it is to be."""

    before: AccountRow
    after: AccountRow


class Contacts:
    """Blocks: pool threads only."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store = store
        self._directory = directory

    def token_of(self, job_id: JobId) -> str:
        """The mark that a notice bears."""
        return format_token(self._store.macs, job_id)

    def note(self, row: JobRow, order: NoticeOrder, result: AttemptResult) -> None:
        """Mark or unmark the address of a notice, while it is still the person's. Raises Unavailable, Corrupt."""
        is_dead = says_dead(result)
        if not is_dead and result.fate is not Fate.DELIVERED:
            return
        change = self._find_change(row.account_id, order.recipient, is_dead=is_dead)
        if change is None:
            return

        def run(connection: Connection) -> None:
            # what somebody else changed meanwhile is left as it is: the next notice tells again
            if self._store.accounts.load_account(connection, row.account_id) == change.before:
                self._store.accounts.replace_account(connection, change.after)

        self._store.writer.commit(Unit(row.account_id, run))
        if is_dead:
            log_dead(row.job_id)

    def _find_change(
        self, account_id: AccountId, recipient: Address, *, is_dead: bool
    ) -> ContactChange | None:
        with self._store.database.read() as connection:
            account = self._store.accounts.load_account(connection, account_id)
        profile = self._directory.open_profile(account)
        is_kept = profile.is_email_returned if not is_dead else False
        if profile.contact_email != str(recipient) or profile.is_email_dead == is_dead or is_kept:
            return None
        sealed = self._directory.seal_profile(account_id, replace(profile, is_email_dead=is_dead))
        return ContactChange(account, replace(account, profile=sealed))

    def find_return(self, account_id: AccountId, names: tuple[Address, ...]) -> ContactChange | None:
        """The mark that a report brings; None when none of these is the person's address now. Raises NotFound, Corrupt."""
        with self._store.database.read() as connection:
            account = self._store.accounts.load_account(connection, account_id)
        profile = self._directory.open_profile(account)
        try:
            current = parse_address(profile.contact_email).key
        except Malformed:  # none, or one of before addresses were checked
            return None
        if all(name.key != current for name in names):
            return None
        marked = replace(profile, is_email_dead=True, is_email_returned=True)
        return ContactChange(
            account, replace(account, profile=self._directory.seal_profile(account_id, marked))
        )


def log_dead(job_id: JobId) -> None:
    """The operator's log names the notice, never the address."""
    logger.warning("a contact address is dead: notices go another way", extra={"job": job_id.hex()})


def says_dead(result: AttemptResult) -> bool:
    """Whether a final answer is about the address. A bare 550 does not say of which it is, and marks nothing."""
    is_final = result.fate is Fate.REFUSED and result.cause is Cause.PEER_REPLY
    return is_final and is_address_status(result.status)


def is_address_status(status: str) -> bool:
    """Whether an enhanced status says that the recipient's address does not exist or takes no mail."""
    return status in _ADDRESS_STATUS
