"""Making an operator's folder: ``pli.toml``, ``data/``, ``keys/``, and for demonstrations an authority that several
operators share, with certificates and a signed trust list. Nobody else on the machine reads any of it.
"""

import contextlib
import fcntl
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mailserver.config import Value
from mailserver.config.template import format_config
from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning
from mailserver.crypto.custodian import Custodian
from mailserver.crypto.x509 import certificate_facts, der_from_pem
from mailserver.crypto.xmldsig import PinnedSigner, sign_enveloped, verify_enveloped
from mailserver.model.address import DomainName, parse_domain
from mailserver.model.errors import Conflict, Malformed, NotFound, PliError
from mailserver.policy.trust_list import TrustedDomain, format_trust_list, parse_trust_list
from mailserver.store.database import Database
from mailserver.store.migrations import upgrade

PORTS = {"mx": 25, "submission": 587, "submissions": 465, "imap": 143, "imaps": 993, "web": 443}
CLAMD = "unix:/run/clamav/clamd.ctl"
"""Where Debian's clamav-daemon listens: on for operators, off for demonstrations."""
RSA_BITS = 3072
DEMO_LIST_HOURS = 365 * 24
"""Nothing signs a demonstration's list again: it may be as old as the certificates beside it."""


@dataclass(frozen=True, slots=True)
class OperatorPlan:
    """What ``pli init`` is asked for. ``base_port`` 0 keeps the standard ports."""

    folder: Path
    domains: tuple[DomainName, ...]
    base_port: int = 0
    authority: Path | None = None
    relay_port: int = 0
    key_bits: int = RSA_BITS


def make_operator(plan: OperatorPlan, now: datetime) -> Path:
    """Write the folder; returns the path of ``pli.toml``. Raises Conflict("folder-in-use")."""
    with private_files():
        return _make_operator(plan, now)


@contextlib.contextmanager
def private_files() -> Iterator[None]:
    """What is made meanwhile is for this user alone, whatever the shell's umask says."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _make_operator(plan: OperatorPlan, now: datetime) -> Path:
    config = plan.folder / "pli.toml"
    if config.exists():
        raise Conflict("folder-in-use")
    plan.folder.mkdir(parents=True, exist_ok=True)
    data = plan.folder / "data"
    data.mkdir(exist_ok=True)
    data.chmod(0o700)
    values = _values(plan)
    if plan.authority is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DemoAuthorityWarning)
            with _turn(plan.authority):
                _use_authority(plan, plan.authority, values, now)
    Custodian.create(plan.folder / "keys").close()
    database = Database(f"sqlite:///{data / 'pli.sqlite'}")
    upgrade(database)
    database.close()
    config.write_text(format_config(values))
    return config


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """One ``pli init`` at a time in a shared authority's folder, which is made when it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _values(plan: OperatorPlan) -> dict[str, dict[str, Value]]:
    names = [domain.name for domain in plan.domains]
    values: dict[str, dict[str, Value]] = {
        "operator": {"name": f"Pli {names[0]}", "domains": names, "hostname": names[0]},
        "listen": {"host": "127.0.0.1"},
        "tls": {},
        "trust": {},
        "relay": {},
    }
    if plan.authority is None:
        values["antivirus"] = {"clamd": CLAMD}
    if plan.base_port:
        values["listen"] |= {name: plan.base_port + port for name, port in PORTS.items()}
    if plan.relay_port:
        sender = f"ne-pas-repondre@{names[0]}"
        values["relay"] = {"host": "127.0.0.1", "port": plan.relay_port, "sender": sender}
    return values


