"""A message and a document exchanged on disk, in rows and in files: neither opens, by the paths that people read by."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from service.delivery_peers import ORIGIN, Bench, make_bench, message, open_with_password, with_archive
from sqlalchemy import select, update
from unit.documents.xdm_archives import cda_around, with_document

from mailserver.model.errors import Corrupt
from mailserver.model.ids import BlobId, DocumentId
from mailserver.service.keys import OpenAccount
from mailserver.service.space_documents import SpaceDocuments
from mailserver.store import schema
from mailserver.store.blob_folder import blob_path

PATIENT = "279035121518989@a.localhost"
CONTENT = ("octets", "digest", "stored_bytes")


@dataclass
class Stock:
    """One patient with a message and a document of each size."""

    bench: Bench
    patient: OpenAccount

    def find_message(self, *, is_large: bool) -> tuple[int, BlobId]:
        """UID and blob of the message whose octets lie in a file, or of one whose octets lie in a row."""
        rows = [row for row in self.bench.rows(self.patient) if self._is_file(row.blob_id) is is_large]
        return rows[0].uid, rows[0].blob_id

    def find_document(self, *, is_large: bool) -> tuple[DocumentId, BlobId]:
        rows = [row for row in self.bench.documents(self.patient) if self._is_file(row.blob_id) is is_large]
        return rows[0].document_id, rows[0].blob_id

    def _is_file(self, blob_id: BlobId) -> bool:
        return blob_id in self.bench.store.blobs.list_blobs()

    def read_message(self, uid: int) -> bytes:
        box = self.bench.box(self.patient)
        (item,) = self.bench.services.messages.page(self.patient, box.mailbox_id, [(uid, uid)])
        return self.bench.read(self.patient, item)

    def read_document(self, document_id: DocumentId) -> bytes:
        documents = SpaceDocuments(self.bench.store)
        return documents.open_document(self.patient, document_id, ORIGIN, datetime.now(UTC)).whole()


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    bench = make_bench(tmp_path_factory.mktemp("kinds"))
    bench.node.add_patient(PATIENT)
    large = b"%PDF-" + random.Random(1).randbytes(150_000)
    bench.deliver([PATIENT], message("small"))
    for name, data in (("small document", b"%PDF- court"), ("large document", large)):
        bench.deliver([PATIENT], with_archive(name, with_document(cda_around("application/pdf", data))))
    patient = open_with_password(bench, PATIENT)
    bench.page(patient)
    bench.settle(patient)  # all are adopted: no writing of the server's own comes between
    yield Stock(bench, patient)
    bench.node.close()


def _refused(stock: Stock, uid: int, document_id: DocumentId) -> None:
    with pytest.raises(Corrupt):
        stock.read_message(uid)
    with pytest.raises(Corrupt):
        stock.read_document(document_id)


def test_in_rows(stock: Stock) -> None:
    (uid, of_message), (document_id, of_document) = (
        stock.find_message(is_large=False),
        stock.find_document(is_large=False),
    )
    before = stock.read_message(uid), stock.read_document(document_id)
    table = schema.blob
    with stock.bench.store.database.read() as connection:
        rows = {row["blob_id"]: row for row in connection.execute(select(table)).mappings()}

    def exchange(first: BlobId, second: BlobId) -> None:
        with stock.bench.store.database.write() as connection:
            for here, source in ((of_message, first), (of_document, second)):
                values = {name: rows[source][name] for name in CONTENT}
                connection.execute(update(table).where(table.c.blob_id == here).values(values))

    exchange(of_document, of_message)
    _refused(stock, uid, document_id)
    exchange(of_message, of_document)
    assert (stock.read_message(uid), stock.read_document(document_id)) == before


def test_in_files(stock: Stock) -> None:
    (uid, of_message), (document_id, of_document) = (
        stock.find_message(is_large=True),
        stock.find_document(is_large=True),
    )
    before = stock.read_message(uid), stock.read_document(document_id)
    folder = stock.bench.node.folder / "data" / "blobs"
    paths = [blob_path(folder, blob_id) for blob_id in (of_message, of_document)]
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, contents[::-1], strict=True):
        path.write_bytes(content)
    _refused(stock, uid, document_id)
    # each cut or filled to the length that its row states, too
    for path, content, length in zip(paths, contents[::-1], map(len, contents), strict=True):
        path.write_bytes(content[:length].ljust(length, b"\0"))
    _refused(stock, uid, document_id)
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    assert (stock.read_message(uid), stock.read_document(document_id)) == before


def test_a_document_that_names_a_messages_blob_and_the_other_way_round(stock: Stock) -> None:
    for is_large in (False, True):
        uid, of_message = stock.find_message(is_large=is_large)
        document_id, of_document = stock.find_document(is_large=is_large)
        item, document = schema.item, schema.document
        for first, second in ((of_document, of_message), (of_message, of_document)):
            with stock.bench.store.database.write() as connection:
                connection.execute(update(item).where(item.c.uid == uid).values(blob_id=first))
                place = document.c.document_id == document_id
                connection.execute(update(document).where(place).values(blob_id=second))
            if first == of_document:
                _refused(stock, uid, document_id)
        assert stock.read_message(uid)
        assert stock.read_document(document_id)
