"""Logins of mail clients without an app password: by an access token, or by the certificate of an application box (K7).

The custodian judges and releases; this finds the account, costs the same whatever is wrong (K22), and writes the login
into the account's log before anything of it is shown. Work runs in threads of its own: a slow issuer of tokens holds
nobody else.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from mailserver.audit.events import AuditEvent, AuditObject, EventKind, ObjectKind, Origin, ParameterName
from mailserver.crypto.custodian_logins import Proof, ProofKind
from mailserver.crypto.custodian_verbs import CustodianVerbs
from mailserver.crypto.roots import Root
from mailserver.crypto.slots import SlotScope
from mailserver.model.account import AccountKind
from mailserver.model.errors import Denied, NotFound
from mailserver.model.ids import AccountId
from mailserver.service.access_log import add_entries, prepare_entry
from mailserver.service.directory import Directory
from mailserver.service.keys import Keys, OpenAccount, release_mail
from mailserver.service.mail_permit import actor_of
from mailserver.service.sasl import TokenAdvice, TokenLogin
from mailserver.store.accounts import SlotRow
from mailserver.store.database import Connection
from mailserver.store.space_rows import add_delivery, has_delivery
from mailserver.store.store import Store
from mailserver.store.writer import Unit

THREADS = 4
_HOUR_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class LoginPolicy:
    """What is offered, and for how long a connection lasts."""

    takes_tokens: bool = False
    advice: TokenAdvice = field(default_factory=TokenAdvice)
    session_hours: int = 12


class MailLogins:
    """``custody`` is asked over a link of its own, where there is one."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        keys: Keys,
        custody: CustodianVerbs,
        policy: LoginPolicy,
    ) -> None:
        self._store = store
        self._directory = directory
        self._keys = keys
        self._custody = custody
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="logins")
        self.policy = policy

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin_with_token(self, said: TokenLogin, scope: SlotScope, origin: Origin) -> Future[OpenAccount]:
        """``open_with_token``, in a thread."""
        return self._pool.submit(self.open_with_token, said, scope, origin)

    def begin_with_certificate(
        self, login: str, certificate: bytes, scope: SlotScope, origin: Origin
    ) -> Future[OpenAccount]:
        """``open_with_certificate``, in a thread."""
        return self._pool.submit(self.open_with_certificate, login, certificate, scope, origin)

    def open_with_token(self, said: TokenLogin, scope: SlotScope, origin: Origin) -> OpenAccount:
        """Mail for the scope IMAP, the identity alone for SMTP. Raises Denied("login") whatever was wrong,
        Unavailable("token-issuer") when no token can be judged now, ("log-late") while nothing is released.
        """
        proof = Proof(ProofKind.TOKEN, said.token)
        opened = self._keys.open_with_custody(said.login, partial(self._release, proof, scope), scope)
        return self._logged(opened, "by-token", origin)

    def open_with_certificate(
        self, login: str, certificate: bytes, scope: SlotScope, origin: Origin
    ) -> OpenAccount:
        """As above, for an application box whose certificate was shown on this connection. With an empty ``login`` the
        certificate must be bound to one box alone.
        """
        proof = Proof(ProofKind.CERTIFICATE, certificate)
        name = login or self._login_of(certificate)
        opened = self._keys.open_with_custody(name, partial(self._release, proof, scope), scope)
        if opened.account.kind is not AccountKind.APP:
            raise Denied("login")
        return self._logged(opened, "by-certificate", origin)

    def _release(self, proof: Proof, scope: SlotScope, slot: SlotRow) -> Root | None:
        if scope is SlotScope.SMTP:
            self._custody.verify_login(slot.account_id, proof)
            return None
        return release_mail(self._custody, slot, proof)

    def _login_of(self, certificate: bytes) -> str:
        """An address of the one box that a certificate opens; empty when there is none or there are several."""
        try:
            (account_id,) = self._custody.find_certificate_accounts(certificate)
            with self._store.database.read() as connection:
                return str(self._directory.list_addresses(connection, AccountId(account_id))[0])
        except (Denied, NotFound, ValueError, IndexError):
            return ""

    def _logged(self, opened: OpenAccount, act: str, origin: Origin) -> OpenAccount:
        """The login is in the account's log: once for each way, client, network and day (L1)."""
        now = datetime.now(UTC)
        stamp = int(now.timestamp())
        mark = f"{act}|{opened.account_id.hex()}|{origin.network}|{origin.client}|{now.date().isoformat()}"
        fingerprint = self._store.macs.lookup("login", mark)
        what = AuditObject(ObjectKind.ACCOUNT, parameters=((ParameterName.ACT, act),))
        with self._store.database.read() as connection:
            is_logged = has_delivery(connection, opened.account_id, fingerprint)
        if not is_logged:
            event = AuditEvent(EventKind.LOGIN, now, actor_of(opened), what, origin)
            entry = prepare_entry(opened.account, event)

            def run(connection: Connection) -> None:
                if not has_delivery(connection, opened.account_id, fingerprint):
                    add_delivery(connection, opened.account_id, fingerprint, stamp)
                    add_entries(connection, self._store.macs, [entry])

            self._store.writer.commit(Unit(opened.account_id, run))
        return replace(opened, ends_at=stamp + self.policy.session_hours * _HOUR_SECONDS)
