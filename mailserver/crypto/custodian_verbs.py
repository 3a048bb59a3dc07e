"""What others may ask of the custodian, whether it is in this process or at the other end of a socket."""

from dataclasses import dataclass
from typing import Protocol

from mailserver.crypto.custodian_logins import LoginBinding, LoginKind, Proof
from mailserver.crypto.custodian_rates import Standing
from mailserver.crypto.secret import Secret


@dataclass(frozen=True, slots=True)
class Provisioned:
    """A new account's public keys (of FIRST_EPOCH) and its custody slot: nothing here is secret."""

    mail_public: bytes
    space_public: bytes
    signing_public: bytes
    custody_header: bytes
    custody_body: bytes

    @property
    def amk_sealed(self) -> bytes:
        """The AMK as the custody slot holds it: sealed to the custody key."""
        return self.custody_body


class CustodianVerbs(Protocol):
    """What both the custodian and a client of its channel answer."""

    def provision(self, account: bytes) -> Provisioned: ...
    def harden(
        self, account: bytes, slot: bytes, value: bytes, standing: Standing = Standing.STRANGER
    ) -> bytes: ...
    def release(
        self, account: bytes, custody_header: bytes, custody_body: bytes, session_public: bytes, basis: str
    ) -> bytes: ...
    def release_mail(
        self, account: bytes, custody_header: bytes, custody_body: bytes, session_public: bytes, proof: Proof
    ) -> bytes: ...
    def verify_login(self, account: bytes, proof: Proof) -> None: ...
    def find_certificate_accounts(self, certificate: bytes) -> list[bytes]: ...
    def bind_login(self, account: bytes, kind: LoginKind, subject: str) -> None: ...
    def unbind_login(self, account: bytes, kind: LoginKind, subject: str) -> None: ...
    def list_logins(self, kind: LoginKind, account: bytes = b"") -> list[LoginBinding]: ...
    def note_act(self, basis: str) -> None: ...
    def row_key(self) -> Secret: ...
    def hourly_key(self, hour: int) -> Secret: ...
    def service_key(self, purpose: str, epoch: int) -> Secret: ...
    def drop_service_key(self, purpose: str, epoch: int) -> None: ...
