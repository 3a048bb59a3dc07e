"""Identifiers: 16 random bytes each, typed apart so that one is never passed for another."""

from typing import NewType

AccountId = NewType("AccountId", bytes)
MailboxId = NewType("MailboxId", bytes)
ItemId = NewType("ItemId", bytes)
"""One placement of a message in a mailbox; COPY makes a new one."""
EmailId = NewType("EmailId", bytes)
"""The message itself; COPY and MOVE keep it (RFC 8474)."""
BlobId = NewType("BlobId", bytes)
SegmentId = NewType("SegmentId", bytes)
DocumentId = NewType("DocumentId", bytes)
KeptId = NewType("KeptId", bytes)
"""The files that stay here of one large message."""
SlotId = NewType("SlotId", bytes)
EntryId = NewType("EntryId", bytes)
DeliveryId = NewType("DeliveryId", bytes)
JobId = NewType("JobId", bytes)
SessionId = NewType("SessionId", bytes)
AbsenceId = NewType("AbsenceId", bytes)

ID_BYTES = 16
NOBODY = AccountId(bytes(ID_BYTES))
"""The account of what belongs to none: the queue, the log's order, housekeeping."""
