"""One operator for tests: its folder, its custodian and its services, in this process."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mailserver.app import Services, build_services
from mailserver.app.token_checks import build_token_check
from mailserver.cli.operator_folder import OperatorPlan, make_operator, parse_domains
from mailserver.config import load_config
from mailserver.crypto.custodian import Custodian
from mailserver.crypto.secret import Secret
from mailserver.crypto.slots import ARGON2_FLOOR, SlotScope
from mailserver.model.account import AccountKind
from mailserver.model.address import parse_address
from mailserver.model.patient import Ins
from mailserver.service.administration import MadeAccount, NewAccount
from mailserver.service.directory import Profile
from mailserver.service.keys import OpenAccount

KEY_BITS = 2048
INS_TEST_OID = "1.2.250.1.213.1.4.10"
PATIENT_INS = Ins(INS_TEST_OID, "279035121518989")
"""The identity that the public samples use."""


@dataclass
class Node:
    folder: Path
    custodian: Custodian
    services: Services

    @property
    def domain(self) -> str:
        return self.services.config.operator.domains[0]

    def add(self, address: str, kind: AccountKind = AccountKind.PER, **more: object) -> MadeAccount:
        profile = Profile(str(more.pop("name", "Camille FICTIF")), str(more.pop("contact", "")))
        password = more.pop("password", None)
        secret = None if password is None else Secret(str(password).encode())
        new = NewAccount(kind, parse_address(address), profile, password=secret, **more)  # type: ignore[arg-type]
        return self.services.administration.add_account(new, datetime.now(UTC))

    def add_patient(self, address: str, ins: Ins = PATIENT_INS, **more: object) -> MadeAccount:
        more.setdefault("name", "Dominique PAT-TROIS")
        more.setdefault("password", "un mot de passe long")
        return self.add(address, AccountKind.PATIENT, ins=ins, has_app_password=False, **more)

    def open(self, address: str, app_password: str) -> OpenAccount:
        return self.services.keys.open_with_app_password(address, app_password, [SlotScope.IMAP_SMTP], 0)

    def close(self) -> None:
        self.services.close()
        self.custodian.close()


def make_node(
    folder: Path, domain: str = "a.localhost", *, authority: Path | None = None, **plan: int
) -> Node:
    """A fresh operator under ``folder``; operators that share ``authority`` trust one another."""
    now = datetime.now(UTC)
    shared = authority or folder / "authority"
    asked = OperatorPlan(
        folder / domain, parse_domains([domain]), authority=shared, key_bits=KEY_BITS, **plan
    )
    config = load_config(make_operator(asked, now))
    custodian = Custodian.open(config.keys_folder, tokens=build_token_check(config))
    return Node(folder / domain, custodian, build_services(config, custodian, argon2=ARGON2_FLOOR))
