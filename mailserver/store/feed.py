"""The change feed on one machine: "account X has news", from the process that committed to every process that
serves open connections, over Unix datagram sockets in one folder. A lost wake-up costs delay, never mail: the
truth is in the store.
"""

import contextlib
import os
import socket
from collections.abc import Iterable
from pathlib import Path

from mailserver.model.ids import ID_BYTES, AccountId

_DATAGRAM_ACCOUNTS = 256


class Feed:
    """One process's end. ``fileno`` is readable when news wait; ``read`` returns the accounts."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        # /proc/self/fd keeps the socket address short whatever the folder's length (108-byte limit)
        self._folder_descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._path = folder / f"{name}.feed"
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        self._socket.bind(self._short(self._path.name))

    def _short(self, name: str) -> str:
        return f"/proc/self/fd/{self._folder_descriptor}/{name}"

    def fileno(self) -> int:
        return self._socket.fileno()

    def publish(self, account_ids: Iterable[AccountId]) -> None:
        """Tell every process, this one too. Never blocks; a full or dead peer is skipped."""
        ids = sorted(set(account_ids))
        for start in range(0, len(ids), _DATAGRAM_ACCOUNTS):
            datagram = b"".join(ids[start : start + _DATAGRAM_ACCOUNTS])
            for name in os.listdir(self._folder_descriptor):  # noqa: PTH208 # by descriptor, as the sockets are
                if name.endswith(".feed"):
                    self._send(name, datagram)

    def _send(self, name: str, datagram: bytes) -> None:
        try:
            self._socket.sendto(datagram, self._short(name))
        except ConnectionRefusedError:
            with contextlib.suppress(FileNotFoundError):  # its process died without removing it
                os.unlink(name, dir_fd=self._folder_descriptor)
        except OSError:
            return

    def read(self) -> set[AccountId]:
        """Every account with news since the last call."""
        news: set[AccountId] = set()
        while True:
            try:
                datagram = self._socket.recv(_DATAGRAM_ACCOUNTS * ID_BYTES)
            except BlockingIOError:
                return news
            news.update(
                AccountId(datagram[start : start + ID_BYTES]) for start in range(0, len(datagram), ID_BYTES)
            )

    def close(self) -> None:
        self._socket.close()
        self._path.unlink(missing_ok=True)
        os.close(self._folder_descriptor)
