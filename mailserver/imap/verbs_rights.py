"""Verbs about rights: SETACL to MYRIGHTS (RFC 4314 §3). What may be granted to whom is the service's to judge.

An identifier is a member's address. Nobody else can be given a right: rights are keys (security.md K8, K11).
"""

from datetime import UTC, datetime
from typing import assert_never

from mailserver.imap.commands import DeleteAcl, GetAcl, ListRights, MyRights, RightsChange, SetAcl
from mailserver.imap.encode_rights import format_acl, format_list_rights, format_my_rights
from mailserver.imap.parse_rights import prepare_identifier
from mailserver.imap.session import Reply, Session, done
from mailserver.model.address import Address, parse_address
from mailserver.model.errors import Denied, Malformed
from mailserver.model.rights import EVERY_RIGHT, Right, Rights
from mailserver.service.named_mailboxes import NamedMailbox

OnRights = SetAcl | DeleteAcl | GetAcl | ListRights | MyRights
_NO_RIGHTS: Rights = frozenset()


async def run_on_rights(session: Session, command: OnRights) -> Reply:
    """One hop to the pool, then the response if there is one."""
    match command:
        case SetAcl():
            await session.wire.call(_change, session, command)
            return done("SETACL")
        case DeleteAcl(mailbox, identifier):
            change = SetAcl(mailbox, identifier, RightsChange.REPLACE, _NO_RIGHTS)
            await session.wire.call(_change, session, change)
            return done("DELETEACL")
        case GetAcl():
            session.wire.send(await session.wire.call(_get, session, command))
            return done("GETACL")
        case ListRights():
            session.wire.send(await session.wire.call(_list, session, command))
            return done("LISTRIGHTS")
        case MyRights():
            session.wire.send(await session.wire.call(_tell_own, session, command))
            return done("MYRIGHTS")
        case _:
            assert_never(command)


def _change(session: Session, command: SetAcl) -> None:
    """Raises Denied("not-shared") for one's own mailbox, Denied("not-a-member"), Denied("right")."""
    found = session.open_names().load_mailbox(command.mailbox)
    if found.account.member is None:
        raise Denied("not-shared")
    found.account.demand(found.mailbox_id, Right.ADMINISTER)

    def changed(now: Rights) -> Rights:
        match command.change:
            case RightsChange.ADD:
                return now | command.rights
            case RightsChange.REMOVE:
                return now - command.rights
            case RightsChange.REPLACE:
                return command.rights
            case _:
                assert_never(command.change)

    address = _find_address(command.identifier)
    if address is None:
        raise Denied("not-a-member")
    mailbox = found.mailbox_id, found.info.name
    session.services.rights.change_rights(found.account, mailbox, address, changed, datetime.now(UTC))


def _get(session: Session, command: GetAcl) -> bytes:
    found = session.open_names().load_mailbox(command.mailbox)
    if found.account.member is None:
        pairs = [(_own_identifier(session), EVERY_RIGHT)]
    else:
        held = session.services.rights.list_rights(found.account, found.mailbox_id)
        pairs = [(str(each.address), each.rights) for each in held]
    return format_acl(found.name, pairs, is_utf8=session.is_utf8)


def _list(session: Session, command: ListRights) -> bytes:
    found = session.open_names().load_mailbox(command.mailbox)
    required = _find_required(session, found, _find_address(command.identifier))
    return format_list_rights(found.name, command.identifier, required, is_utf8=session.is_utf8)


def _find_required(session: Session, found: NamedMailbox, address: Address | None) -> Rights | None:
    """What an identifier always has in a mailbox; None when it can have nothing there."""
    if found.account.member is None:
        is_own = address is not None and address.key in {each.key for each in found.account.addresses}
        return EVERY_RIGHT if is_own else None
    found.account.demand(found.mailbox_id, Right.ADMINISTER)
    if address is None:
        return None
    try:
        return session.services.rights.load_rights(found.account, found.mailbox_id, address).required
    except Denied:
        return None


def _tell_own(session: Session, command: MyRights) -> bytes:
    found = session.open_names().load_mailbox(command.mailbox)
    rights = found.account.rights_in(found.mailbox_id)
    return format_my_rights(found.name, rights, is_utf8=session.is_utf8)


def _find_address(identifier: str) -> Address | None:
    try:
        return parse_address(prepare_identifier(identifier))
    except Malformed:
        return None


def _own_identifier(session: Session) -> str:
    return str(session.open_account().addresses[0])
