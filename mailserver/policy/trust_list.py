"""The list of trusted health domains (``facts/mssante`` §1.3): read, write, look up, compare.

The key is (domain, DN): a domain may be listed several times, for one operator's certificates or several operators'.
A list trusts nobody when it is empty or older than its limit (S13). Domains are looked up in one dict. Only bytes
whose signature was verified are parsed; an entry that cannot be read trusts nobody and does not spoil the others.
"""

import re

# the bytes parsed here were verified and are plain: no DOCTYPE, no entity (crypto.xmldsig)
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from xml.sax.saxutils import escape

from mailserver.crypto.x509 import DistinguishedName, format_dn, parse_dn
from mailserver.crypto.xmldsig import VerifiedXml
from mailserver.model.address import DomainName, parse_domain
from mailserver.model.errors import Malformed
from mailserver.policy.decision import Reason

NAMESPACE = "https://listeblanche.mssante.fr/schema"
AGE_LIMIT = timedelta(hours=72)
ENTRIES = 200_000
TEXT_CHARACTERS = 4096
_NS = f"{{{NAMESPACE}}}"
_NOBODY: frozenset[DistinguishedName] = frozenset()
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z")
# XML 1.0 §2.2: what no document may hold, even escaped
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class TrustedDomain:
    """One line of the list: this domain, held by the owner of this certificate name."""

    domain: DomainName
    dn: DistinguishedName
    description: str = ""
    operator_contact: str = ""
    support_contact: str = ""
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TrustList:
    """The entries as generated at one instant. ``unreadable`` counts entries that were left out.

    Callers ask ``find_refusal`` before any lookup; the lookups alone do not know the time.
    """

    generated_at: datetime
    entries: tuple[TrustedDomain, ...]
    unreadable: int = 0
    age_limit: timedelta = AGE_LIMIT
    _dns: Mapping[DomainName, frozenset[DistinguishedName]] = field(init=False, repr=False, compare=False)
    _all_dns: frozenset[DistinguishedName] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_domain: dict[DomainName, set[DistinguishedName]] = {}
        for entry in self.entries:
            by_domain.setdefault(entry.domain, set()).add(entry.dn)
        frozen = {domain: frozenset(dns) for domain, dns in by_domain.items()}
        object.__setattr__(self, "_dns", MappingProxyType(frozen))
        object.__setattr__(self, "_all_dns", frozenset(entry.dn for entry in self.entries))

    def find_refusal(self, now: datetime) -> Reason | None:
        """Why this list trusts nobody at ``now``, or None when it can be used."""
        if not self.entries:
            return Reason.TRUST_LIST_EMPTY
        return Reason.TRUST_LIST_STALE if now - self.generated_at > self.age_limit else None

    def dns_for(self, domain: DomainName) -> frozenset[DistinguishedName]:
        """Every certificate name listed for the domain; empty when it is not listed."""
        return self._dns.get(domain, _NOBODY)

    def is_listed(self, domain: DomainName) -> bool:
        return domain in self._dns

    def is_listed_for(self, domain: DomainName, dn: DistinguishedName) -> bool:
        return dn in self.dns_for(domain)

    def count_domains(self) -> int:
        """How many domains are listed, each once."""
        return len(self._dns)

    def is_known_dn(self, dn: DistinguishedName) -> bool:
        """Whether any domain is listed for this certificate name (a null sender has no domain of its own)."""
        return dn in self._all_dns


@dataclass(frozen=True, slots=True)
class TrustDiff:
    """What changed between two lists, as (domain, DN) pairs in order of domain."""

    added: tuple[TrustedDomain, ...]
    removed: tuple[TrustedDomain, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)

    def lines(self) -> tuple[str, ...]:
        """One line a change, for the operator's log."""
        changes = [("-", entry) for entry in self.removed] + [("+", entry) for entry in self.added]
        return tuple(f"{sign} {entry.domain} {format_dn(entry.dn)}" for sign, entry in changes)


NOBODY = TrustList(generated_at=datetime(1970, 1, 1, tzinfo=UTC), entries=())
"""The list held when there is none: it trusts nobody."""