def _use_authority(
    plan: OperatorPlan, folder: Path, values: dict[str, dict[str, Value]], now: datetime
) -> None:
    """Certificates, trust list entry and route of one operator, from the shared demo authority."""
    authority = _open_authority(folder, plan.key_bits, now)
    domain = plan.domains[0]
    hosts = [domain.name, "localhost", "127.0.0.1"]
    issued = authority.issue_operator(domain.name, hosts, f"Opérateur {domain.name}", now=now)
    tls = plan.folder / "tls"
    tls.mkdir(mode=0o700, exist_ok=True)
    (tls / "operator.pem").write_bytes(issued.cert_pem)
    key = tls / "operator.key"
    key.touch(mode=0o600)
    key.write_bytes(issued.key_pem)
    dn = certificate_facts(der_from_pem(issued.cert_pem)).dn
    entries = [TrustedDomain(each, dn, f"Démonstration {each.name}", updated_at=now) for each in plan.domains]
    add_trusted_domains(folder, entries, now)
    add_routes(folder, {each.name: f"127.0.0.1:{plan.base_port + PORTS['mx']}" for each in plan.domains})
    signer = certificate_facts(der_from_pem((folder / "signer.pem").read_bytes()))
    values["tls"] = {
        "certificate": "tls/operator.pem",
        "key": "tls/operator.key",
        "peer_certificate": "tls/operator.pem",
        "peer_key": "tls/operator.key",
        "peer_authority": str(authority.certificate_path.resolve()),
        "peer_crl": str(authority.crl_path.resolve()),
    }
    values["trust"] = {
        "file": str((folder / "list.xml").resolve()),
        "routes_file": str((folder / "routes.json").resolve()),
        "signers": [signer.fingerprint_sha256],
        "stale_hours": DEMO_LIST_HOURS,
        "alarm_hours": DEMO_LIST_HOURS,
    }


def _open_authority(folder: Path, key_bits: int, now: datetime) -> DemoAuthority:
    """The authority with its signer of lists; what an interrupted ``pli init`` left out is made. Raises
    Malformed("demo-authority") when something is damaged, or when a list is there whose signer is gone.
    """
    certificate, key = folder / "signer.pem", folder / "signer.key"
    try:
        authority = DemoAuthority.open(folder)
    except NotFound:
        authority = None
    if authority is not None and certificate.exists() and key.exists():
        return authority
    if (folder / "list.xml").exists():
        raise Malformed("demo-authority")
    authority = authority or DemoAuthority.create(folder, now, key_bits=key_bits)
    signer = authority.issue_list_signer("demo.localhost", now=now)
    key.touch(mode=0o600)
    key.write_bytes(signer.key_pem)
    certificate.write_bytes(signer.cert_pem)
    return authority


def add_trusted_domains(folder: Path, entries: Sequence[TrustedDomain], now: datetime) -> None:
    """Write and sign the demo authority's list again, with these entries in place of older ones of their domains."""
    path = folder / "list.xml"
    signer_pem = (folder / "signer.pem").read_bytes()
    known: tuple[TrustedDomain, ...] = ()
    if path.exists():
        fingerprint = certificate_facts(der_from_pem(signer_pem)).fingerprint_sha256
        pinned = PinnedSigner(fingerprints=frozenset({fingerprint}))
        try:
            known = parse_trust_list(verify_enveloped(path.read_bytes(), pinned, now)).entries
        except PliError as error:
            raise Malformed("demo-authority") from error
    fresh = {entry.domain for entry in entries}
    kept = [entry for entry in known if entry.domain not in fresh]
    xml = format_trust_list([*kept, *entries], now)
    signed = sign_enveloped(xml, (folder / "signer.key").read_bytes(), signer_pem)
    partial = path.with_suffix(".new")
    partial.write_bytes(signed)
    partial.replace(path)


def add_routes(folder: Path, routes: dict[str, str]) -> None:
    """Where the demo operators listen: what MX records say elsewhere."""
    path = folder / "routes.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | routes, indent=1))


def parse_domains(names: Sequence[str]) -> tuple[DomainName, ...]:
    """Raises Malformed for what is no domain, and for one that is named twice."""
    domains = tuple(parse_domain(name) for name in names)
    if len(set(domains)) < len(domains):
        raise Malformed("domain-repeated")
    return domains
