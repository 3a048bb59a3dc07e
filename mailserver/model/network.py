"""Where a connection comes from, as limits and logs count it: one place, and the network around it."""

import ipaddress
from functools import lru_cache


def network_of(peer: str) -> str:
    """The /24 or /48 of an address in prefix form; empty when ``peer`` is no IP address."""
    return _prefix_of(peer, 24, 48)


def place_of(peer: str) -> str:
    """What one household or one gateway holds: an IPv4 address, the /64 of an IPv6 address. ``peer`` when it is neither."""
    return _prefix_of(peer, 32, 64) or peer


@lru_cache(maxsize=4096)
def _prefix_of(peer: str, bits_of_4: int, bits_of_6: int) -> str:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    prefix = bits_of_4 if address.version == 4 else bits_of_6
    return str(ipaddress.ip_network((address, prefix), strict=False))
