"""The one configuration file, ``pli.toml``: each key is a field below with its documentation, its default and its rule.

Validated once at start. Every key may be given as an environment variable too: ``PLI_LISTEN_IMAPS`` for
``imaps`` in ``[listen]``. An error names the file, the key and the remedy. Paths are relative to the file's folder;
the files that keys name are read where they are used.
"""

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

from mailserver.config import rules
from mailserver.config.large import LargeConfig
from mailserver.config.notices import (
    BouncesConfig,
    RelayConfig,
    SmsConfig,
    find_bounces_fault,
    find_relay_fault,
)
from mailserver.config.oauth import OauthConfig, find_oauth_fault
from mailserver.config.rules import key as _key
from mailserver.config.tls import TlsConfig
from mailserver.config.values import ConfigError, Value, checked_value, parse_value
from mailserver.model.address import DomainName, parse_domain
from mailserver.model.local_time import LocalClock, local_clock

__all__ = ["Config", "ConfigError", "Value", "format_config", "load_config"]


@dataclass(frozen=True, slots=True)
class OperatorConfig:
    name: str = _key("Pli", "Name of the operator, shown to people.", rules.NAME)
    domains: list[str] = _key([], "Mail domains that this server holds; at least one.", rules.DOMAINS)  # noqa: RUF009 # a field
    hostname: str = _key(
        "localhost",
        "Name of this machine in the DNS: in greetings, trace lines and links. The certificates name it too. Do not change it later: "
        "the access log bears it.",
        rules.HOSTNAME,
    )
    zone: str = _key(
        "Europe/Paris",
        "Time zone in which people are told times, on the web pages and in reports; logs and the API keep UTC.",
        rules.ZONE,
    )
    product_reference: str = _key(
        "",
        "Product reference of ANS's Convergence platform, written as X-MSS-NIL into mail composed here; empty: no such "
        "header.",
        rules.PRODUCT,
    )


@dataclass(frozen=True, slots=True)
class StoreConfig:
    data: str = _key(
        "data", "Folder of the store: what to back up. Whoever holds it reads nothing.", rules.PATH
    )
    keys: str = _key("keys", "Folder of the custodian's keys: never beside the data in a backup.", rules.PATH)
    database: str = _key(
        "", "Empty for SQLite in the data folder, or postgresql+psycopg://… .", rules.DATABASE
    )


@dataclass(frozen=True, slots=True)
class ListenConfig:
    host: str = _key(
        "127.0.0.1",
        "Address to listen on; 127.0.0.1 is this machine alone, 0.0.0.0 every interface.",
        rules.LISTEN_HOST,
    )
    mx: int = _key(
        25,
        "Mail from other operators (SMTP with STARTTLS, mutual TLS). 0 switches a port off.",
        rules.PORT_OR_OFF,
    )
    submission: int = _key(587, "Mail from our users, STARTTLS.", rules.PORT_OR_OFF)
    submissions: int = _key(465, "Mail from our users, TLS at once.", rules.PORT_OR_OFF)
    imap: int = _key(143, "IMAP with STARTTLS.", rules.PORT_OR_OFF)
    imaps: int = _key(993, "IMAP, TLS at once.", rules.PORT_OR_OFF)
    web: int = _key(443, "Web pages and API, HTTPS.", rules.PORT_OR_OFF)

    @property
    def ports(self) -> dict[str, int]:
        """The ports that are not switched off, by key."""
        numbers = {
            each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name != "host"
        }
        return {key: port for key, port in numbers.items() if port}


