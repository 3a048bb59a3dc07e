"""What the values of ``pli.toml`` must be: one rule a kind of value, with the words that correct it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from mailserver.config.sms_body import parse_sms_body
from mailserver.model.address import DomainName, parse_address, parse_domain
from mailserver.model.errors import Malformed
from mailserver.model.hop import LinkSecurity, parse_daemon, parse_hop
from mailserver.model.local_time import is_zone

T = TypeVar("T", str, int, bool, list[str], dict[str, str])


@dataclass(frozen=True, slots=True)
class Rule(Generic[T]):
    """``remedy`` ends the sentence "mx in [listen] must be …"."""

    remedy: str
    is_kept: Callable[[T], bool]


def key(default: T, doc: str, rule: Rule[T]) -> T:
    """A field with its documentation and its rule."""
    metadata = {"doc": doc, "rule": rule}
    if isinstance(default, list | dict):
        copied: T = field(default_factory=default.copy, metadata=metadata)
        return copied
    plain: T = field(default=default, metadata=metadata)
    return plain


def _is_read(parse: Callable[[str], object], *texts: str) -> bool:
    """Whether each text follows the grammar of ``parse``."""
    try:
        for text in texts:
            parse(text)
    except (Malformed, ValueError):
        return False
    return True


def _is_url(text: str, scheme: str) -> bool:
    """``scheme://host/…``, or ``scheme:///name`` for a database behind a Unix socket."""
    try:
        parts = urlsplit(text)
        return parts.scheme == scheme and parts.port != 0 and bool(parts.netloc or parts.path.strip("/"))
    except ValueError:  # a port that is no number, a bracket that nothing closes
        return False


def _is_host(text: str) -> bool:
    return _is_read(ip_address, text) or _is_read(parse_domain, text)


def _are_domains(names: list[str]) -> bool:
    return (
        bool(names)
        and _is_read(parse_domain, *names)
        and len({parse_domain(name) for name in names}) == len(names)
    )


def _is_list_url(text: str) -> bool:
    """https, a host that can be looked up, nothing before it and no fragment."""
    parts = urlsplit(text) if _is_url(text, "https") else None
    if parts is None or not text.isascii() or not text.isprintable() or " " in text:
        return False
    return "@" not in parts.netloc and not parts.fragment and _is_host(parts.hostname or "")


def split_sources(text: str) -> tuple[str, ...]:
    """``a, b`` → the sources of revocation lists, each a path or an http(s) address."""
    return tuple(each.strip() for each in text.split(",") if each.strip())


def is_web_source(source: str) -> bool:
    """Whether it is fetched, and not a file."""
    return source.startswith(("http://", "https://"))


def _is_web(text: str) -> bool:
    """An http(s) address with a host and no login in it."""
    if not (_is_url(text, "http") or _is_url(text, "https")):
        return False
    parts = urlsplit(text)
    return bool(parts.hostname) and parts.username is None and text.isascii() and text.split() == [text]


def _are_resolvers(texts: list[str]) -> bool:
    if not _is_read(parse_hop, *texts):
        return False
    hosts = [parse_hop(text).host for text in texts]
    return _is_read(ip_address, *hosts) and len(set(hosts)) == len(hosts)


_PORTS = range(1, 65536)
_PHONE_PREFIX = re.compile(r"\+([1-9][0-9]{0,6})?")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_PRODUCT = re.compile(r"[A-Za-z0-9._-]{1,60}")
_LIST_NAME = re.compile(r"(?!main$)[a-z0-9][a-z0-9-]{0,31}")
_DISTINGUISHED_NAME = re.compile(r"/?\s*[A-Za-z0-9.]+\s*=.*[^,/\s].*")
_SELECTOR = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_NAME_LENGTH = 200

