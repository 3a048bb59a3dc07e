"""Read receipts that people send (RFC 8098): which message one is about, read from its machine part.

A receipt is known by its whole shape, never by a header alone: multipart/report of type disposition-notification with
a text for people, the notification, and at most the original. Pure; reads a bounded number of octets.
"""

from collections.abc import Callable

from mailserver.mime.decode import decoder_of
from mailserver.mime.headers import HeaderBlock, find_message_id
from mailserver.mime.parameters import find_parameter
from mailserver.mime.part import Part

_NOTIFICATIONS = frozenset({"message/disposition-notification", "message/global-disposition-notification"})
_TEXTS = frozenset({"text/plain", "text/html", "multipart/alternative"})
_ORIGINALS = frozenset({"message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"})
_NOTIFICATION_BYTES = 16 * 1024


def find_original_id(root: Part, read: Callable[[int, int], bytes]) -> str | None:
    """The Message-ID, brackets kept, that a receipt names (RFC 8098 §3.2.5); None for anything that is no receipt.

    ``read(start, stop)`` gives octets of the message that ``root`` was scanned from.
    """
    part = _find_notification(root)
    if part is None or part.size_bytes > _NOTIFICATION_BYTES:
        return None
    decoder = decoder_of(part.content.encoding)
    octets = decoder.update(read(part.body_start, part.body_end)) + decoder.finish()
    fields = HeaderBlock(octets.lstrip(b"\r\n"))
    if fields.count(b"disposition") != 1 or fields.count(b"original-message-id") != 1:
        return None
    return find_message_id(fields.find(b"original-message-id") or b"")


def _find_notification(root: Part) -> Part | None:
    """RFC 8098 §3: the second of two or three parts, each of its own type."""
    report_type = find_parameter(root.content.parameters, "report-type") or ""
    if root.content.content_type != "multipart/report" or report_type.lower() != "disposition-notification":
        return None
    if root.is_opaque or len(root.children) not in {2, 3}:
        return None
    text, notification = root.children[:2]
    if text.content.content_type not in _TEXTS or notification.content.content_type not in _NOTIFICATIONS:
        return None
    if any(each.content.content_type not in _ORIGINALS for each in root.children[2:]):
        return None
    return notification
