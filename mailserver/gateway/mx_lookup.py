"""The servers of a domain by the DNS (RFC 5321 §5.1), through dnspython, which this module alone imports.

Host names found this way are believed no further than to be called: the certificate's name decides (S2). Answers are
kept as long as they say, at most 1000 of them. Blocks for a bounded time: pool threads only.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA

from mailserver.model.address import DomainName
from mailserver.model.errors import Denied, NotFound, Unavailable
from mailserver.model.hop import NextHop

SMTP_PORT = 25
ANSWERS = 1000
QUERY_SECONDS = 8.0
"""For one question, all its tries and all resolvers together."""
QUESTIONS = 2
"""So many times as long for all that a look-up asks: who names ten hosts and is silent about each holds no thread."""
MOST_HOSTS = 10
MOST_ADDRESSES = 4
"""Of one host and family: who answers with hundreds keeps nobody busy."""

Shuffle = Callable[[list[str]], None]


class MxResolver:
    """``look_up`` gives the addresses to call. ``resolvers``: (address, port); none for those of the system."""

    def __init__(
        self,
        resolvers: Sequence[NextHop],
        shuffle: Shuffle,
        *,
        port: int = SMTP_PORT,
        seconds: float = QUERY_SECONDS,
    ) -> None:
        self._resolver = dns.resolver.Resolver(configure=not resolvers)
        if resolvers:
            self._resolver.nameservers = [each.host for each in resolvers]
            self._resolver.nameserver_ports = {each.host: each.port for each in resolvers}
        self._resolver.timeout = seconds / 3
        self._resolver.cache = dns.resolver.LRUCache(ANSWERS)
        self._resolver.search = []
        self._shuffle = shuffle
        self._port = port
        self._seconds = seconds

    def look_up(self, domain: DomainName) -> tuple[NextHop, ...]:
        """Most preferred first; hosts of equal preference in the order of ``shuffle``.

        Raises NotFound("mx-no-domain") when nobody takes mail for it, Denied("mx-null") when it says so itself
        (RFC 7505 §3), Unavailable("mx-unanswered") when the DNS does not answer for now.
        """
        ends_at = time.monotonic() + QUESTIONS * self._seconds
        records = self._find_mx(domain, ends_at)
        if [str(each.exchange) for each in records] == ["."]:
            raise Denied("mx-null")
        # no MX record: the domain is its own server (RFC 5321 §5.1)
        hosts = self._order(records) if records else [domain.name]
        found: list[NextHop] = []
        unanswered = 0
        for host in hosts:
            try:
                found += self._find_addresses(host, ends_at)
            except Unavailable:
                unanswered += 1
        if not found and unanswered:
            raise Unavailable("mx-unanswered")
        if not found:
            raise NotFound("mx-no-domain")
        return tuple(dict.fromkeys(found))

    def _find_mx(self, domain: DomainName, ends_at: float) -> list[MX]:
        return [each for each in self._ask(domain.name, dns.rdatatype.MX, ends_at) if isinstance(each, MX)]

    def _order(self, records: Iterable[MX]) -> list[str]:
        """RFC 5321 §5.1: by preference, at random among equals. A root name beside others is no host."""
        hosts: list[str] = []
        by_preference = sorted(records, key=lambda each: (each.preference, str(each.exchange)))
        for _preference, group in groupby(by_preference, key=lambda each: each.preference):
            equals = [name for each in group if (name := str(each.exchange).rstrip("."))]
            self._shuffle(equals)
            hosts += equals
        return list(dict.fromkeys(hosts))[:MOST_HOSTS]

    def _find_addresses(self, host: str, ends_at: float) -> list[NextHop]:
        addresses: list[str] = []
        for kind in (dns.rdatatype.AAAA, dns.rdatatype.A):
            found = [each.address for each in self._ask(host, kind, ends_at) if isinstance(each, A | AAAA)]
            addresses += found[:MOST_ADDRESSES]
        return [NextHop(each, self._port, is_by_dns=True) for each in addresses]

    def _ask(self, name: str, kind: dns.rdatatype.RdataType, ends_at: float) -> list[object]:
        """The records; none for a name that does not exist or has none. Raises Unavailable("mx-unanswered")."""
        left = ends_at - time.monotonic()
        if left <= 0:
            raise Unavailable("mx-unanswered", "too long")
        try:
            answer = self._resolver.resolve(dns.name.from_text(name), kind, lifetime=min(left, self._seconds))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError) as error:
            raise Unavailable("mx-unanswered", type(error).__name__) from error
        return list(answer)
