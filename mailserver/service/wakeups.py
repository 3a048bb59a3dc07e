"""Who waits for news: open connections of this process, by account. It carries no truth, only a reason to look.

Used from the event loop alone: the change feed calls ``notify``, the revocation poll calls ``revoke_changed``.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mailserver.model.ids import AccountId


@dataclass(eq=False, slots=True)
class Waiter:
    """One connection. ``on_news`` and ``on_revoked`` are called on the event loop and must not block."""

    account_id: AccountId
    revocation: int
    on_news: Callable[[], None]
    on_revoked: Callable[[], None]


class Wakeups:
    def __init__(self) -> None:
        self._waiters: dict[AccountId, set[Waiter]] = {}

    def add(self, waiter: Waiter) -> None:
        self._waiters.setdefault(waiter.account_id, set()).add(waiter)

    def remove(self, waiter: Waiter) -> None:
        waiters = self._waiters.get(waiter.account_id, set())
        waiters.discard(waiter)
        if not waiters:
            self._waiters.pop(waiter.account_id, None)

    def notify(self, account_ids: Iterable[AccountId]) -> None:
        for account_id in account_ids:
            for waiter in tuple(self._waiters.get(account_id, ())):
                waiter.on_news()

    def list_accounts(self) -> list[AccountId]:
        """Accounts with an open connection here: whose revocation counters to poll (K4)."""
        return list(self._waiters)

    def revoke_changed(self, counters: Mapping[AccountId, int]) -> None:
        """End every connection that was opened under an older revocation counter."""
        for account_id, counter in counters.items():
            for waiter in tuple(self._waiters.get(account_id, ())):
                if waiter.revocation != counter:
                    waiter.on_revoked()
