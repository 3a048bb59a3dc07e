"""Blobs: sizes, streaming, random access and refusals."""

import pytest

from mailserver.crypto import blob
from mailserver.crypto.blob import (
    CHUNK_BYTES,
    HEADER_BYTES,
    Decryptor,
    Encryptor,
    ciphertext_length,
    decrypt_blob,
    encrypt_blob,
    padme,
)
from mailserver.crypto.ctx import ctx
from mailserver.crypto.secret import Secret
from mailserver.model.errors import Corrupt, OverLimit

KEY = Secret(bytes(range(32)))
ID = b"\x11" * 16
SEALED_CHUNK = CHUNK_BYTES + 16


class Store:
    """A ciphertext that remembers which ranges were read."""

    def __init__(self, content):
        self.content = content
        self.ranges = []

    def read_at(self, start, stop):
        self.ranges.append((start, stop))
        return self.content[start:stop]

    def open(self, context=b"c"):
        return Decryptor(KEY, context, self.read_at, len(self.content))


def sealed(plain, pad_to=None):
    encryptor = Encryptor(KEY, b"c")
    return encryptor.update(plain) + encryptor.finish(pad_to)


@pytest.mark.parametrize(
    ("n", "padded"),
    [
        (0, 0),
        (1, 1),
        (2, 2),
        (7, 7),
        (9, 10),
        (16, 16),
        (17, 18),
        (100, 104),
        (1000, 1024),
        (65537, 67584),
        (10**8, 100663296),
    ],
)
def test_padme(n, padded):
    assert padme(n) == padded


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_ciphertext_length(size):
    content = sealed(bytes(size))
    assert len(content) == ciphertext_length(size)
    assert Store(content).open().plain_bytes == size


@pytest.mark.parametrize("size", [0, 1, 100, CHUNK_BYTES, 70_000])
def test_one_shot_is_padded_and_needs_the_true_length(size):
    data = b"x" * size
    content = encrypt_blob(KEY, ID, data)
    assert len(content) == ciphertext_length(padme(size))
    assert decrypt_blob(KEY, ID, content, size) == data


@pytest.mark.parametrize(
    ("key", "blob_id", "plain_bytes", "code"),
    [
        (Secret(bytes(32)), ID, 1000, "blob-commitment"),
        (KEY, b"\x22" * 16, 1000, "blob-commitment"),
        (KEY, ID, 1025, "blob-length"),
    ],
)
def test_one_shot_refuses(key, blob_id, plain_bytes, code):
    with pytest.raises(Corrupt) as caught:
        decrypt_blob(key, blob_id, encrypt_blob(KEY, ID, bytes(1000)), plain_bytes)
    assert caught.value.code == code


def test_one_shot_context_is_the_streaming_one():
    encryptor = Encryptor(KEY, ctx("blob", ID))
    assert decrypt_blob(KEY, ID, encryptor.update(b"ab") + encryptor.finish(None), 2) == b"ab"


def test_a_range_reads_only_its_chunks():
    store = Store(sealed(bytes(10 * CHUNK_BYTES + 5)))
    decryptor = store.open()
    store.ranges.clear()
    assert decryptor.read(CHUNK_BYTES, 2 * CHUNK_BYTES) == bytes(CHUNK_BYTES)
    assert decryptor.read(3 * CHUNK_BYTES - 1, 3 * CHUNK_BYTES + 1) == bytes(2)
    start = HEADER_BYTES
    assert store.ranges == [
        (start + SEALED_CHUNK, start + 2 * SEALED_CHUNK),
        (start + 2 * SEALED_CHUNK, start + 4 * SEALED_CHUNK),
    ]
    assert decryptor.read(4, 4) == b""
    assert len(store.ranges) == 2


def test_reaching_the_end_proves_the_length_once():
    store = Store(sealed(bytes(2 * CHUNK_BYTES)))
    decryptor = store.open()
    decryptor.read(0, 2 * CHUNK_BYTES)
    reads = len(store.ranges)
    decryptor.verify_length()
    assert len(store.ranges) == reads
    forged = Store(store.content[: HEADER_BYTES + SEALED_CHUNK] + bytes(16))
    cut = forged.open()
    assert cut.read(0, CHUNK_BYTES - 1) == bytes(CHUNK_BYTES - 1)
    with pytest.raises(Corrupt) as caught:
        cut.read(0, CHUNK_BYTES)
    assert caught.value.code == "blob-chunk"


@pytest.mark.parametrize(("start", "stop"), [(-1, 0), (2, 1)])
def test_a_range_is_a_slice(start, stop):
    with pytest.raises(ValueError):
        Store(sealed(b"abc")).open().read(start, stop)


def test_past_the_end():
    with pytest.raises(Corrupt) as caught:
        Store(sealed(b"abc")).open().read(0, 4)
    assert caught.value.code == "blob-range"


@pytest.mark.parametrize(
    "size", [0, 55, 56, 71, HEADER_BYTES + SEALED_CHUNK, HEADER_BYTES + SEALED_CHUNK + 15, 2**60]
)
def test_impossible_lengths(size):
    with pytest.raises(Corrupt) as caught:
        Decryptor(KEY, b"c", lambda _start, _stop: b"", size)
    assert caught.value.code == "blob-length"


def test_a_store_that_returns_less():
    content = sealed(bytes(100))
    with pytest.raises(Corrupt) as caught:
        Decryptor(KEY, b"c", lambda _start, _stop: b"", len(content))
    assert caught.value.code == "blob-short"
    decryptor = Decryptor(KEY, b"c", lambda start, stop: content[start : min(stop, 80)], len(content))
    with pytest.raises(Corrupt) as caught:
        decryptor.read(0, 1)
    assert caught.value.code == "blob-short"


def test_padding_in_pieces_and_its_refusals():
    encryptor = Encryptor(KEY, b"c")
    content = [encryptor.update(b"abc"), *encryptor.finish_pieces(200_000)]
    assert max(map(len, content)) < 66_000
    assert Store(b"".join(content)).open().read(0, 200_000) == b"abc" + bytes(199_997)
    with pytest.raises(ValueError):
        encryptor.update(b"")
    short = Encryptor(KEY, b"c")
    short.update(b"abc")
    with pytest.raises(ValueError):
        short.finish(2)


def test_sizes_of_salt_and_key():
    with pytest.raises(ValueError):
        Encryptor(KEY, b"c", b"short")
    with pytest.raises(ValueError):
        Encryptor(Secret(bytes(16)), b"c")


def test_too_many_chunks(monkeypatch):
    monkeypatch.setattr(blob, "MAX_CHUNKS", 1)
    encryptor = Encryptor(KEY, b"c")
    encryptor.update(bytes(CHUNK_BYTES))
    with pytest.raises(OverLimit) as caught:
        encryptor.finish(None)
    assert caught.value.code == "blob-size"