@dataclass(frozen=True, slots=True)
class TrustConfig:
    file: str = _key(
        "trust/list.xml", "The signed list of trusted domains; read again when it changes.", rules.PATH
    )
    url: str = _key(
        "",
        "Where the list is fetched from (https only) into file; empty when something else puts file there.",
        rules.LIST_URL,
    )
    authority: str = _key(
        "",
        "PEM file of the only authorities trusted for the servers of url and further_urls; empty for the system's.",
        rules.PATH_OR_NONE,
    )
    fetch_minutes: int = _key(60, "Time between two fetches.", rules.FETCH_MINUTES)
    signers: list[str] = _key(  # noqa: RUF009 # a field
        [],
        "SHA-256 fingerprints of the certificates that may sign the list: today's, and the next one before it comes.",
        rules.SIGNERS,
    )
    signer_names: list[str] = _key(  # noqa: RUF009 # a field
        [],
        "Subject names that the signer's certificate must bear too, in any order of their parts; empty for any. In the "
        'environment with slashes: "/C=FR/O=ANS/CN=list".',
        rules.SIGNER_NAMES,
    )
    stale_hours: int = _key(72, "A list older than this trusts nobody.", rules.HOURS)
    alarm_hours: int = _key(
        24,
        "A list older than this is an error in the log each hour: it was not renewed in time.",
        rules.HOURS,
    )
    further: dict[str, str] = _key(  # noqa: RUF009 # a field
        {},
        "Names of further lists, each with its file: whom any list in force names is trusted, for any domain.",
        rules.FURTHER,
    )
    further_signers: dict[str, str] = _key(  # noqa: RUF009 # a field
        {}, "Fingerprints of each further list's signers, separated by spaces.", rules.FURTHER_SIGNERS
    )
    further_urls: dict[str, str] = _key(  # noqa: RUF009 # a field
        {},
        "Where further lists are fetched from, as url; none for those that something else puts there.",
        rules.FURTHER_URLS,
    )
    routes_file: str = _key(
        "", "JSON file of further routes, read again when it changes; empty for none.", rules.PATH_OR_NONE
    )
    routes: dict[str, str] = _key(  # noqa: RUF009 # a field
        {},
        'Servers of other domains: domain = "host:port". They win over routes_file, and both over the DNS.',
        rules.ROUTES,
    )
    mx: bool = _key(
        True,
        "Whether a domain without a route is looked up in the DNS (MX). Off: it gets no mail.",
        rules.SWITCH,
    )
    resolver: list[str] = _key(  # noqa: RUF009 # a field
        [], "DNS servers to ask, by address; empty for the system's.", rules.RESOLVERS
    )


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    message_bytes: int = _key(26214400, "Largest message.", rules.MESSAGE_BYTES)
    recipients: int = _key(100, "Most recipients of one message.", rules.COUNT)
    messages: int = _key(
        200000,
        "Most messages in one account: more cannot be copied or appended (IMAP). Mail that arrives is never refused.",
        rules.COUNT,
    )
    storage_bytes: int = _key(
        53687091200,
        "Most octets of messages in one account, padding included; over it as for messages.",
        rules.COUNT,
    )
    connections: int = _key(
        5000,
        "Most connections at once, per worker, to each of: mx, the submission ports, web. IMAP has a limit of its own.",
        rules.COUNT,
    )
    connections_per_address: int = _key(200, "As many of them from one network address.", rules.COUNT)


@dataclass(frozen=True, slots=True)
class QueueConfig:
    notice_hours: int = _key(
        24,
        "How long after a message is handed over the receipt or report that its sender asked for is waited for; then the "
        "sender is told that nothing came.",
        rules.HOURS,
    )


@dataclass(frozen=True, slots=True)
class PatientsConfig:
    pharmacies: list[str] = _key(  # noqa: RUF009 # a field
        [],
        "Pharmacies that take a patient's first message: addresses, or whole domains of them. A box held here must be of "
        "kind ORG. Empty: a patient answers only.",
        rules.PHARMACIES,
    )
    refuse_mss_mismatch: bool = _key(
        False,
        "Whether a message whose X-MSS-CODECDA or X-MSS-INS header differs from its archive is refused. It is logged "
        "anyway.",
        rules.SWITCH,
    )


@dataclass(frozen=True, slots=True)
class AntivirusConfig:
    clamd: str = _key(
        "",
        'ClamAV\'s clamd: "unix:/run/clamav/clamd.ctl" or "host:port"; empty: mail is not scanned. While clamd is away, '
        "mail is put off (451). Its StreamMaxLength must be above message_bytes, and above limit_bytes in [large].",
        rules.DAEMON_OR_NONE,
    )


@dataclass(frozen=True, slots=True)
class WebConfig:
    url: str = _key(
        "", "Public address of the web pages, shown in notices; empty: https://hostname.", rules.WEB_URL
    )


