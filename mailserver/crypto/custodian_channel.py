"""The custodian's verbs over a stream socket (a socket pair, or a Unix socket).

A message is u32 length ‖ fields, each u32 length ‖ bytes; no pickle, nothing evaluated. A request is verb ‖ arguments,
an answer is "ok" ‖ results or "error" ‖ class ‖ code ‖ detail. Integers are u64 big-endian, texts UTF-8. Only a
connection that the server's side calls *administrator* may provision, release, bind logins, note an act, use the verbs
that the application reserves, and drop a service key other than a past day's of the queue.
"""

import logging
import socket
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

from mailserver.crypto.custodian import HOURS_KEPT, utc_now
from mailserver.crypto.custodian_logins import LoginBinding, LoginKind, Proof, ProofKind
from mailserver.crypto.custodian_rates import Standing
from mailserver.crypto.custodian_verbs import CustodianVerbs, Provisioned
from mailserver.crypto.secret import Secret
from mailserver.model.errors import (
    Conflict,
    Corrupt,
    Denied,
    Malformed,
    NotFound,
    OverLimit,
    PliError,
    Unavailable,
)
from mailserver.model.ids import ID_BYTES

ExtraVerb: TypeAlias = Callable[[bytes], bytes]

MESSAGE_LIMIT_BYTES = 16 * 1024 * 1024
_ERRORS: dict[bytes, type[PliError]] = {
    kind.__name__.encode(): kind
    for kind in (Conflict, Corrupt, Denied, Malformed, NotFound, OverLimit, Unavailable)
}
_ADMINISTRATOR_VERBS = frozenset(
    {b"provision", b"release", b"bind_login", b"unbind_login", b"list_logins", b"note_act"}
)
_QUEUE_PURPOSE, _DAY_SECONDS = b"queue", 86400
_logger = logging.getLogger(__name__)


class CustodianServer:
    """Answers connections for one custodian. ``extra`` adds verbs of the application; ``reserved`` names those of
    them that only an administrator's connection may use (the log's signer).
    """

    def __init__(
        self,
        custodian: CustodianVerbs,
        extra: Mapping[str, ExtraVerb] | None = None,
        reserved: Collection[str] = (),
    ) -> None:
        self._custodian = custodian
        self._extra = dict(extra or {})
        self._reserved = frozenset(name.encode() for name in reserved)

    def serve_connection(self, sock: socket.socket, *, administrator: bool = False) -> None:
        """Answer until the peer leaves or speaks nonsense, then close; blocking, one thread per connection."""
        with sock:
            while True:
                try:
                    request = _receive(sock)
                    _send(sock, self._answer(request, administrator=administrator))
                except (OSError, EOFError, Malformed):
                    return

    def _answer(self, request: Sequence[bytes], *, administrator: bool) -> list[bytes]:
        try:
            verb, *arguments = request
            if not administrator and self._is_reserved(verb, arguments):
                return _format_error(Denied("custodian-verb"))
            return [b"ok", *self._perform(verb, arguments)]
        except PliError as error:
            return _format_error(error)
        except (ValueError, OverflowError):  # a field of the wrong size or number
            return _format_error(Malformed("custodian-request"))
        except Exception as error:  # noqa: BLE001  one bad request must not stop the others; its words may be private
            _logger.error("custodian: request failed: %s", type(error).__name__)  # noqa: TRY400  no trace: it may hold keys
            return _format_error(Unavailable("custodian"))

    def _is_reserved(self, verb: bytes, arguments: Sequence[bytes]) -> bool:
        """Whether a worker may not ask this: it serves the network, and may be in somebody's hands."""
        match verb, *arguments:
            case b"call", name, _payload:
                return name in self._reserved
            case b"drop_service_key", purpose, epoch:
                today = int(utc_now().timestamp()) // _DAY_SECONDS
                return purpose != _QUEUE_PURPOSE or _parse_u64(epoch) >= today
            case _:
                return verb in _ADMINISTRATOR_VERBS

    def _perform(self, verb: bytes, arguments: Sequence[bytes]) -> list[bytes]:
        custodian = self._custodian
        match verb, *arguments:
            case b"harden", account, slot, value, standing:
                return [custodian.harden(account, slot, value, Standing(standing.decode()))]
            case (b"row_key",):
                return [custodian.row_key().reveal()]
            case b"hourly_key", hour:
                return [custodian.hourly_key(_parse_u64(hour)).reveal()]
            case b"service_key", purpose, epoch:
                return [custodian.service_key(purpose.decode(), _parse_u64(epoch)).reveal()]
            case b"drop_service_key", purpose, epoch:
                custodian.drop_service_key(purpose.decode(), _parse_u64(epoch))
                return []
            case b"provision", account:
                made = custodian.provision(account)
                publics = [made.mail_public, made.space_public, made.signing_public]
                return [*publics, made.custody_header, made.custody_body]
            case b"release", account, header, body, public, basis:
                return [custodian.release(account, header, body, public, basis.decode())]
            case b"release_mail", account, header, body, public, kind, octets:
                return [custodian.release_mail(account, header, body, public, _parse_proof(kind, octets))]
            case b"verify_login", account, kind, octets:
                custodian.verify_login(account, _parse_proof(kind, octets))
                return []
            case b"find_certificate_accounts", certificate:
                return [b"".join(custodian.find_certificate_accounts(certificate))]
            case b"bind_login", account, kind, subject:
                custodian.bind_login(account, LoginKind(kind.decode()), subject.decode())
                return []
            case b"unbind_login", account, kind, subject:
                custodian.unbind_login(account, LoginKind(kind.decode()), subject.decode())
                return []
            case b"list_logins", kind, account:
                found = custodian.list_logins(LoginKind(kind.decode()), account)
                return [b"".join(map(_format_binding, found))]
            case b"note_act", basis:
                custodian.note_act(basis.decode())
                return []
            case b"call", name, payload if name.decode() in self._extra:
                return [self._extra[name.decode()](payload)]
            case _:
                raise NotFound("custodian-verb")


