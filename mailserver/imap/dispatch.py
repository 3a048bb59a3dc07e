"""Which function runs which command. STARTTLS, LOGOUT, IDLE, UNAUTHENTICATE and uploads change the wire: the connection runs them."""

from collections.abc import Awaitable
from typing import assert_never

from mailserver.imap import commands as c
from mailserver.imap import (
    verbs_listing,
    verbs_mailbox,
    verbs_message,
    verbs_metadata,
    verbs_notify,
    verbs_quotas,
    verbs_rights,
    verbs_search,
    verbs_session,
    verbs_sort,
)
from mailserver.imap.session import Reply, Session


def run_command(session: Session, command: c.Command) -> Awaitable[Reply]:
    """The command's coroutine; it may raise any PliError."""
    match command:
        case c.Capability() | c.Noop() | c.Check() | c.Id() | c.Namespace() | c.Enable():
            return _run_simple(session, command)
        case c.Login():
            return verbs_session.run_login(session, command)
        case c.Authenticate():
            return verbs_session.run_authenticate(session, command)
        case c.Notify():
            return verbs_notify.run_notify(session, command)
        case c.Search():
            return verbs_search.run_search(session, command)
        case c.Sort():
            return verbs_sort.run_sort(session, command)
        case c.Thread():
            return verbs_sort.run_thread(session, command)
        case c.GetMetadata():
            return verbs_metadata.run_get_metadata(session, command)
        case c.SetMetadata():
            return verbs_metadata.run_set_metadata(session, command)
        case c.GetQuota() | c.GetQuotaRoot() | c.SetQuota():
            return _run_on_quotas(session, command)
        case c.Fetch() | c.Store() | c.Copy() | c.Move() | c.Expunge():
            return _run_on_messages(session, command)
        case c.SetAcl() | c.DeleteAcl() | c.GetAcl() | c.ListRights() | c.MyRights():
            return verbs_rights.run_on_rights(session, command)
        case c.StartTls() | c.Logout() | c.Idle() | c.Unauthenticate() | c.Append() | c.Replace():
            raise AssertionError("the connection runs this command")
        case _:
            return _run_on_mailboxes(session, command)


def _run_simple(
    session: Session, command: c.Capability | c.Noop | c.Check | c.Id | c.Namespace | c.Enable
) -> Awaitable[Reply]:
    match command:
        case c.Capability():
            return verbs_session.run_capability(session, command)
        case c.Noop():
            return verbs_session.run_noop(session, command)
        case c.Check():
            return verbs_session.run_check(session, command)
        case c.Id():
            return verbs_session.run_id(session, command)
        case c.Namespace():
            return verbs_session.run_namespace(session, command)
        case c.Enable():
            return verbs_session.run_enable(session, command)
        case _:
            assert_never(command)


def _run_on_quotas(session: Session, command: c.GetQuota | c.GetQuotaRoot | c.SetQuota) -> Awaitable[Reply]:
    match command:
        case c.GetQuota():
            return verbs_quotas.run_get_quota(session, command)
        case c.GetQuotaRoot():
            return verbs_quotas.run_get_quota_root(session, command)
        case c.SetQuota():
            return verbs_quotas.run_set_quota(session, command)
        case _:
            assert_never(command)


def _run_on_messages(
    session: Session, command: c.Fetch | c.Store | c.Copy | c.Move | c.Expunge
) -> Awaitable[Reply]:
    match command:
        case c.Fetch():
            return verbs_message.run_fetch(session, command)
        case c.Store():
            return verbs_message.run_store(session, command)
        case c.Copy():
            return verbs_message.run_copy(session, command)
        case c.Move():
            return verbs_message.run_move(session, command)
        case c.Expunge():
            return verbs_message.run_expunge(session, command)
        case _:
            assert_never(command)


OnMailboxes = (
    c.Select
    | c.Create
    | c.Delete
    | c.Rename
    | c.Subscribe
    | c.Unsubscribe
    | c.List
    | c.Lsub
    | c.Xlist
    | c.Status
    | c.Close
    | c.Unselect
)


def _run_on_mailboxes(session: Session, command: OnMailboxes) -> Awaitable[Reply]:
    match command:
        case c.Select():
            return verbs_mailbox.run_select(session, command)
        case c.Create():
            return verbs_mailbox.run_create(session, command)
        case c.Delete():
            return verbs_mailbox.run_delete(session, command)
        case c.Rename():
            return verbs_mailbox.run_rename(session, command)
        case c.Subscribe():
            return verbs_mailbox.run_subscribe(session, command)
        case c.Unsubscribe():
            return verbs_mailbox.run_unsubscribe(session, command)
        case c.List():
            return verbs_listing.run_list(session, command)
        case c.Lsub():
            return verbs_listing.run_lsub(session, command)
        case c.Xlist():
            return verbs_listing.run_xlist(session, command)
        case c.Status():
            return verbs_listing.run_status(session, command)
        case c.Close():
            return verbs_mailbox.run_close(session, command)
        case c.Unselect():
            return verbs_mailbox.run_unselect(session, command)
        case _:
            assert_never(command)
