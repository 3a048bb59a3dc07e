"""Receipts of readings: made here alone, after the commit of the Unit that wrote the log entries (L4, L10)."""

from collections.abc import Iterable

from mailserver.audit.receipt import Purpose, ReadReceipt, receipt_token_for_store
from mailserver.store.writer import Unit, Writer


def commit_reading(
    writer: Writer, unit: Unit[None], objects: Iterable[bytes], purpose: Purpose
) -> ReadReceipt:
    """Commit the entries of a reading, then give the means to read: no entry, no receipt.

    ``unit`` adds one entry per object of its account. Raises Unavailable when the log cannot be written.
    """
    named = tuple(objects)
    writer.commit(unit)
    return ReadReceipt(receipt_token_for_store(), unit.account_id, named, purpose)