def parse_trust_list(verified: VerifiedXml, age_limit: timedelta = AGE_LIMIT) -> TrustList:
    """Read the bytes that a pinned signer signed. Raises Malformed("trust-list-syntax", "trust-list-date")."""
    try:
        root = ET.fromstring(verified.content)  # noqa: S314 - verified, canonical, without DOCTYPE
    except ET.ParseError as error:
        raise Malformed("trust-list-syntax") from error
    if root.tag != f"{_NS}ListeBlancheMSSante":
        raise Malformed("trust-list-syntax", "root")
    if [child.tag for child in root] != [f"{_NS}DateDeGeneration", f"{_NS}ListeDomaines"]:
        raise Malformed("trust-list-syntax", "children of the root")
    date, domains = root
    if len(domains) > ENTRIES:
        raise Malformed("trust-list-syntax", "too many entries")
    entries = [_entry_of(element) for element in domains]
    readable = tuple(entry for entry in entries if entry is not None)
    return TrustList(_parse_instant(date.text), readable, len(entries) - len(readable), age_limit)


def format_trust_list(entries: Iterable[TrustedDomain], generated_at: datetime) -> bytes:
    """The list in the published form, unsigned, elements indented by four spaces. Raises Malformed on control characters."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<ListeBlancheMSSante xmlns="{NAMESPACE}">',
        f"    <DateDeGeneration>{_format_instant(generated_at)}</DateDeGeneration>",
        "    <ListeDomaines>",
    ]
    for entry in entries:
        lines.append("        <Domaine>")
        lines += [
            f"            <{name}>{_text(value)}</{name}>" for name, value in _fields(entry, generated_at)
        ]
        lines.append("        </Domaine>")
    lines += ["    </ListeDomaines>", "</ListeBlancheMSSante>", ""]
    return "\n".join(lines).encode()


def join_lists(lists: Sequence[TrustList]) -> TrustList:
    """The union of lists that are in force; one list is itself. It is as old as the one whose limit comes first."""
    if len(lists) < 2:
        return lists[0] if lists else NOBODY
    first = min(lists, key=lambda each: each.generated_at + each.age_limit)
    entries = {(entry.domain, entry.dn): entry for each in reversed(lists) for entry in each.entries}
    unreadable = sum(each.unreadable for each in lists)
    return TrustList(first.generated_at, tuple(entries.values()), unreadable, first.age_limit)


def diff(old: TrustList, new: TrustList) -> TrustDiff:
    """Entries that came and went, by (domain, DN); changes of description or contact are not trust and not shown."""
    before = {(entry.domain, entry.dn): entry for entry in old.entries}
    after = {(entry.domain, entry.dn): entry for entry in new.entries}
    return TrustDiff(
        added=_in_order(entry for key, entry in after.items() if key not in before),
        removed=_in_order(entry for key, entry in before.items() if key not in after),
    )


def _in_order(entries: Iterable[TrustedDomain]) -> tuple[TrustedDomain, ...]:
    return tuple(sorted(entries, key=lambda entry: (entry.domain, format_dn(entry.dn))))


def _entry_of(element: ET.Element) -> TrustedDomain | None:
    values = {child.tag.removeprefix(_NS): (child.text or "").strip() for child in element}
    # a repeated or nested element would leave a choice to the reader: such an entry trusts nobody
    if element.tag != f"{_NS}Domaine" or len(values) != len(element) or any(len(child) for child in element):
        return None
    try:
        updated = values.get("DateMAJ")
        return TrustedDomain(
            domain=parse_domain(values.get("Nom", "")),
            dn=parse_dn(values.get("DNCertificatOperateur", "")),
            description=values.get("Description", "")[:TEXT_CHARACTERS],
            operator_contact=values.get("ResponsableContact", "")[:TEXT_CHARACTERS],
            support_contact=values.get("SupportContact", "")[:TEXT_CHARACTERS],
            updated_at=_parse_instant(updated) if updated else None,
        )
    except Malformed:
        return None


def _parse_instant(text: str | None) -> datetime:
    text = (text or "").strip()
    if not _INSTANT.fullmatch(text):
        raise Malformed("trust-list-date")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise Malformed("trust-list-date") from error


def _format_instant(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(entry: TrustedDomain, generated_at: datetime) -> tuple[tuple[str, str], ...]:
    return (
        ("Nom", entry.domain.name),
        ("Description", entry.description),
        ("DNCertificatOperateur", format_dn(entry.dn)),
        ("ResponsableContact", entry.operator_contact),
        ("SupportContact", entry.support_contact),
        ("DateMAJ", _format_instant(entry.updated_at or generated_at)),
    )


def _text(value: str) -> str:
    if _NOT_XML.search(value):
        raise Malformed("trust-list-text")
    return escape(value)
