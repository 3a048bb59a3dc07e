"""Demonstration operators for the figures: folders by ``pli init``'s own code, accounts by ``pli account add``'s.

Accounts are made in one process, because one command each would take longer than the figures themselves.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mailserver.app.services import build_services
from mailserver.cli.operator_folder import OperatorPlan, make_operator, parse_domains
from mailserver.config import load_config
from mailserver.crypto.custodian import Custodian
from mailserver.crypto.slots import ARGON2_FLOOR
from mailserver.crypto.x509 import DistinguishedName, certificate_facts, der_from_pem
from mailserver.model.account import AccountKind
from mailserver.model.address import parse_address
from mailserver.service.administration import NewAccount
from mailserver.service.directory import Profile

OURS, PEER = "a.localhost", "b.localhost"
SENDER = f"camille@{PEER}"


@dataclass(frozen=True, slots=True)
class Operators:
    """Two operators that trust one another: ours receives, the peer's certificate sends."""

    config: Path
    peer_folder: Path

    @property
    def peer_dn(self) -> DistinguishedName:
        return certificate_facts(der_from_pem((self.peer_folder / "tls" / "operator.pem").read_bytes())).dn


def make_operators(folder: Path, base_port: int = 0) -> Operators:
    """Two operators under ``folder``; ``base_port`` is ours, the peer only lends its certificate."""
    now = datetime.now(UTC)
    authority = folder / "authority"
    ours = OperatorPlan(folder / OURS, parse_domains([OURS]), base_port, authority)
    peer = OperatorPlan(folder / PEER, parse_domains([PEER]), base_port + 1000, authority)
    config = make_operator(ours, now)
    make_operator(peer, now)
    return Operators(config, peer.folder)


def add_accounts(config_path: Path, names: list[str]) -> dict[str, str]:
    """Accounts of professionals at our operator; their app passwords by address."""
    config = load_config(config_path)
    custodian = Custodian.open(config.keys_folder)
    services = build_services(config, custodian, argon2=ARGON2_FLOOR)
    passwords: dict[str, str] = {}
    try:
        for name in names:
            address = f"{name}@{OURS}"
            new = NewAccount(AccountKind.PER, parse_address(address), Profile("Camille FICTIF"))
            passwords[address] = (
                services.administration.add_account(new, datetime.now(UTC)).app_password or ""
            )
    finally:
        services.close()
        custodian.close()
    return passwords
