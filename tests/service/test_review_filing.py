"""What filing costs is bounded by the archive: a file is filed once, large ones never pass through rows or memory."""

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha1

import pytest
from service.delivery_peers import ORIGIN, Bench, make_bench, open_with_password, with_archive
from unit.documents.xdm_archives import DOCUMENT, METADATA, SHA1, good_members, make_zip, sample

from mailserver.documents import archive as archive_module
from mailserver.documents.archive import MAX_TOTAL_BYTES
from mailserver.documents.coherence import XdmReading, find_archive_defect, read_documents
from mailserver.documents.reasons import SetAside, SetAsideReason
from mailserver.model.account import Flag
from mailserver.service import filing
from mailserver.service.delivery import Outcome
from mailserver.service.keys import OpenAccount
from mailserver.service.space_documents import SpaceDocuments
from mailserver.store.blob_folder import ROW_BYTES_LIMIT

PATIENT, DOCTOR = "279035121518989@a.localhost", "doc@a.localhost"
_ENTRY = re.compile(r"<(?:\w+:)?ExtrinsicObject\b.*?</(?:\w+:)?ExtrinsicObject>", re.DOTALL)
_LINK = re.compile(r"<(?:\w+:)?Association\b.*?</(?:\w+:)?Association>", re.DOTALL)


@pytest.fixture
def bench(tmp_path) -> Iterator[Bench]:
    bench = make_bench(tmp_path)
    bench.node.add_patient(PATIENT)
    bench.node.add(DOCTOR, password="un mot de passe long")
    yield bench
    bench.node.close()


def _archive(files: dict[str, bytes], entries: list[str]) -> bytes:
    """The good archive with these PDF files, and one entry for each name in ``entries``."""
    members = {name: data for name, data in good_members().items() if name != DOCUMENT}
    text = members[METADATA].decode()
    entry, link = _ENTRY.search(text).group(), _LINK.search(text).group()
    entry_id = re.search(r'\bid="([^"]+)"', entry).group(1)
    written, links = [], []
    for rank, name in enumerate(entries):
        data = files[name]
        one = entry.replace(SHA1, sha1(data).hexdigest()).replace("DOC0001.XML", name)
        one = re.sub(r"<((?:\w+:)?Value)>4430<", rf"<\1>{len(data)}<", one)
        one = re.sub(r'mimeType="[^"]+"', 'mimeType="application/pdf"', one)
        written.append(one.replace(entry_id, f"Entry{rank}"))
        links.append(link.replace(entry_id, f"Entry{rank}").replace('id="', f'id="l{rank}', 1))
    members[METADATA] = text.replace(entry, "".join(written)).replace(link, "".join(links)).encode()
    folder = METADATA.rpartition("/")[0]
    return make_zip(members | {f"{folder}/{name}": data for name, data in files.items()})


def _pdf(size: int, seed: int = 0) -> bytes:
    return (b"%%PDF-1.4 %d " % seed).ljust(size, b"x")


def _noise(size: int) -> bytes:
    return b"%PDF" + b"".join(sha1(n.to_bytes(8, "big")).digest() for n in range(size // 20))


def _opened(bench: Bench, patient: OpenAccount) -> set[bytes]:
    """Every document, by the path that shows it."""
    space, now = SpaceDocuments(bench.store), datetime.now(UTC)
    ids = [row.document_id for row in bench.documents(patient)]
    return {space.open_document(patient, document_id, ORIGIN, now).whole() for document_id in ids}


@pytest.mark.parametrize("count", [2, 300])
def test_one_file_under_many_names_is_set_aside(bench: Bench, count: int) -> None:
    octets = _archive({"A.PDF": _noise(20_000)}, ["A.PDF"] * count)
    reading = read_documents(octets)
    assert isinstance(reading, SetAside)
    assert (reading.reason, reading.detail) == (SetAsideReason.SAME_FILE_TWICE, "document 2")
    patient = open_with_password(bench, PATIENT)
    assert bench.deliver([PATIENT], with_archive("bomb", octets)) == [Outcome.PLACED]
    assert (bench.documents(patient), bench.rows(patient)[-1].flags) == ([], Flag.SET_ASIDE)
    assert bench.count("blob") == 1


def test_documents_are_never_more_than_the_archive() -> None:
    octets = _archive({f"{n}.PDF": _pdf(5000, n) for n in range(20)}, [f"{n}.PDF" for n in range(20)])
    reading = read_documents(octets)
    assert isinstance(reading, XdmReading)
    assert sum(len(each.data) for each in reading.documents) == 100_000 <= MAX_TOTAL_BYTES


def test_large_documents_are_files_and_small_ones_rows(bench: Bench) -> None:
    files = {
        "SMALL.PDF": _pdf(1000),
        "EDGE.PDF": _noise(ROW_BYTES_LIMIT - 4096),
        "LARGE.PDF": _noise(300_000),
    }
    patient = open_with_password(bench, PATIENT)
    bench.deliver([PATIENT], with_archive("sizes", _archive(files, list(files))))
    stored = {row.padded_bytes: row.blob_id for row in bench.documents(patient)}
    assert len(stored) == 3
    on_disk = set(bench.store.blobs.list_blobs())
    assert {blob_id in on_disk for size, blob_id in stored.items() if size <= ROW_BYTES_LIMIT} == {False}
    assert {blob_id in on_disk for size, blob_id in stored.items() if size > ROW_BYTES_LIMIT} == {True}
    assert _opened(bench, patient) == set(files.values())


def test_rows_of_one_message_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filing, "ROWS_BYTES", 25_000)
    files = {f"{n}.PDF": _pdf(10_000, n) for n in range(5)}
    patient = open_with_password(bench, PATIENT)
    bench.deliver([PATIENT], with_archive("many", _archive(files, list(files))))
    on_disk = set(bench.store.blobs.list_blobs())
    assert sorted(row.blob_id in on_disk for row in bench.documents(patient)) == [False] * 2 + [True] * 3
    assert _opened(bench, patient) == set(files.values())


def test_the_turn_lasts_until_the_documents_are_sealed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    turns, free = bench.services.delivery.archives._turns, []
    whole = filing.DocumentSealer.seal_documents

    def watched(sealer, file):
        free.append(turns._value)
        return whole(sealer, file)

    monkeypatch.setattr(filing.DocumentSealer, "seal_documents", watched)
    assert isinstance(turns, threading.BoundedSemaphore)
    bench.deliver([PATIENT], with_archive("turn", sample("ok-two-documents")))
    assert (free, turns._value) == ([filing.READINGS_AT_ONCE - 1], filing.READINGS_AT_ONCE)


def test_nothing_is_inflated_for_a_professional(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_given: object) -> bytes:
        raise AssertionError("inflated")

    monkeypatch.setattr(archive_module, "inflate", fail)
    doctor = open_with_password(bench, DOCTOR)
    bench.deliver([DOCTOR], with_archive("good", sample("ok-two-documents")))
    bench.deliver([DOCTOR], with_archive("bad", sample("ko-no-metadata")))
    assert [row.flags for row in bench.rows(doctor)] == [0, Flag.SET_ASIDE]


@pytest.mark.parametrize(
    "name", ["ko-no-metadata", "ko-no-ihe-xdm-folder", "hostile-duplicate-metadata-entry"]
)
def test_the_index_alone_tells_the_same_reason(name: str) -> None:
    whole, index = read_documents(sample(name)), find_archive_defect(sample(name))
    assert isinstance(whole, SetAside)
    assert isinstance(index, SetAside)
    assert whole.reason is index.reason