class CustodianClient:
    """A worker's side: the same verbs, blocking, from any thread, one request at a time.

    The row key and the latest hourly keys stay in memory, so that sessions and reception go on while the custodian is
    away. After a failure of the socket every call that needs it raises Unavailable("custodian"): make a new client.
    ``on_broken`` is told once, so that the process can end and start again with a new one.
    """

    def __init__(
        self,
        sock: socket.socket,
        timeout_seconds: float = 30.0,
        on_broken: Callable[[], None] = lambda: None,
    ) -> None:
        sock.settimeout(timeout_seconds)
        self._sock = sock
        self._lock = threading.Lock()
        self._broken = False
        self._on_broken = on_broken
        self._row_key: Secret | None = None
        self._hourly_keys: dict[int, Secret] = {}

    def close(self) -> None:
        """Leave; the server's thread ends."""
        self._sock.close()

    def provision(self, account: bytes) -> Provisioned:
        """As Custodian.provision; Denied("custodian-verb") for a worker's connection."""
        mail, space, signing, header, body = self._ask(5, b"provision", account)
        return Provisioned(mail, space, signing, header, body)

    def harden(
        self, account: bytes, slot: bytes, value: bytes, standing: Standing = Standing.STRANGER
    ) -> bytes:
        """As Custodian.harden."""
        return self._ask(1, b"harden", account, slot, value, standing.value.encode())[0]

    def release(
        self, account: bytes, custody_header: bytes, custody_body: bytes, session_public: bytes, basis: str
    ) -> bytes:
        """As Custodian.release; Denied("custodian-verb") for a worker's connection."""
        slot = (custody_header, custody_body)
        return self._ask(1, b"release", account, *slot, session_public, basis.encode())[0]

    def release_mail(
        self, account: bytes, custody_header: bytes, custody_body: bytes, session_public: bytes, proof: Proof
    ) -> bytes:
        """As Custodian.release_mail."""
        slot, shown = (custody_header, custody_body), (proof.kind.value.encode(), proof.octets)
        return self._ask(1, b"release_mail", account, *slot, session_public, *shown)[0]

    def verify_login(self, account: bytes, proof: Proof) -> None:
        """As Custodian.verify_login."""
        self._ask(0, b"verify_login", account, proof.kind.value.encode(), proof.octets)

    def find_certificate_accounts(self, certificate: bytes) -> list[bytes]:
        """As Custodian.find_certificate_accounts."""
        found = self._ask(1, b"find_certificate_accounts", certificate)[0]
        return [found[at : at + ID_BYTES] for at in range(0, len(found), ID_BYTES)]

    def bind_login(self, account: bytes, kind: LoginKind, subject: str) -> None:
        """As Custodian.bind_login; Denied("custodian-verb") for a worker's connection."""
        self._ask(0, b"bind_login", account, kind.value.encode(), subject.encode())

    def unbind_login(self, account: bytes, kind: LoginKind, subject: str) -> None:
        """As Custodian.unbind_login; Denied("custodian-verb") for a worker's connection."""
        self._ask(0, b"unbind_login", account, kind.value.encode(), subject.encode())

    def list_logins(self, kind: LoginKind, account: bytes = b"") -> list[LoginBinding]:
        """As Custodian.list_logins; Denied("custodian-verb") for a worker's connection."""
        fields = _split(self._ask(1, b"list_logins", kind.value.encode(), account)[0])
        return [
            _parse_binding(kind, *each) for each in zip(fields[::3], fields[1::3], fields[2::3], strict=True)
        ]

    def note_act(self, basis: str) -> None:
        """As Custodian.note_act; Denied("custodian-verb") for a worker's connection."""
        self._ask(0, b"note_act", basis.encode())

    def row_key(self) -> Secret:
        """As Custodian.row_key; asked once."""
        if self._row_key is None:
            self._row_key = Secret(self._ask(1, b"row_key")[0])
        return self._row_key

    def hourly_key(self, hour: int) -> Secret:
        """As Custodian.hourly_key; the HOURS_KEPT latest stay in memory."""
        key = self._hourly_keys.get(hour)
        if key is None:
            key = Secret(self._ask(1, b"hourly_key", _format_u64(hour))[0])
            kept = {**self._hourly_keys, hour: key}
            self._hourly_keys = {each: kept[each] for each in sorted(kept)[-HOURS_KEPT:]}
        return key

    def service_key(self, purpose: str, epoch: int) -> Secret:
        """As Custodian.service_key; never kept here, so that dropping a key ends it everywhere."""
        return Secret(self._ask(1, b"service_key", purpose.encode(), _format_u64(epoch))[0])

    def drop_service_key(self, purpose: str, epoch: int) -> None:
        """As Custodian.drop_service_key."""
        self._ask(0, b"drop_service_key", purpose.encode(), _format_u64(epoch))

    def call(self, name: str, payload: bytes) -> bytes:
        """A verb that the application registered; NotFound("custodian-verb") when it did not."""
        return self._ask(1, b"call", name.encode(), payload)[0]

    def _ask(self, results: int, *request: bytes) -> list[bytes]:
        with self._lock:
            if self._broken:
                raise Unavailable("custodian")
            try:
                _send(self._sock, request)
                status, *fields = _receive(self._sock)
            except (OSError, EOFError, Malformed, ValueError):
                self._break()
                raise Unavailable("custodian") from None
        if status == b"error":
            raise _parse_error(fields)
        if status != b"ok" or len(fields) != results:
            raise Unavailable("custodian")
        return fields

    def _break(self) -> None:
        """An answer may still be on its way: nothing read after it could be trusted to be ours."""
        self._broken = True
        self._sock.close()
        self._on_broken()