@dataclass(frozen=True, slots=True)
class LanguageConfig:
    first: str = _key(
        "fr",
        "fr or en: what comes first where people are told both, in the replies that mail clients and other operators show.",
        rules.LANGUAGE,
    )


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, with ``folder`` = where the file lies."""

    folder: Path
    operator: OperatorConfig
    store: StoreConfig
    listen: ListenConfig
    tls: TlsConfig
    trust: TrustConfig
    limits: LimitsConfig
    large: LargeConfig
    queue: QueueConfig
    patients: PatientsConfig
    antivirus: AntivirusConfig
    relay: RelayConfig
    bounces: BouncesConfig
    sms: SmsConfig
    web: WebConfig
    language: LanguageConfig
    oauth: OauthConfig

    def path(self, value: str) -> Path:
        """A configured path, relative to the file's folder."""
        return self.folder / value

    @property
    def data_folder(self) -> Path:
        return Path(os.environ.get("PLI_DATA") or self.path(self.store.data))

    @property
    def keys_folder(self) -> Path:
        return self.path(self.store.keys)

    @property
    def database_url(self) -> str:
        return self.store.database or f"sqlite:///{self.data_folder / 'pli.sqlite'}"

    @property
    def domains(self) -> frozenset[DomainName]:
        return frozenset(parse_domain(name) for name in self.operator.domains)

    @property
    def clock(self) -> LocalClock:
        """How times are told to people."""
        return local_clock(self.operator.zone)

    @property
    def web_url(self) -> str:
        port = "" if self.listen.web == 443 else f":{self.listen.web}"
        return self.web.url or f"https://{self.operator.hostname}{port}"


SECTIONS = {each.name: get_type_hints(Config)[each.name] for each in dataclasses.fields(Config)[1:]}


def load_config(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read, merge the environment, validate. Raises ConfigError with a sentence for the administrator."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file. Make one with: pli init DIR --domain D") from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}). Name a file that this account may read."
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not readable as TOML ({error}). Correct the line it names.") from error
    unknown = sorted(set(raw) - set(SECTIONS))
    if unknown:
        raise ConfigError(f"{path}: unknown section [{unknown[0]}]. Known: {', '.join(SECTIONS)}.")
    sections = {name: _section(path, name, raw.get(name, {}), environment) for name in SECTIONS}
    config = Config(path.resolve().parent, **sections)  # type: ignore[arg-type] # one value per section, by name
    _check_ports(path, config.listen)
    _check_folders(path, config)
    fault = (
        find_oauth_fault(config.oauth)
        or find_relay_fault(config.relay)
        or find_bounces_fault(config.bounces, config.relay)
    )
    if fault is not None:
        raise ConfigError(f"{path}: {fault}")
    return config


def _section(path: Path, name: str, raw: object, environment: Mapping[str, str]) -> object:
    kind = SECTIONS[name]
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: [{name}] must be a section.")
    fields = {each.name: each for each in dataclasses.fields(kind)}
    unknown = sorted(set(raw) - set(fields))
    if unknown:
        raise ConfigError(f"{path}: unknown key {unknown[0]} in [{name}]. Known: {', '.join(fields)}.")
    values: dict[str, Value] = {}
    for key, each in fields.items():
        default = getattr(kind(), key)
        variable = f"PLI_{name}_{key}".upper()
        where, value = f"{path}: {key} in [{name}]", raw.get(key, default)
        if variable in environment:
            where = f"environment: {variable}"
            value = parse_value(where, environment[variable], default)
        values[key] = checked_value(where, value, default)
        if not each.metadata["rule"].is_kept(values[key]):
            raise ConfigError(f"{where} must be {each.metadata['rule'].remedy}.")
    return kind(**values)


def _check_ports(path: Path, listen: ListenConfig) -> None:
    """Each port once."""
    taken: dict[int, str] = {}
    for key, port in listen.ports.items():
        if port in taken:
            raise ConfigError(
                f"{path}: {taken[port]} and {key} in [listen] are both {port}. Give each a port of its own, or 0 to switch "
                "one off."
            )
        taken[port] = key


def _check_folders(path: Path, config: Config) -> None:
    """K7: the keys are outside what is backed up, and the other way round."""
    data, keys = config.data_folder.resolve(), config.keys_folder.resolve()
    if keys.is_relative_to(data) or data.is_relative_to(keys):
        raise ConfigError(
            f"{path}: data and keys in [store] are one inside the other. Give keys a folder apart: a copy of data must never "
            "hold them."
        )


def demand_revocation(config: Config, path: Path) -> None:
    """Nobody serves without a check of revocation unless the file says so. Raises ConfigError."""
    is_set, is_waived = (
        bool(config.tls.peer_crl or config.tls.peer_ocsp),
        config.tls.revocation == "unchecked",
    )
    if not is_set and not is_waived:
        raise ConfigError(
            f"{path}: peer_crl and peer_ocsp in [tls] are both empty, so nothing would tell that another operator's "
            "certificate was revoked, and whoever stole one could write in its name. Name the authority's revocation "
            'lists or its responder; to serve without this check, write revocation = "unchecked".'
        )
    if is_set and is_waived:
        raise ConfigError(
            f'{path}: revocation in [tls] is "unchecked", and peer_crl or peer_ocsp is set: one of them is meant '
            'otherwise. Write "require" or "prefer", or empty both.'
        )
