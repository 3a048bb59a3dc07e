"""Sealed octets too large for a row, as files: written once, durable before the commit that names them (R1).

A spool is an unnamed file (O_TMPFILE): what is never accepted never has a name and vanishes with its descriptor.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mailserver.model.errors import Corrupt, Unavailable
from mailserver.model.ids import ID_BYTES, BlobId

ROW_BYTES_LIMIT = 65536
"""Messages up to this size live in a row, larger ones in a file."""
ORPHAN_SECONDS = 3600


OnFailure = Callable[[Unavailable], None]


class Spool:
    """An unnamed file that receives sealed bytes and may be kept under a blob id."""

    def __init__(self, folder: Path, on_failure: OnFailure | None = None) -> None:
        self._on_failure = on_failure
        with disk_errors():
            self._descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._folder = folder
        self._hash = hashlib.sha256()
        self.stored_bytes = 0

    def write(self, data: bytes) -> None:
        """Append sealed bytes; Unavailable when the disk refuses."""
        with disk_errors():
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
        self._hash.update(data)
        self.stored_bytes += len(data)

    def read_at(self, start: int, stop: int) -> bytes:
        return os.pread(self._descriptor, stop - start, start)

    @property
    def digest(self) -> bytes:
        return self._hash.digest()

    def keep(self, blob_id: BlobId) -> None:
        """Make the file durable under its name: file synced, then linked, then the folder synced.

        ``on_failure`` is told of a failed sync: it is never tried again (R5).
        """
        path = blob_path(self._folder, blob_id)
        try:
            with disk_errors():
                os.fsync(self._descriptor)
                path.parent.mkdir(mode=0o700, exist_ok=True)
                # any src_dir_fd makes Python call linkat, which alone follows the link
                source = f"/proc/self/fd/{self._descriptor}"
                os.link(source, path, src_dir_fd=self._descriptor, follow_symlinks=True)
                _sync_folder(path.parent)
                _sync_folder(self._folder)
        except Unavailable as error:
            if error.code == "disk-io" and self._on_failure:
                self._on_failure(error)
            raise

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class BlobFolder:
    """The folder of blob files: ``blobs/ab/abcd…``."""

    def __init__(self, folder: Path, on_failure: OnFailure | None = None) -> None:
        self._folder = folder
        self._on_failure = on_failure
        for each in (folder.parent, folder):  # ``parents=True`` would give the data folder the umask's mode
            each.mkdir(mode=0o700, parents=True, exist_ok=True)

    def spool(self) -> Spool:
        return Spool(self._folder, self._on_failure)

    def reader(self, blob_id: BlobId) -> Callable[[int, int], bytes]:
        """``read_at(start, stop)`` over one blob; each call opens the file, so nothing stays open between pages."""
        path = blob_path(self._folder, blob_id)

        def read_at(start: int, stop: int) -> bytes:
            try:
                with path.open("rb", buffering=0) as file:
                    return os.pread(file.fileno(), stop - start, start)
            except FileNotFoundError as error:
                raise Corrupt("blob-missing") from error

        return read_at

    def stored_bytes(self, blob_id: BlobId) -> int:
        """Size on disk, or Corrupt("blob-missing")."""
        try:
            return blob_path(self._folder, blob_id).stat().st_size
        except FileNotFoundError as error:
            raise Corrupt("blob-missing") from error

    def delete(self, blob_id: BlobId) -> None:
        """Delete a file whose last holder left. A young one is left to ``sweep``: while a message is being
        delivered to several accounts, the first may be done with it before the last has it.
        """
        path = blob_path(self._folder, blob_id)
        if _is_old(path, time.time() - ORPHAN_SECONDS):
            path.unlink(missing_ok=True)

    def discard(self, blob_id: BlobId) -> None:
        """Delete at once a file that no commit named, and none will: what it was kept for was refused."""
        blob_path(self._folder, blob_id).unlink(missing_ok=True)

    def list_blobs(self) -> Iterator[BlobId]:
        for path in self._folder.glob("??/" + "[0-9a-f]" * 2 * ID_BYTES):
            yield BlobId(bytes.fromhex(path.name))

    def sweep(self, has_holder: Callable[[BlobId], bool]) -> int:
        """Delete files that no row names, older than an hour (R3). Returns how many."""
        count = 0
        before = time.time() - ORPHAN_SECONDS
        for blob_id in list(self.list_blobs()):
            path = blob_path(self._folder, blob_id)
            if _is_old(path, before) and not has_holder(blob_id):
                path.unlink(missing_ok=True)
                count += 1
        return count


def blob_path(folder: Path, blob_id: BlobId) -> Path:
    name = blob_id.hex()
    return folder / name[:2] / name


def _is_old(path: Path, before: float) -> bool:
    try:
        return path.stat().st_mtime < before
    except FileNotFoundError:  # another process swept it
        return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class disk_errors:  # noqa: N801 # a context manager reads as a verb phrase
    """OSError → Unavailable: a full disk (R4), a failed write or sync (R5)."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            import errno

            code = "disk-full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "disk-io"
            raise Unavailable(code) from error
