"""A message on its way in: taken in pieces, sealed as it comes, never plain on disk.

Up to 64 KiB stays in memory and is sealed once per recipient; anything larger goes, already encrypted under a
fresh data key, to an unnamed file that gets a name only when the message is accepted.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256

from mailserver.crypto.blob import Decryptor, Encryptor, padme
from mailserver.crypto.ctx import ctx
from mailserver.crypto.secret import Secret, random_id, random_secret
from mailserver.model.errors import OverLimit
from mailserver.model.ids import BlobId
from mailserver.store.blob_folder import ROW_BYTES_LIMIT, BlobFolder, Spool
from mailserver.store.items import BlobRow

READ_BYTES = 65536


@dataclass(frozen=True, slots=True)
class SharedBlob:
    """A large message: one file and one data key for all recipients."""

    data_key: Secret
    row: BlobRow
    padded_bytes: int


class Intake:
    """Collects one message. ``close`` must be called whatever happens: an unkept spool then vanishes."""

    def __init__(self, blobs: BlobFolder, limit_bytes: int, digest: bytes | None = None) -> None:
        """``digest``: of the message as it was handed in, where this is another form of it."""
        self._blobs = blobs
        self._limit_bytes = limit_bytes
        self._small: bytearray | None = bytearray()
        self._spool: Spool | None = None
        self._encryptor: Encryptor | None = None
        self._read: Callable[[int, int], bytes] | None = None
        self._blob_id = BlobId(random_id())
        self._data_key = random_secret()
        self.size_bytes = 0
        self.trace_bytes = 0
        self.is_hurried = False
        """Others wait behind who judges it: see ``receive.NeedsTime``."""
        self._hash = sha256()
        self._digest = digest

    def write_trace(self, trace: bytes) -> None:
        """The trace lines, before any octet of the message: stored with it, not part of its digest."""
        self._take(trace)
        self.trace_bytes = self.size_bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the octets as received: what a retry has too (R2)."""
        return self._digest or self._hash.digest()

    def write(self, data: bytes) -> None:
        """Take the next octets. Raises OverLimit("message-too-large"), Unavailable on a failing disk."""
        self._hash.update(data)
        self._take(data)

    def _take(self, data: bytes) -> None:
        self.size_bytes += len(data)
        if self.size_bytes > self._limit_bytes:
            raise OverLimit("message-too-large")
        if self._small is not None:
            self._small += data
            if len(self._small) > ROW_BYTES_LIMIT:
                self._spill()
            return
        assert self._encryptor is not None
        assert self._spool is not None
        self._spool.write(self._encryptor.update(data))

    def _spill(self) -> None:
        assert self._small is not None
        self._spool = self._blobs.spool()
        self._encryptor = Encryptor(self._data_key, ctx("blob", self._blob_id))
        self._spool.write(self._encryptor.update(bytes(self._small)))
        self._small = None

    def finish(self) -> None:
        """No more octets: a large message gets its padding and its last chunk."""
        if self._encryptor is not None and self._spool is not None:
            self._spool.write(self._encryptor.finish(self.padded_bytes))
            decryptor = Decryptor(
                self._data_key, ctx("blob", self._blob_id), self._spool.read_at, self._spool.stored_bytes
            )
            self._read = decryptor.read

    @property
    def padded_bytes(self) -> int:
        """What the octets so far will count for, padding included."""
        return padme(self.size_bytes)

    @property
    def small(self) -> bytes | None:
        """The whole message when it is small enough for a row."""
        return None if self._small is None else bytes(self._small)

    def read(self, start: int, stop: int) -> bytes:
        """Octets of the finished message."""
        stop = min(stop, self.size_bytes)
        if self._small is not None:
            return bytes(self._small[start:stop])
        assert self._read is not None
        return self._read(start, stop)

    def chunks(self) -> Iterator[bytes]:
        """The finished message in order, in bounded pieces."""
        for start in range(0, self.size_bytes, READ_BYTES):
            yield self.read(start, start + READ_BYTES)

    def keep(self) -> SharedBlob:
        """Make a large message durable under its blob id (R1). Call once, before the commit that names it."""
        assert self._spool is not None
        self._spool.keep(self._blob_id)
        row = BlobRow(self._blob_id, self._spool.stored_bytes, self._spool.digest, None)
        return SharedBlob(self._data_key, row, self.padded_bytes)

    def close(self) -> None:
        if self._spool is not None:
            self._spool.close()
        self._small = None
