"""Where a server is reached: ``host:port`` as settings and routes write it."""

from dataclasses import dataclass

from mailserver.model.errors import Malformed


@dataclass(frozen=True, slots=True)
class NextHop:
    """A host name or address without brackets, and a port."""

    host: str
    port: int


def parse_hop(text: str) -> NextHop:
    """``host:port`` or ``[IPv6]:port``. Raises Malformed("route-syntax")."""
    host, colon, port = text.strip().rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536
    if not colon or not host or host.split() != [host] or not is_port:
        raise Malformed("route-syntax", "a route is host:port")
    return NextHop(host.removeprefix("[").removesuffix("]"), int(port))
