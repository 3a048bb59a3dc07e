"""What ``pli trust status`` tells of the trust lists: facts for machines, and the same in words."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mailserver.app.trust_fetch import load_record
from mailserver.cli.trust_words import words_for_code
from mailserver.config import Config
from mailserver.crypto.x509 import DistinguishedName, certificate_dn, der_from_pem
from mailserver.model.errors import Malformed
from mailserver.policy.trust_source import TrustSource
from mailserver.policy.trust_store import TrustStore

_FINGERPRINT_SHOWN = 16
_OWN = {
    "certificate": "listed for our certificate",
    "other": "listed for another certificate than ours, so other operators refuse us. See peer_certificate in [tls] of pli.toml.",
    "domain": "listed; our certificate cannot be read. See peer_certificate in [tls] of pli.toml.",
    "no": "NOT listed, so other operators refuse our mail. Ask whoever publishes the list.",
}


@dataclass(frozen=True, slots=True)
class ListStatus:
    """One list. Codes are empty when there is nothing to say, times (ISO 8601) when there is none."""

    name: str
    file: str
    url: str
    in_force: bool
    refusal: str
    error: str
    """Why the file that is there now was not taken."""
    generated_at: str
    age_hours: int
    domains: int
    entries: int
    unreadable: int
    signer: str
    fingerprint: str
    signer_until: str
    fetched_at: str
    fetch_tried_at: str
    fetch_error: str


@dataclass(frozen=True, slots=True)
class TrustStatus:
    """All of them together. ``own``: each of our domains, and how it is listed (a key of the words above)."""

    in_force: bool
    refusal: str
    domains: int
    own: dict[str, str]
    lists: tuple[ListStatus, ...]


def read_status(config: Config, trust: TrustStore, now: datetime) -> TrustStatus:
    """The facts, of lists that were loaded at ``now``."""
    current, own_dn = trust.current, _find_own_dn(config)
    refusal = current.find_refusal(now) or ""
    own = {domain.name: "no" for domain in sorted(config.domains)}
    for domain in config.domains:
        if current.is_listed(domain):
            is_ours = own_dn is not None and current.is_listed_for(domain, own_dn)
            own[domain.name] = "domain" if own_dn is None else "certificate" if is_ours else "other"
    lists = tuple(_list_status(config, source, now) for source in trust.sources)
    return TrustStatus(not refusal, str(refusal), current.count_domains(), own, lists)


def format_status(status: TrustStatus) -> list[str]:
    """The same in words, one text a line."""
    why = f"NOBODY is trusted ({status.refusal}): the reason of each list is below."
    lines = [f"In force: {_number(status.domains, 'domain')}." if status.in_force else why]
    for each in status.lists:
        lines += ["", *_list_lines(each)]
    return [*lines, "", *(f"{domain}: {_OWN[state]}" for domain, state in status.own.items())]


def _list_status(config: Config, source: TrustSource, now: datetime) -> ListStatus:
    listed, signer, error = source.current, source.signer, source.opening.error
    refusal = listed.find_refusal(now) or ""
    record = load_record(config.data_folder, source)
    return ListStatus(
        name=source.plan.name,
        file=str(source.plan.file),
        url=source.plan.url,
        in_force=not refusal,
        refusal=str(refusal),
        error="" if error is None else error.code,
        generated_at="" if signer is None else _instant(listed.generated_at),
        age_hours=0 if signer is None else (now - listed.generated_at) // timedelta(hours=1),
        domains=listed.count_domains(),
        entries=len(listed.entries),
        unreadable=listed.unreadable,
        signer="" if signer is None else str(signer.dn),
        fingerprint="" if signer is None else signer.fingerprint_sha256,
        signer_until="" if signer is None else _instant(signer.not_after),
        fetched_at=_instant(record.fetched_at),
        fetch_tried_at=_instant(record.tried_at),
        fetch_error=record.error,
    )


def _list_lines(status: ListStatus) -> list[str]:
    lines = [f"{status.name}: {'in force' if status.in_force else 'NOT in force'}"]
    if status.refusal and not (status.error and not status.generated_at):
        lines.append(f"  why         {status.refusal}: {words_for_code(status.refusal)}")
    if status.generated_at:
        spoiled = f", and {status.unreadable} entries that cannot be read" if status.unreadable else ""
        signed = f"{status.signer}, certificate {status.fingerprint[:_FINGERPRINT_SHOWN]}…"
        lines += [
            f"  generated   {status.generated_at}, {status.age_hours} h ago",
            f"  names       {_number(status.domains, 'domain')} in {status.entries} {'entry' if status.entries == 1 else 'entries'}{spoiled}",
            f"  signed by   {signed} until {status.signer_until}",
        ]
    lines.append(f"  file        {status.file}")
    if status.error:
        lines.append(f"  not taken   {status.error}: {words_for_code(status.error)}")
    if status.url:
        lines += [f"  address     {status.url}", f"  fetched     {status.fetched_at or 'never'}"]
    if status.fetch_error:
        failed = f"{status.fetch_tried_at} {status.fetch_error}: {words_for_code(status.fetch_error)}"
        lines.append(f"  last error  {failed}")
    return lines


def _number(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _find_own_dn(config: Config) -> DistinguishedName | None:
    try:
        return certificate_dn(der_from_pem(config.path(config.tls.peer_certificate).read_bytes()))
    except (OSError, Malformed):
        return None


def _instant(instant: datetime | None) -> str:
    return "" if instant is None else instant.astimezone(UTC).isoformat(timespec="seconds")
