"""The operator's own minimal log (L14): enough to see an attack and to answer "which person got in", nothing more.

A record has pseudonyms and a source network, an act and its result. No mail address, no object name, no content:
the type has no field for them. One JSON object a line; kept 12 months by default.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from mailserver.audit.events import EventResult, format_time
from mailserver.model.errors import Malformed
from mailserver.model.ids import ID_BYTES

IPV4_PREFIX = 24
IPV6_PREFIX = 48
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class SecurityKind(StrEnum):
    CONNECTION = "connection"
    LOGIN = "login"
    READING = "reading"
    SUBMISSION = "submission"
    RECEPTION = "reception"
    DELIVERY = "delivery"
    RELAY = "relay"
    DELETION = "deletion"
    KEY_CHANGE = "key-change"
    GRANT_CHANGE = "grant-change"
    BREAK_GLASS = "break-glass"
    EXPORT = "export"
    ADMINISTRATION = "administration"
    CUSTODY = "custody"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class SecurityRecord:
    """``account`` and ``person`` are 16-byte pseudonyms, or None when nobody is known.

    Both, because a shared box must let one find which natural person got in (CNIL AU-037 art. 7).
    """

    when: datetime
    kind: SecurityKind
    result: EventResult
    account: bytes | None = None
    person: bytes | None = None
    network: str = ""

    def __post_init__(self) -> None:
        if self.when.tzinfo is not UTC:
            raise Malformed("security-time")
        if any(value is not None and len(value) != ID_BYTES for value in (self.account, self.person)):
            raise Malformed("security-pseudonym")
        if self.network and self.network != _coarse(self.network):
            raise Malformed("security-network")


def source_network(peer: str) -> str:
    """The /24 (IPv4, also when mapped into IPv6) or /48 (IPv6) that holds this address. Raises Malformed."""
    try:
        address: IPv4Address | IPv6Address = ip_address(peer.partition("%")[0])
    except ValueError as error:
        raise Malformed("security-network") from error
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    prefix = IPV4_PREFIX if isinstance(address, IPv4Address) else IPV6_PREFIX
    return str(ip_network((address, prefix), strict=False))


@lru_cache(maxsize=1024)
def _coarse(network: str) -> str:
    return source_network(network.partition("/")[0])


def security_fields(record: SecurityRecord) -> dict[str, int | str | None]:
    """What a line says, keys in order."""
    return {
        "v": 1,
        "when": format_time(record.when),
        "kind": record.kind.value,
        "result": record.result.value,
        "account": record.account.hex() if record.account is not None else None,
        "person": record.person.hex() if record.person is not None else None,
        "network": record.network,
    }


def format_security_line(record: SecurityRecord) -> bytes:
    """One line of JSON, keys in order, closed by LF."""
    return json.dumps(security_fields(record), separators=(",", ":")).encode() + b"\n"


def parse_security_line(line: bytes) -> SecurityRecord:
    """Inverse of ``format_security_line``. Raises Malformed."""
    try:
        fields = json.loads(line)
        record = SecurityRecord(
            when=datetime.strptime(fields["when"], _TIME).replace(tzinfo=UTC),
            kind=SecurityKind(fields["kind"]),
            result=EventResult(fields["result"]),
            account=None if fields["account"] is None else bytes.fromhex(fields["account"]),
            person=None if fields["person"] is None else bytes.fromhex(fields["person"]),
            network=str(fields["network"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Malformed("security-line") from error
    if format_security_line(record) != line:
        raise Malformed("security-line")
    return record