def _parse_proof(kind: bytes, octets: bytes) -> Proof:
    return Proof(ProofKind(kind.decode()), octets)


def _format_binding(binding: LoginBinding) -> bytes:
    made_at = _format_u64(int(binding.made_at.timestamp()))
    return _join((binding.account, binding.subject.encode(), made_at))


def _parse_binding(kind: LoginKind, account: bytes, subject: bytes, made_at: bytes) -> LoginBinding:
    return LoginBinding(account, kind, subject.decode(), datetime.fromtimestamp(_parse_u64(made_at), UTC))


def _join(fields: Sequence[bytes]) -> bytes:
    return b"".join(part for field in fields for part in (len(field).to_bytes(4, "big"), field))


def _send(sock: socket.socket, fields: Sequence[bytes]) -> None:
    body = _join(fields)
    sock.sendall(len(body).to_bytes(4, "big") + body)


def _receive(sock: socket.socket) -> list[bytes]:
    """One message; EOFError when the peer left, Malformed when it is too long or its lengths lie."""
    size = int.from_bytes(_read_exactly(sock, 4), "big")
    if size > MESSAGE_LIMIT_BYTES:
        raise Malformed("custodian-message")
    return _split(_read_exactly(sock, size))


def _split(body: bytes) -> list[bytes]:
    """Inverse of ``_join``; Malformed when a length lies."""
    fields = []
    at = 0
    while at < len(body):
        end = at + 4 + int.from_bytes(body[at : at + 4], "big")
        if end > len(body):
            raise Malformed("custodian-message")
        fields.append(body[at + 4 : end])
        at = end
    return fields


def _read_exactly(sock: socket.socket, size: int) -> bytes:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        received = sock.recv_into(view)
        if not received:
            raise EOFError
        view = view[received:]
    return bytes(buffer)


def _format_u64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _parse_u64(raw: bytes) -> int:
    if len(raw) != 8:
        raise Malformed("custodian-request")
    return int.from_bytes(raw, "big")


def _format_error(error: PliError) -> list[bytes]:
    kind = next((name for name, each in _ERRORS.items() if isinstance(error, each)), b"Unavailable")
    return [b"error", kind, error.code.encode(), error.detail.encode()]


def _parse_error(fields: Sequence[bytes]) -> PliError:
    match fields:
        case [kind, code, detail] if kind in _ERRORS:
            return _ERRORS[kind](code.decode(errors="replace"), detail.decode(errors="replace"))
        case _:
            return Unavailable("custodian")
