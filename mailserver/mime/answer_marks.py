"""What a message's header says to a machine that would answer it (RFC 3834 §2)."""

from mailserver.mime.addresses import parse_address_list
from mailserver.mime.headers import HeaderBlock

_LISTS = (
    b"list-id",
    b"list-post",
    b"list-unsubscribe",
    b"list-subscribe",
    b"list-owner",
    b"list-help",
    b"list-archive",
)
_MASSES = frozenset({b"bulk", b"junk", b"list"})
_SUPPRESSED = frozenset({b"all", b"oof", b"autoreply"})
_NAMING = (b"to", b"cc", b"bcc", b"resent-to", b"resent-cc", b"resent-bcc")


def is_bulk(block: HeaderBlock) -> bool:
    """Sent to a list or to many, or marked by its sender's program as one that wants no automatic answer."""
    if any(block.count(name) for name in _LISTS):
        return True
    masses = {value.strip().lower() for value in block.find_all(b"precedence")}
    wishes = b",".join(block.find_all(b"x-auto-response-suppress")).lower().split(b",")
    return not masses.isdisjoint(_MASSES) or not _SUPPRESSED.isdisjoint(each.strip() for each in wishes)


def list_named(block: HeaderBlock) -> frozenset[str]:
    """Every address that the message names as its recipient, folded in case as ``Address.key`` is."""
    lists = [parse_address_list(value) for name in _NAMING for value in block.find_all(name)]
    return frozenset(each.text.casefold() for found in lists for each in found.items)
