"""GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208 §7). Each function stands after the verb and its space."""

from mailserver.imap.commands import GetQuota, GetQuotaRoot, SetQuota
from mailserver.imap.cursor import Cursor
from mailserver.imap.grammar import MAX_NUMBER64

_MOST_RESOURCES = 32


def parse_get_quota(cursor: Cursor) -> GetQuota:
    return GetQuota(cursor.astring())


def parse_get_quota_root(cursor: Cursor) -> GetQuotaRoot:
    return GetQuotaRoot(cursor.mailbox())


def parse_set_quota(cursor: Cursor) -> SetQuota:
    root = cursor.astring()
    cursor.space()
    limits = cursor.listed(lambda: _parse_limit(cursor), most=_MOST_RESOURCES, may_be_empty=True)
    return SetQuota(root, limits)


def _parse_limit(cursor: Cursor) -> tuple[str, int]:
    name = cursor.keyword()
    cursor.space()
    return name, cursor.number(MAX_NUMBER64)
