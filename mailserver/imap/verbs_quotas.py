"""GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208 §4.1): one quota root covers all mailboxes of an account.

Old clients show the root's name as it is, so it is words (RFC 2087 leaves it open).
"""

from mailserver.imap.commands import GetQuota, GetQuotaRoot, SetQuota
from mailserver.imap.encode import format_quota, format_quota_root
from mailserver.imap.replies import NO_SUCH_QUOTA, QUOTA_IS_FIXED
from mailserver.imap.session import Reply, Session, done

ROOT = b"User quota"
KIB = 1024
"""RFC 9208 §5.1: STORAGE is told in units of 1024 octets."""


async def run_get_quota(session: Session, command: GetQuota) -> Reply:
    if command.root != ROOT:
        return NO_SUCH_QUOTA
    session.wire.send(await session.wire.call(_quota, session))
    return done("GETQUOTA")


async def run_get_quota_root(session: Session, command: GetQuotaRoot) -> Reply:
    session.wire.send(await session.wire.call(_quota_root, session, command.mailbox))
    return done("GETQUOTAROOT")


async def run_set_quota(_session: Session, _command: SetQuota) -> Reply:
    """Refused: the operator sets limits, in the configuration. QUOTASET is not announced (RFC 9208 §4.1.3)."""
    return QUOTA_IS_FIXED


def _quota_root(session: Session, mailbox: str) -> bytes:
    """Mailboxes of other accounts have no root that this one is told of."""
    account, _local = session.open_names().load_account(mailbox)
    if account is not session.account:
        return format_quota_root(mailbox, [], is_utf8=session.is_utf8)
    return format_quota_root(mailbox, [ROOT], is_utf8=session.is_utf8) + _quota(session)


def _quota(session: Session) -> bytes:
    quotas = session.services.messages.quotas
    held, limit = quotas.load_usage(session.open_account().account_id), quotas.limit
    storage = (-(-held.storage_bytes // KIB), limit.storage_bytes // KIB)
    return format_quota(ROOT, [("STORAGE", *storage), ("MESSAGE", held.messages, limit.messages)])
