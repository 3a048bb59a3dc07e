"""Where a server is reached: ``host:port``, or the path of a socket, as settings and routes write it."""

import ipaddress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath

from mailserver.model.errors import Malformed


class LinkSecurity(StrEnum):
    """TLS when it is offered and from whom it may be; or demanded, with authority and host name checked."""

    OPPORTUNISTIC = "opportunistic"
    STARTTLS = "starttls"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class NextHop:
    """A host name or address without brackets, and a port."""

    host: str
    port: int
    is_by_dns: bool = field(default=False, compare=False)
    """The DNS said, or will say, where it is: anybody may answer there."""


def parse_hop(text: str) -> NextHop:
    """``host:port`` or ``[IPv6]:port``. Raises Malformed("route-syntax")."""
    host, colon, port = text.strip().rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536
    if not colon or not host or host.split() != [host] or not is_port:
        raise Malformed("route-syntax", "a route is host:port")
    host = host.removeprefix("[").removesuffix("]")
    return NextHop(host, int(port), is_by_dns=not _is_address(host))


def parse_daemon(text: str) -> PurePath | NextHop:
    """``unix:/path`` of a socket on this machine, or as ``parse_hop``. Raises Malformed("route-syntax")."""
    if not text.startswith("unix:"):
        return parse_hop(text)
    path = PurePath(text.removeprefix("unix:"))
    if not path.is_absolute() or "\0" in text:
        raise Malformed("route-syntax", "the path of a socket is absolute")
    return path


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
