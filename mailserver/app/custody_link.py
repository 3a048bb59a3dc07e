"""Reaching the custodian: the supervisor's own, its socket for administrators, or the keys folder when nothing runs."""

import contextlib
import os
import socket
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mailserver.app.token_checks import build_token_check
from mailserver.audit.checkpoint import LogPublics, next_origin
from mailserver.audit.entry import AccountHead
from mailserver.audit.sign_request import MAX_LEAVES
from mailserver.audit.signer import LogSigner, create_log_state
from mailserver.config import Config
from mailserver.crypto.custodian import Custodian
from mailserver.crypto.custodian_channel import CustodianClient, CustodianServer
from mailserver.crypto.custodian_verbs import CustodianVerbs
from mailserver.crypto.secret import Secret
from mailserver.model.errors import Conflict, Unavailable
from mailserver.service.sequencer import SignLog

SOCKET_NAME = "custodian.sock"
LOG_STATE_NAME = "log-signer.sqlite"
_SIGN, _PUBLICS = "sign-log", "log-publics"
_ED25519_BYTES = 32


@dataclass(frozen=True, slots=True)
class Custody:
    """The custodian's verbs with those of the log's signer."""

    verbs: CustodianVerbs
    sign_log: SignLog
    log_publics: LogPublics


def log_origin(config: Config) -> str:
    """The log's name in its checkpoints (C2SP tlog-checkpoint)."""
    return f"{config.operator.hostname}/pli-log"


@dataclass(frozen=True, slots=True)
class ReopenedLog:
    """The log until now, its last signed head and the file that keeps its state; and the name that it goes on under."""

    old_origin: str
    new_origin: str
    old_checkpoint: bytes
    kept: Path


class LocalCustodian:
    """The custodian opened in this process, with the log's signer beside it."""

    def __init__(self, config: Config) -> None:
        """Raises Conflict("custodian-busy") when another process has it, NotFound("keys") before ``pli init``."""
        self._custodian = Custodian.open(config.keys_folder, tokens=build_token_check(config))
        state = config.keys_folder / LOG_STATE_NAME
        if not state.exists():
            create_log_state(state, log_origin(config))
        self._base, self._state = log_origin(config), state
        self._signer = LogSigner(state, self._custodian.log_keys(), self._base)
        self.custody = Custody(self._custodian, self.sign_log, self._custodian.log_keys().publics)
        publics = b"".join(self.custody.log_publics)
        self.server = CustodianServer(
            self._custodian, {_SIGN: self.sign_log, _PUBLICS: lambda _payload: publics}, reserved=[_SIGN]
        )

    def sign_log(self, request: bytes) -> bytes:
        """The signer's answer. A worker's connection is refused it: who may write leaves may not have them signed."""
        return self._signer.answer(request, datetime.now(UTC))

    def signed_heads(self) -> dict[bytes, AccountHead]:
        """The end of each account's chain as it was signed, by pseudonym."""
        return self._signer.list_heads()

    def reopen_log(self, leaves: Sequence[bytes]) -> ReopenedLog:
        """Go on under the next name, from ``leaves`` in their order. The state until now is kept beside it as it is.

        1. The new state is built and signed as any other, so that every chain is judged. 2. The old one gets a second
        name. 3. The new one takes its place, in one step: no moment is without either.
        """
        old = self._signer
        origin = next_origin(old.origin, self._base)
        rank = origin.rpartition("/")[2]
        fresh, kept = (
            self._state.with_name(f"log-signer.{name}.sqlite") for name in ("new", f"before-{rank}")
        )
        fresh.unlink(missing_ok=True)
        create_log_state(fresh, origin)
        with contextlib.closing(LogSigner(fresh, self._custodian.log_keys(), origin)) as signer:
            for first in range(0, len(leaves), MAX_LEAVES):
                signer.sign_leaves(first, leaves[first : first + MAX_LEAVES], datetime.now(UTC))
        ended = ReopenedLog(old.origin, origin, old.current().checkpoint, kept)
        old.close()
        kept.unlink(missing_ok=True)
        os.link(self._state, kept)
        fresh.replace(self._state)
        _sync_folder(self._state.parent)
        self._signer = LogSigner(self._state, self._custodian.log_keys(), self._base)
        return ended

    def row_key(self) -> Secret:
        return self._custodian.row_key()

    def mark_log(self, *, is_late: bool, set_aside: Collection[bytes] = ()) -> None:
        """As Custodian.mark_log."""
        self._custodian.mark_log(is_late=is_late, set_aside=set_aside)

    def serve(self, connection: socket.socket, *, administrator: bool) -> None:
        """Answer one connection on a thread of its own until it closes."""
        serve = self.server.serve_connection
        threading.Thread(
            target=serve, args=(connection,), kwargs={"administrator": administrator}, daemon=True
        ).start()

    def listen(self, folder: Path) -> socket.socket:
        """The administrators' socket, in the keys folder that only the operator's own account may enter."""
        path = folder / SOCKET_NAME
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        with _short(path) as name:
            listener.bind(name)
        listener.listen(8)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _peer = listener.accept()
            except OSError:
                return
            self.serve(connection, administrator=True)

    def close(self) -> None:
        self._signer.close()
        self._custodian.close()


def connected(client: CustodianClient) -> Custody:
    """A custodian at the other end of a socket."""
    publics = client.call(_PUBLICS, b"")
    pair = (publics[:_ED25519_BYTES], publics[_ED25519_BYTES:])
    return Custody(client, lambda request: client.call(_SIGN, request), pair)


@contextlib.contextmanager
def administrator_custody(config: Config) -> Iterator[Custody]:
    """For commands: the running server's custodian, or the keys folder itself when no server runs."""
    path = config.keys_folder / SOCKET_NAME
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with _short(path) as name:
            link.connect(name)
    except OSError:
        link.close()
        with contextlib.closing(_local(config)) as local:
            yield local.custody
        return
    client = CustodianClient(link)
    try:
        yield connected(client)
    finally:
        client.close()


def _local(config: Config) -> LocalCustodian:
    try:
        return LocalCustodian(config)
    except Conflict as error:
        if error.code != "custodian-busy":
            raise
        raise Unavailable("custodian", "another process has the keys folder open") from error


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for a Unix socket that fits its 108 bytes whatever the folder's length."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
