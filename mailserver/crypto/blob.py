"""Sealed blobs (K12): C2SP chunked-encryption (c2sp.org/chunked-encryption@v1), AES-256-GCM with HKDF-Expand-SHA-512.

salt (24) ‖ commitment (32) ‖ chunks of 16 KiB + tag, the last one always shorter. Key, base nonce and commitment come
from the data key, the salt and the context; the nonce of chunk n is base nonce XOR n. The plain text ends with Padmé
zeros; its true length is in the sealed summary. SHA-512 is what the published AES-256-GCM vectors use.
"""

import hmac
import os
from collections.abc import Callable, Iterator
from typing import TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from mailserver.crypto.ctx import ctx
from mailserver.crypto.secret import Secret
from mailserver.model.errors import Corrupt, OverLimit

ReadAt: TypeAlias = Callable[[int, int], bytes | memoryview]
"""Bytes of the ciphertext from ``start`` up to ``stop``, as a slice; may return fewer at its end."""

CHUNK_BYTES = 16 * 1024
TAG_BYTES = 16
SALT_BYTES = 24
HEADER_BYTES = SALT_BYTES + 32
MAX_CHUNKS = 2**38
_SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES
_KEY_BYTES = 32
_INFO = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"


class _Chunks:
    """The cipher of one message: chunk n in, chunk n out."""

    __slots__ = ("_base_nonce", "_cipher", "commitment")

    def __init__(self, data_key: Secret, salt: bytes, context: bytes) -> None:
        if len(data_key.reveal()) != _KEY_BYTES:
            raise ValueError("a data key has 32 bytes")
        derived = HKDFExpand(SHA512(), 76, _INFO + salt + context).derive(data_key.reveal())
        self._cipher = AESGCM(derived[:32])
        self._base_nonce = int.from_bytes(derived[32:44], "big")
        self.commitment = derived[44:]

    def seal(self, number: int, plain: bytes | bytearray | memoryview) -> bytes:
        if number >= MAX_CHUNKS:
            raise OverLimit("blob-size")
        return self._cipher.encrypt((self._base_nonce ^ number).to_bytes(12, "big"), plain, None)

    def open(self, number: int, sealed: bytes | memoryview) -> bytes:
        try:
            return self._cipher.decrypt((self._base_nonce ^ number).to_bytes(12, "big"), sealed, None)
        except InvalidTag:
            raise Corrupt("blob-chunk") from None


class Encryptor:
    """Streams a plain text into a sealed blob, holding less than one chunk whatever the size."""

    __slots__ = ("_chunks", "_finished", "_held", "_number", "_prefix", "plain_bytes")

    def __init__(self, data_key: Secret, context: bytes, salt: bytes | None = None) -> None:
        """A random ``salt`` unless given (24 bytes; only tests and vectors give one)."""
        salt = os.urandom(SALT_BYTES) if salt is None else salt
        if len(salt) != SALT_BYTES:
            raise ValueError("a salt has 24 bytes")
        self._chunks = _Chunks(data_key, salt, context)
        self._prefix = salt + self._chunks.commitment
        self._held = bytearray()
        self._number = 0
        self._finished = False
        self.plain_bytes = 0

    def update(self, data: bytes | bytearray | memoryview) -> bytes:
        """Take more plain bytes; return the sealed bytes that are ready (the header comes first)."""
        if self._finished:
            raise ValueError("the blob is finished")
        view = memoryview(data)
        self.plain_bytes += len(view)
        out = [self._prefix]
        self._prefix = b""
        at = 0
        if self._held:
            at = min(CHUNK_BYTES - len(self._held), len(view))
            self._held += view[:at]
            if len(self._held) == CHUNK_BYTES:
                out.append(self._seal(self._held))
                self._held = bytearray()
        while len(view) - at >= CHUNK_BYTES:
            out.append(self._seal(view[at : at + CHUNK_BYTES]))
            at += CHUNK_BYTES
        if at < len(view):
            self._held += view[at:]
        return b"".join(out)

    def finish(self, pad_to: int | None) -> bytes:
        """The last sealed bytes, after zeros up to ``pad_to`` plain bytes; None adds no zero.

        Callers pass ``padme(encryptor.plain_bytes)``. ValueError when more was already written.
        """
        return b"".join(self.finish_pieces(pad_to))

    def finish_pieces(self, pad_to: int | None) -> Iterator[bytes]:
        """``finish`` in pieces of at most 64 KiB, for blobs whose padding is itself large."""
        zeros = 0 if pad_to is None else pad_to - self.plain_bytes
        if zeros < 0:
            raise ValueError("pad_to is under what was written")
        while zeros > 0:
            piece = min(zeros, 4 * CHUNK_BYTES)
            yield self.update(bytes(piece))
            zeros -= piece
        yield self.update(b"")
        self._finished = True
        yield self._seal(self._held)

    def _seal(self, plain: bytes | bytearray | memoryview) -> bytes:
        sealed = self._chunks.seal(self._number, plain)
        self._number += 1
        return sealed


