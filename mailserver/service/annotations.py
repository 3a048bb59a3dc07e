"""Annotations: named values that a person's clients write beside a mailbox or the account (RFC 5464).

They lie in sealed mailbox records, which every LIST opens: so they are few and small.
"""

from collections.abc import Mapping

from mailserver.model.errors import OverLimit

Entries = tuple[tuple[str, bytes], ...]
"""Names in lower case with their values, by name."""

VALUE_BYTES = 4096
"""RFC 5464 §4.1 asks for 1024 at least, and for ten entries."""
MOST_ENTRIES = 16
TOTAL_BYTES = 16384


def change_entries(entries: Entries, changes: Mapping[str, bytes | None]) -> Entries:
    """The entries with these values set, or taken away where None.

    Raises OverLimit("annotation-size") or OverLimit("annotation-count").
    """
    if any(value is not None and len(value) > VALUE_BYTES for value in changes.values()):
        raise OverLimit("annotation-size")
    merged = {**dict(entries), **changes}
    kept = tuple(sorted((name, value) for name, value in merged.items() if value is not None))
    total = sum(len(name) + len(value) for name, value in kept)
    if len(kept) > MOST_ENTRIES or total > TOTAL_BYTES:
        raise OverLimit("annotation-count")
    return kept
