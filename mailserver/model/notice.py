"""What is known of one recipient of a sent message beyond the queue: the words of RFC 3464 and RFC 8098 as states."""

from enum import StrEnum


class NoticeState(StrEnum):
    """``OVERDUE`` is ours: nothing came in time, and the sender was told so."""

    SENT = "sent"
    RELAYED = "relayed"
    """Taken by a server that makes no reports of its own, or sent on from there: no more will come."""
    DELIVERED = "delivered"
    OVERDUE = "overdue"
    DISPATCHED = "dispatched"
    """Sent on or printed by the recipient's system (RFC 8098 §3.2.6.2); with Direct, at its final destination."""
    PROCESSED = "processed"
    DISPLAYED = "displayed"
    DELETED = "deleted"
    """It may or may not have been seen."""
    FAILED = "failed"


class Expectation(StrEnum):
    """What a sending waits for."""

    NOTHING = "nothing"
    DELIVERY = "delivery"
    """A report of delivery: NOTIFY=SUCCESS, Return-Receipt-To."""
    RECEIPT = "receipt"
    """A disposition notification: Disposition-Notification-To."""
