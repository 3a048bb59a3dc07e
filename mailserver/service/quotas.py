"""How much mail one account may keep (RFC 9208 §3). Mail that arrives is never refused for it."""

import logging
from dataclasses import dataclass

from mailserver.model.errors import OverLimit
from mailserver.model.ids import AccountId
from mailserver.store import mailboxes
from mailserver.store.kept_rows import sum_kept_bytes
from mailserver.store.store import Store

logger = logging.getLogger("pli.quotas")


@dataclass(frozen=True, slots=True)
class Amount:
    """So many messages, of so many octets together; padding counts, since it is stored."""

    messages: int
    storage_bytes: int


DEFAULT_QUOTA = Amount(200_000, 50 * 2**30)


class Quotas:
    """One limit, which holds for each account."""

    def __init__(self, store: Store, limit: Amount = DEFAULT_QUOTA) -> None:
        self._store = store
        self.limit = limit

    def load_usage(self, account_id: AccountId) -> Amount:
        """What an account keeps: the counters of its mailboxes, and the files of large mail that it sent."""
        with self._store.database.read() as connection:
            held = Amount(*mailboxes.sum_counters(connection, account_id))
            return Amount(held.messages, held.storage_bytes + sum_kept_bytes(connection, account_id))

    def demand_room(self, account_id: AccountId, more: Amount) -> None:
        """Raises OverLimit("quota") when ``more`` would pass the limit; what makes room is never too much.

        Asked before the Unit: parallel commands of one account may pass it by what they carry.
        """
        held, limit = self.load_usage(account_id), self.limit
        has_room = held.messages + more.messages <= max(
            limit.messages, held.messages
        ) and held.storage_bytes + more.storage_bytes <= max(limit.storage_bytes, held.storage_bytes)
        if not has_room:
            told = {"account": account_id.hex(), "messages": held.messages, "octets": held.storage_bytes}
            logger.warning("quota reached", extra=told)
            raise OverLimit("quota")