class Decryptor:
    """Random access to a sealed blob: reads and opens only the chunks a range needs."""

    __slots__ = ("_chunks", "_ciphertext_bytes", "_length_verified", "_read_at", "plain_bytes")

    def __init__(self, data_key: Secret, context: bytes, read_at: ReadAt, ciphertext_bytes: int) -> None:
        """Check the length and the key commitment before any chunk; Corrupt when either is wrong."""
        self.plain_bytes = _plain_length(ciphertext_bytes)
        header = bytes(read_at(0, HEADER_BYTES))
        if len(header) != HEADER_BYTES:
            raise Corrupt("blob-short")
        self._chunks = _Chunks(data_key, header[:SALT_BYTES], context)
        if not hmac.compare_digest(self._chunks.commitment, header[SALT_BYTES:]):
            raise Corrupt("blob-commitment")
        self._read_at = read_at
        self._ciphertext_bytes = ciphertext_bytes
        self._length_verified = False

    def read(self, start: int, stop: int) -> bytes:
        """Plain bytes ``start`` to ``stop`` (as a slice), padding zeros included.

        A range that reaches the end proves the length too. Corrupt for an altered or cut blob and for a range past
        its end; ValueError for a range that is no slice.
        """
        if not 0 <= start <= stop:
            raise ValueError("a range is 0 <= start <= stop")
        if stop > self.plain_bytes:
            raise Corrupt("blob-range")
        plain = self._open(start // CHUNK_BYTES, -(-stop // CHUNK_BYTES)) if start < stop else b""
        if stop == self.plain_bytes:
            self.verify_length()
        skip = start % CHUNK_BYTES
        return plain[skip : skip + stop - start]

    def verify_length(self) -> None:
        """Open the last chunk, which only the true end has; Corrupt when the blob was cut or extended."""
        if not self._length_verified:
            last = self.plain_bytes // CHUNK_BYTES
            self._open(last, last + 1)

    def _open(self, first: int, end: int) -> bytes:
        start = HEADER_BYTES + first * _SEALED_CHUNK_BYTES
        stop = min(HEADER_BYTES + end * _SEALED_CHUNK_BYTES, self._ciphertext_bytes)
        sealed = memoryview(self._read_at(start, stop))
        if len(sealed) != stop - start:
            raise Corrupt("blob-short")
        plain = [
            self._chunks.open(first + number, sealed[at : at + _SEALED_CHUNK_BYTES])
            for number, at in enumerate(range(0, len(sealed), _SEALED_CHUNK_BYTES))
        ]
        self._length_verified |= stop == self._ciphertext_bytes
        return b"".join(plain)


def padme(n: int) -> int:
    """The padded length of ``n`` bytes: at most 12 % more, and O(log log n) bits of the size leak (PURBs, 2019)."""
    if n < 2:
        return n
    exponent = n.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return (n + mask) & ~mask


def ciphertext_length(plain: int) -> int:
    """Stored bytes for ``plain`` plain bytes (padding included)."""
    return HEADER_BYTES + plain + TAG_BYTES * (plain // CHUNK_BYTES + 1)


def _plain_length(ciphertext_bytes: int) -> int:
    full, rest = divmod(ciphertext_bytes - HEADER_BYTES, _SEALED_CHUNK_BYTES)
    if not 0 <= full < MAX_CHUNKS or rest < TAG_BYTES:
        raise Corrupt("blob-length")
    return full * CHUNK_BYTES + rest - TAG_BYTES


def encrypt_blob(data_key: Secret, blob_id: bytes, data: bytes) -> bytes:
    """One whole blob in memory, padded with Padmé, under ctx("blob", blob id)."""
    salt = os.urandom(SALT_BYTES)
    chunks = _Chunks(data_key, salt, ctx("blob", blob_id))
    plain = memoryview(data.ljust(padme(len(data)), b"\0"))
    sealed = [
        chunks.seal(number, plain[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES])
        for number in range(len(plain) // CHUNK_BYTES + 1)
    ]
    return b"".join((salt, chunks.commitment, *sealed))


def decrypt_blob(data_key: Secret, blob_id: bytes, sealed: bytes, plain_bytes: int) -> bytes:
    """The ``plain_bytes`` bytes (true length, from the sealed summary) of a whole blob; Corrupt if anything differs."""
    view = memoryview(sealed)

    def read_at(start: int, stop: int) -> memoryview:
        return view[start:stop]

    decryptor = Decryptor(data_key, ctx("blob", blob_id), read_at, len(sealed))
    if decryptor.plain_bytes != padme(plain_bytes):
        raise Corrupt("blob-length")
    plain = decryptor.read(0, plain_bytes)
    decryptor.verify_length()
    return plain
