"""What the answers of the ordinary relay say of people's addresses: one that does not exist is marked as dead.

Only what is said of the address itself counts (RFC 3463 §3.2), at the relay and at once: a report that comes back later
cannot come in here, for the trust space takes no ordinary mail.
"""

from dataclasses import replace

from mailserver.service.delivery_reports import AttemptResult, Cause, Fate
from mailserver.service.directory import Directory
from mailserver.service.outbound import NoticeOrder
from mailserver.store.database import Connection
from mailserver.store.jobs import JobRow
from mailserver.store.store import Store
from mailserver.store.writer import Unit

# RFC 3463 §3.2, §3.3, of the recipient: 5.1.7 and 5.1.8 are of the sender, and would mark everybody
_ADDRESS_STATUS = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})


class Contacts:
    """Blocks: pool threads only."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store = store
        self._directory = directory

    def note(self, row: JobRow, order: NoticeOrder, result: AttemptResult) -> None:
        """Mark or unmark the address of a notice, while it is still the person's. Raises Unavailable, Corrupt."""
        is_dead = says_dead(result)
        if not is_dead and result.fate is not Fate.DELIVERED:
            return
        with self._store.database.read() as connection:
            account = self._store.accounts.load_account(connection, row.account_id)
        profile = self._directory.open_profile(account)
        if profile.contact_email != str(order.recipient) or profile.is_email_dead == is_dead:
            return
        sealed = self._directory.seal_profile(row.account_id, replace(profile, is_email_dead=is_dead))
        changed = replace(account, profile=sealed)

        def run(connection: Connection) -> None:
            # what somebody else changed meanwhile is left as it is: the next notice tells again
            if self._store.accounts.load_account(connection, row.account_id) == account:
                self._store.accounts.replace_account(connection, changed)

        self._store.writer.commit(Unit(row.account_id, run))


def says_dead(result: AttemptResult) -> bool:
    """Whether a final answer is about the address. A bare 550 does not say of which it is, and marks nothing."""
    is_final = result.fate is Fate.REFUSED and result.cause is Cause.PEER_REPLY
    return is_final and result.status in _ADDRESS_STATUS
