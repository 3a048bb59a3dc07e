"""Whose an address is, as RCPT asks: known for a second after it was found, so that a burst of mail to the same boxes asks
the store once.

What this process changes is forgotten with its commit. In that second an account that another process disabled still takes
mail, as one does whose RCPT was answered before; an absence that begins there is not told yet. Nobody unknown is remembered.
"""

from dataclasses import dataclass
from datetime import datetime

from mailserver.model.address import Address
from mailserver.service.absences import Absences
from mailserver.service.directory import Directory
from mailserver.store.accounts import AccountRow
from mailserver.store.store import Store

KNOWN_SECONDS = 1.0
MOST_KNOWN = 4096


@dataclass(frozen=True, slots=True)
class Holder:
    """The account of an address; ``may_be_away``: whether its absence is to be looked at."""

    account: AccountRow
    may_be_away: bool
    found_at: float

    def is_fresh(self, now: datetime) -> bool:
        return 0 <= now.timestamp() - self.found_at < KNOWN_SECONDS


class Recipients:
    """Used from the event loop and from threads."""

    def __init__(self, store: Store, directory: Directory, absences: Absences) -> None:
        self._store = store
        self._directory = directory
        self._absences = absences
        self._known: dict[str, Holder] = {}
        self._age = 0
        store.writer.on_recipients(self.forget)

    def forget(self) -> None:
        """Somebody was changed: what is being read of them now may be old too."""
        self._age += 1
        self._known.clear()

    def is_at_hand(self, address: Address, now: datetime) -> bool:
        """Whether ``find`` and all that follows from it needs no question to the store."""
        known = self._known.get(address.key)
        return known is not None and known.is_fresh(now) and not known.may_be_away

    def find(self, address: Address, now: datetime) -> Holder | None:
        """Who holds an address of our domains. Blocks, unless it ``is_at_hand``."""
        known = self._known.get(address.key)
        if known is not None and known.is_fresh(now):
            return known
        age = self._age
        with self._store.database.read() as connection:
            account = self._directory.find_account(connection, address)
            if account is None:
                return None
            away = self._absences.may_be_away(connection, account.account_id, now)
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        found = Holder(account, away, now.timestamp())
        if age == self._age:
            self._known[address.key] = found
        return found