NAME: Rule[str] = Rule("one line of text", lambda text: text.isprintable() and 0 < len(text) <= _NAME_LENGTH)
DOMAINS: Rule[list[str]] = Rule('a list of mail domains, each once, as ["sante.example"]', _are_domains)
HOSTNAME: Rule[str] = Rule(
    'a domain name in lower case, as "mail.sante.example"', lambda text: _is_read(DomainName, text)
)
PATH: Rule[str] = Rule("the path of a file or folder", lambda text: text.isprintable() and bool(text))
PATH_OR_NONE: Rule[str] = Rule("the path of a file, or empty for none", str.isprintable)
LISTS_OR_NONE: Rule[str] = Rule(
    "paths of files or http(s):// addresses with commas between, or empty for none",
    lambda text: (
        text.isprintable() and all(_is_web(each) for each in split_sources(text) if is_web_source(each))
    ),
)
RESPONDER_OR_NONE: Rule[str] = Rule(
    'an address as "http://ocsp.sante.example/", or empty for none', lambda text: not text or _is_web(text)
)
REVOCATION: Rule[str] = Rule(
    '"require", "prefer" or "unchecked"', lambda text: text in {"require", "prefer", "unchecked"}
)
ZONE: Rule[str] = Rule('a time zone as "Europe/Paris" or "Indian/Reunion"', is_zone)
LANGUAGE: Rule[str] = Rule('"fr" or "en"', lambda text: text in {"fr", "en"})
SWITCH: Rule[bool] = Rule("true or false", lambda _is_on: True)
DATABASE: Rule[str] = Rule(
    'empty for SQLite, or as "postgresql+psycopg://user@host/database"',
    lambda text: not text or _is_url(text, "postgresql+psycopg"),
)
LISTEN_HOST: Rule[str] = Rule(
    'an IP address of this machine, as "127.0.0.1", or "0.0.0.0" for every interface',
    lambda text: _is_read(ip_address, text),
)
PORT: Rule[int] = Rule("a port from 1 to 65535", lambda port: port in _PORTS)
PORT_OR_OFF: Rule[int] = Rule(
    "a port from 1 to 65535, or 0 to switch it off", lambda port: port == 0 or port in _PORTS
)
SIGNERS: Rule[list[str]] = Rule(
    "a list of SHA-256 fingerprints, each of 64 digits from 0-9 and a-f, without colons",
    lambda signers: all(_FINGERPRINT.fullmatch(signer) for signer in signers),
)
SIGNER_NAMES: Rule[list[str]] = Rule(
    'a list of certificate names, as ["CN=list,O=ANS,C=FR"]',
    lambda names: all(_DISTINGUISHED_NAME.fullmatch(name) for name in names),
)
LIST_URL: Rule[str] = Rule(
    'an address as "https://lists.example/list.xml" without a user name, or empty for none',
    lambda text: not text or _is_list_url(text),
)
FETCH_MINUTES: Rule[int] = Rule("from 5 to 1440, which is one day", lambda minutes: 5 <= minutes <= 1440)
FURTHER: Rule[dict[str, str]] = Rule(
    'a table of names (a-z, 0-9, -; not "main") with files, as { region = "trust/region.xml" }',
    lambda lists: (
        all(map(_LIST_NAME.fullmatch, lists)) and all(file and file.isprintable() for file in lists.values())
    ),
)
FURTHER_SIGNERS: Rule[dict[str, str]] = Rule(
    "a table of lists with SHA-256 fingerprints, each of 64 digits from 0-9 and a-f, separated by spaces",
    lambda lists: all(
        signers.split() and all(map(_FINGERPRINT.fullmatch, signers.split())) for signers in lists.values()
    ),
)
FURTHER_URLS: Rule[dict[str, str]] = Rule(
    'a table of lists with addresses, as { region = "https://lists.example/region.xml" }',
    lambda lists: all(map(_is_list_url, lists.values())),
)
HOURS: Rule[int] = Rule("from 1 to 87600, which is ten years", lambda hours: 1 <= hours <= 87600)
ROUTES: Rule[dict[str, str]] = Rule(
    'a table of domains with "host:port", as { "b.example" = "mx.b.example:25" }',
    lambda routes: _is_read(parse_domain, *routes) and _is_read(parse_hop, *routes.values()),
)
RESOLVERS: Rule[list[str]] = Rule(
    'a list of IP addresses with ports, each address once, as ["192.0.2.53:53"]', _are_resolvers
)
PHONE_PREFIXES: Rule[list[str]] = Rule(
    'a list of one or more beginnings of numbers, as ["+33", "+262"], or ["+"] for every country',
    lambda prefixes: bool(prefixes) and all(map(_PHONE_PREFIX.fullmatch, prefixes)),
)
# RFC 5321 §4.5.3.1.7: what is under 64K octets must be taken
MESSAGE_BYTES: Rule[int] = Rule(
    "from 65536 (64 KiB) to 1073741824 (1 GiB)", lambda size: 1 << 16 <= size <= 1 << 30
)
LARGE_BYTES: Rule[int] = Rule(
    "from 65536 (64 KiB) to 2147483648 (2 GiB), or 0 to switch it off",
    lambda size: size == 0 or 1 << 16 <= size <= 1 << 31,
)
KEPT_DAYS: Rule[int] = Rule("from 1 to 365", lambda days: 1 <= days <= 365)
COUNT: Rule[int] = Rule("1 or more", lambda count: count >= 1)
HOST_OR_NONE: Rule[str] = Rule(
    "a host name or an IP address, or empty for none", lambda text: not text or _is_host(text)
)
DAEMON_OR_NONE: Rule[str] = Rule(
    'as "unix:/run/clamav/clamd.ctl" or "127.0.0.1:3310", or empty for none',
    lambda text: not text or _is_read(parse_daemon, text),
)
SECURITY: Rule[str] = Rule(
    f"one of {', '.join(LinkSecurity)}", lambda text: text in frozenset(map(str, LinkSecurity))
)
MAILBOX: Rule[str] = Rule(
    'the name of a mailbox in ASCII, as "INBOX"',
    lambda text: bool(text) and text.isascii() and text.isprintable(),
)
LINE_OR_NONE: Rule[str] = Rule("one line of text, or empty for none", str.isprintable)
SELECTOR: Rule[str] = Rule(
    'a name of letters, digits and hyphens, as "pli2026", or empty for none',
    lambda text: not text or _SELECTOR.fullmatch(text) is not None,
)
DOMAIN_OR_NONE: Rule[str] = Rule(
    "a mail domain, or empty for none", lambda text: not text or _is_read(parse_domain, text)
)
SENDER: Rule[str] = Rule(
    'a mail address, as "ne-pas-repondre@sante.example", or empty for that name in the first domain',
    lambda text: not text or _is_read(parse_address, text),
)
PHARMACIES: Rule[list[str]] = Rule(
    'a list of mail addresses and domains, as ["pharmacie@sante.example", "pharmacies.example"]',
    lambda texts: (
        _is_read(parse_address, *(text for text in texts if "@" in text))
        and _is_read(parse_domain, *(text for text in texts if "@" not in text))
    ),
)
PRODUCT: Rule[str] = Rule(
    'the product reference that ANS gave, as "DEV935997", or empty for none',
    lambda text: not text or bool(_PRODUCT.fullmatch(text)),
)
HTTPS_OR_NONE: Rule[str] = Rule(
    'an address as "https://sms.example/v1/messages", or empty for none',
    lambda text: not text or (_is_url(text, "https") and bool(urlsplit(text).hostname)),
)
SMS_BODY: Rule[str] = Rule(
    "a JSON object with {number} and {text} in its texts, and {sender} if it is wanted",
    lambda text: _is_read(parse_sms_body, text),
)
WEB_URL: Rule[str] = Rule(
    'an address as "https://pli.sante.example", or empty for the one of hostname',
    lambda text: not text or (_is_url(text, "https") and bool(urlsplit(text).hostname)),
)
ISSUER: Rule[str] = Rule(
    'the address of an issuer of tokens as its tokens write it, as "https://login.example/realm", or empty for none',
    lambda text: not text or (_is_url(text, "https") and text.isprintable() and " " not in text),
)
HTTPS_URL: Rule[str] = Rule(
    'an address as "https://login.example/certs", or empty for none',
    lambda text: not text or (_is_url(text, "https") and bool(urlsplit(text).hostname) and text.isascii()),
)
WORDS: Rule[list[str]] = Rule(
    "a list of texts of one line each, none of them empty",
    lambda words: all(word and word.isprintable() for word in words),
)
WORD: Rule[str] = Rule("one line of text", lambda text: text.isprintable() and bool(text))
WORD_OR_NONE: Rule[str] = Rule("one line of text, or empty for none", str.isprintable)
MINUTES: Rule[int] = Rule("from 1 to 1440, which is a day", lambda minutes: 1 <= minutes <= 1440)
SESSION_HOURS: Rule[int] = Rule("from 1 to 168, which is a week", lambda hours: 1 <= hours <= 168)
