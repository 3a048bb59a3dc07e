"""Responses about rights (RFC 4314 §3.6 to §3.8)."""

from collections.abc import Iterable

from mailserver.imap.encode import format_astring, format_mailbox
from mailserver.model.rights import Rights, format_optional_rights, format_rights


def format_acl(name: str, pairs: Iterable[tuple[str, Rights]], *, is_utf8: bool = False) -> bytes:
    """RFC 4314 §3.6."""
    words = [b"* ACL", format_mailbox(name, is_utf8=is_utf8)]
    for identifier, rights in pairs:
        words += [_format_identifier(identifier), _format_letters(format_rights(rights))]
    return b" ".join(words) + b"\r\n"


def format_list_rights(
    name: str, identifier: str, required: Rights | None, *, is_utf8: bool = False
) -> bytes:
    """RFC 4314 §3.7; ``required`` None: nothing can be granted to the identifier at all."""
    words = [b"* LISTRIGHTS", format_mailbox(name, is_utf8=is_utf8), _format_identifier(identifier)]
    words.append(_format_letters(format_rights(required or ())))
    if required is not None:
        words += map(_format_letters, format_optional_rights(required))
    return b" ".join(words) + b"\r\n"


def format_my_rights(name: str, rights: Rights, *, is_utf8: bool = False) -> bytes:
    """RFC 4314 §3.8."""
    return b"* MYRIGHTS %b %b\r\n" % (
        format_mailbox(name, is_utf8=is_utf8),
        _format_letters(format_rights(rights)),
    )


def _format_letters(letters: str) -> bytes:
    return format_astring(letters.encode("ascii"))


def _format_identifier(identifier: str) -> bytes:
    """In UTF-8, a literal where a quoted string cannot hold it (RFC 4314 §9)."""
    return format_astring(identifier.encode("utf-8", "replace"))
