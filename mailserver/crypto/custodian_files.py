"""The custodian's folder: mode 0700, files 0600, each created whole and synced, one process at a time.

The lock is a flock on an open file: a process forked (without exec) by the custodian's process would share it, so
workers are started by exec or close what they inherited.
"""

import contextlib
import fcntl
import hashlib
import hmac
import os
from pathlib import Path

from mailserver.crypto.secret import Secret
from mailserver.model.errors import Conflict, Corrupt, Denied, NotFound, Unavailable

SEEDS = 6
LOCK_NAME = "lock"
_MAGIC = b"pli/1/custodian-keys\0"
_NEW_SUFFIX = ".new"


class KeyFolder:
    """An open, locked keys folder. Every path is relative to its descriptor: the folder cannot be swapped."""

    __slots__ = ("_folder", "_lock")

    def __init__(self, path: Path) -> None:
        """NotFound("keys") without a folder, Denied("keys-mode") when others may enter it, Conflict("custodian-busy")
        when another custodian has it open.
        """
        try:
            self._folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise NotFound("keys") from None
        try:
            _demand_private(self._folder)
            self._lock = self._take_lock()
        except BaseException:
            os.close(self._folder)
            raise
        self._remove_unfinished()

    @classmethod
    def create(cls, path: Path) -> "KeyFolder":
        """Make the folder when it is missing, then open it."""
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700, parents=True)
            path.chmod(0o700)
            _sync_folder(path.parent)
        return cls(path)

    def close(self) -> None:
        """Give the folder back."""
        os.close(self._lock)
        os.close(self._folder)

    def find_file(self, name: str) -> bytes | None:
        """The bytes of a file, or None. Denied("keys-mode") when others may read it."""
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self._folder)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            _demand_private(descriptor)
            return file.read()

    def add_file(self, name: str, content: bytes) -> None:
        """Create a file whole and durable, or not at all. The folder's lock makes the check safe.

        Conflict("keys-exist") when it is there, Unavailable("keys-disk") when the disk refuses.
        """
        if name in self._names():
            raise Conflict("keys-exist")
        new = name + _NEW_SUFFIX
        try:
            self._write(new, os.O_CREAT | os.O_TRUNC, content)
            os.rename(new, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            os.fsync(self._folder)
        except OSError:  # a key that may vanish must seal nothing
            for left in (new, name):
                with contextlib.suppress(OSError):
                    os.unlink(left, dir_fd=self._folder)
            raise Unavailable("keys-disk") from None

    def remove_file(self, name: str) -> None:
        """Overwrite, then unlink, durably: shredding as far as the file system allows. Nothing happens if missing.

        Unavailable("keys-disk") when the disk refuses.
        """
        try:
            size = os.stat(name, dir_fd=self._folder, follow_symlinks=False).st_size
            self._write(name, 0, bytes(size))
            os.unlink(name, dir_fd=self._folder)
            os.fsync(self._folder)
        except FileNotFoundError:
            return
        except OSError:
            raise Unavailable("keys-disk") from None

    def _write(self, name: str, flags: int, content: bytes) -> None:
        descriptor = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | flags, 0o600, dir_fd=self._folder)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)

    def path(self, name: str) -> Path:
        """The path of a file for who cannot take a descriptor; it leads through the open folder."""
        return Path(f"/proc/self/fd/{self._folder}") / name

    def list_files(self, prefix: str) -> list[str]:
        """Names of the files that start with ``prefix``, sorted."""
        return sorted(name for name in self._names() if name.startswith(prefix))

    def open_append(self, name: str) -> int:
        """A descriptor that reads anywhere and appends; the file is made when missing."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        descriptor = os.open(name, flags, 0o600, dir_fd=self._folder)
        os.fsync(self._folder)
        return descriptor

    def _names(self) -> list[str]:
        return os.listdir(self._folder)  # noqa: PTH208  pathlib cannot list a descriptor

    def _take_lock(self) -> int:
        descriptor = os.open(LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=self._folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise Conflict("custodian-busy") from None
        return descriptor

    def _remove_unfinished(self) -> None:
        """A crash while creating leaves a file that nothing names yet."""
        for name in self._names():
            if name.endswith(_NEW_SUFFIX):
                self.remove_file(name)


def _demand_private(descriptor: int) -> None:
    if os.fstat(descriptor).st_mode & 0o077:
        raise Denied("keys-mode", "the keys folder must have mode 0700 and its files 0600")


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def format_seeds(seeds: list[Secret]) -> bytes:
    """Magic ‖ seeds of 32 bytes ‖ SHA-256 of both, which finds damage, not malice."""
    content = _MAGIC + b"".join(seed.reveal() for seed in seeds)
    return content + hashlib.sha256(content).digest()


def parse_seeds(raw: bytes) -> list[Secret]:
    """Inverse of ``format_seeds``. Raises Corrupt("custodian-keys")."""
    content, digest = raw[:-32], raw[-32:]
    size_ok = len(content) == len(_MAGIC) + 32 * SEEDS and content.startswith(_MAGIC)
    if not size_ok or not hmac.compare_digest(hashlib.sha256(content).digest(), digest):
        raise Corrupt("custodian-keys")
    return [Secret(content[at : at + 32]) for at in range(len(_MAGIC), len(content), 32)]
