"""A look at somebody's log that leaves no entry: tests count entries, and must not add to them by looking."""

from mailserver.audit.receipt import Purpose, ReadReceipt, receipt_token_for_store
from mailserver.crypto.roots import Root
from mailserver.service import access_log
from mailserver.service.access_log import LOG_OBJECT, LoggedEvent, LogReading
from mailserver.service.keys import OpenAccount
from mailserver.store.accounts import AccountRow
from mailserver.store.store import Store


def unlogged_reading(account: AccountRow, purpose: Purpose = Purpose.SHOW) -> LogReading:
    """A receipt without its entry: only a test may say that it is the store."""
    receipt = ReadReceipt(receipt_token_for_store(), account.account_id, [LOG_OBJECT], purpose)
    return LogReading(receipt, purpose)


def unlogged_copy(account: OpenAccount) -> LogReading:
    return unlogged_reading(account.account, Purpose.EXPORT)


def read_log(
    store: Store, account: AccountRow, space: Root, *, newest: int | None = None
) -> list[LoggedEvent]:
    """As the service's, with a receipt from nowhere."""
    return access_log.read_log(store, account, space, unlogged_reading(account), newest=newest)
