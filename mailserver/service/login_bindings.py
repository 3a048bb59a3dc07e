"""What opens a mailbox beside app passwords, as an administrator binds it: a person at the issuer of tokens, and for an
application box a certificate (K7). The binding lies with the custodian; each act is in the account's own log.
"""

from collections.abc import Sequence
from datetime import datetime

from mailserver.audit.events import EventKind, ObjectKind, ParameterName
from mailserver.crypto.custodian_logins import LoginBinding, LoginKind
from mailserver.crypto.custodian_verbs import CustodianVerbs
from mailserver.model.account import AccountKind, AccountState
from mailserver.model.address import Address
from mailserver.model.errors import Conflict, Denied, NotFound
from mailserver.model.ids import AccountId
from mailserver.service.access_log import add_entries, prepare_entry
from mailserver.service.administrator import administrator_act
from mailserver.service.directory import Directory
from mailserver.store.accounts import AccountRow
from mailserver.store.database import Connection
from mailserver.store.store import Store
from mailserver.store.writer import Unit

_ACTS = {
    LoginKind.TOKEN: ("token-subject-added", "token-subject-removed", "token-subjects-listed"),
    LoginKind.CERTIFICATE: ("certificate-added", "certificate-removed", "certificates-listed"),
    LoginKind.CERTIFICATE_NAME: ("certificate-added", "certificate-removed", "certificates-listed"),
}
_KINDS = {
    LoginKind.TOKEN: frozenset({AccountKind.PER, AccountKind.APP}),
    LoginKind.CERTIFICATE: frozenset({AccountKind.APP}),
    LoginKind.CERTIFICATE_NAME: frozenset({AccountKind.APP}),
}
CERTIFICATE_KINDS = (LoginKind.CERTIFICATE, LoginKind.CERTIFICATE_NAME)


class LoginBindingActs:
    """An administrator's acts. Each raises NotFound("account")."""

    def __init__(self, store: Store, directory: Directory, custody: CustodianVerbs) -> None:
        self._store = store
        self._directory = directory
        self._custody = custody

    def bind(self, address: Address, kind: LoginKind, subject: str, now: datetime) -> None:
        """Raises Denied("account-disabled"), ("login-kind") for a kind of account that does not log in so,
        Conflict("login-bound").
        """
        row = self._load(address)
        if row.kind not in _KINDS[kind]:
            raise Denied("login-kind")
        if row.state is not AccountState.ACTIVE:
            raise Denied("account-disabled")
        if any(each.subject == subject for each in self._custody.list_logins(kind, row.account_id)):
            raise Conflict("login-bound")
        self._note(row, EventKind.SLOT_ADDED, _ACTS[kind][0], subject, now)
        self._custody.bind_login(row.account_id, kind, subject)

    def unbind(self, address: Address, kind: LoginKind, subject: str, now: datetime) -> None:
        """It opens nothing from now on, and every connection to the account ends. Raises NotFound("login-binding")."""
        row = self._load(address)
        if all(each.subject != subject for each in self._custody.list_logins(kind, row.account_id)):
            raise NotFound("login-binding")
        self._note(row, EventKind.SLOT_REMOVED, _ACTS[kind][1], subject, now)
        self._custody.unbind_login(row.account_id, kind, subject)
        accounts = self._store.accounts
        self._store.writer.commit(
            Unit(row.account_id, lambda connection: accounts.add_revocation(connection, row.account_id))
        )

    def list_bound(self, address: Address, kinds: Sequence[LoginKind], now: datetime) -> list[LoginBinding]:
        """What is bound to one account, once its log says that somebody asked."""
        row = self._load(address)
        self._note(row, EventKind.ADMINISTRATOR_ACT, _ACTS[kinds[0]][2], "", now)
        return [each for kind in kinds for each in self._custody.list_logins(kind, row.account_id)]

    def list_certificate_boxes(self) -> frozenset[AccountId]:
        """The accounts that a certificate opens: they rest on the mail process's word (K7)."""
        found = [each for kind in CERTIFICATE_KINDS for each in self._custody.list_logins(kind)]
        return frozenset(AccountId(each.account) for each in found)

    def _note(self, row: AccountRow, kind: EventKind, act: str, subject: str, now: datetime) -> None:
        what = ObjectKind.ACCOUNT if kind is EventKind.ADMINISTRATOR_ACT else ObjectKind.SLOT
        more = ((ParameterName.FINGERPRINT, subject[:200]),) if subject else ()
        entry = prepare_entry(row, administrator_act(now, kind, what, act, *more))

        def run(connection: Connection) -> None:
            add_entries(connection, self._store.macs, [entry])

        self._store.writer.commit(Unit(row.account_id, run))

    def _load(self, address: Address) -> AccountRow:
        with self._store.database.read() as connection:
            row = self._directory.find_account(connection, address)
        if row is None:
            raise NotFound("account")
        return row
