"""A small DNS server on 127.0.0.1 (UDP), with the records that a test gives it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

Zone = dict[tuple[str, str], list[str] | str]
"""(name, type) → texts of records, or the name of an rcode; "silent" gives no answer."""


class DnsServer:
    def __init__(self, zone: Zone, ttl: int = 300) -> None:
        self.zone = zone
        self.ttl = ttl
        self.asked: list[tuple[str, str]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="dns", daemon=True)

    @contextmanager
    def running(self) -> Iterator["DnsServer"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._socket.sendto(b"", ("127.0.0.1", self.port))
            self._thread.join(5)
            self._socket.close()

    def _serve(self) -> None:
        while True:
            octets, who = self._socket.recvfrom(4096)
            if not octets:
                return
            answer = self._answer(dns.message.from_wire(octets))
            if answer is not None:
                self._socket.sendto(answer.to_wire(), who)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0]
        name, kind = question.name.to_text().rstrip("."), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        found = self.zone.get((name, kind))
        if found is None:
            found = [] if any(known == name for known, _kind in self.zone) else "NXDOMAIN"
        if found == "silent":
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if isinstance(found, str):
            response.set_rcode(dns.rcode.from_text(found))
        elif found:
            response.answer.append(dns.rrset.from_text_list(question.name, self.ttl, "IN", kind, found))
        return response
