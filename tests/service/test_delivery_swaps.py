"""Whoever writes the database and the disk exchanges any two stored objects: nothing opens, and above all nothing
opens as something else (security.md K14, K23).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from harness.log_reading import read_log
from service.delivery_peers import Bench, make_bench, message, open_with_password, summary_of, with_archive
from sqlalchemy import Table, select, update
from unit.documents.xdm_archives import sample

from mailserver.model.account import Role
from mailserver.model.errors import Corrupt, PliError
from mailserver.service.conversations import list_received
from mailserver.store import schema
from mailserver.store.blob_folder import blob_path

PATIENT = "279035121518989@a.localhost"
S = schema


@dataclass
class Stock:
    """Two accounts with two mailboxes each, a patient with two documents; small and large, adopted or not."""

    bench: Bench
    accounts: list
    patient: object
    expected: dict[tuple[bytes, bytes, int], bytes]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    bench = make_bench(tmp_path_factory.mktemp("swaps"))
    accounts = []
    for local in ("one", "two"):
        address = f"{local}@a.localhost"
        made = bench.node.add(address)
        account = bench.node.open(address, made.app_password)
        accounts.append(account)
        large = b"une ligne\r\n" * 8000
        for number, body in enumerate([b"un", b"deux", large, large[::-1]]):
            bench.deliver([address], message(f"{local} {number}", body=body))
        bench.page(account)
        bench.settle(account)
        bench.services.mailboxes.add_mailbox(account, "Secret un", 1)
        bench.services.mailboxes.add_mailbox(account, "Secret deux", 1)
        # two more while the owner is away
        for number in (5, 6):
            bench.deliver([address], message(f"{local} {number}"))
    bench.node.add_patient(PATIENT)
    bench.deliver([PATIENT], with_archive("xdm", sample("ok-two-documents")))
    bench.deliver([PATIENT], message("answer me"), now=datetime.now(UTC) + timedelta(seconds=5))
    patient = open_with_password(bench, PATIENT)
    stock = Stock(bench, accounts, patient, {})
    for account in [*accounts, patient]:
        stock.expected |= _contents(stock, account)
    # reading has adopted everything: two deliveries more, so that both kinds of seal are there
    for local, account in zip(("one", "two"), accounts, strict=True):
        bench.settle(account)
        for number in (7, 8):
            bench.deliver([f"{local}@a.localhost"], message(f"{local} {number}"))
    yield stock
    bench.node.close()


def _contents(stock: Stock, account) -> dict[tuple[bytes, bytes, int], bytes]:
    box = stock.bench.box(account)
    return {
        (account.account_id, box.mailbox_id, item.row.uid): summary_of(item).subject.encode()
        + stock.bench.read(account, item)
        for item in stock.bench.page(account)
    }


Rows = list[dict]


def _rows(stock: Stock, table: Table) -> Rows:
    with stock.bench.store.database.read() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


class Swapped:
    """Two rows with the named columns exchanged, put back on the way out."""

    def __init__(self, stock: Stock, table: Table, pair: tuple[dict, dict], columns: tuple[str, ...]) -> None:
        self._stock, self._table, self._pair, self._columns = stock, table, pair, columns

    def _write(self, sources: tuple[dict, dict]) -> None:
        with self._stock.bench.store.database.write() as connection:
            for row, source in zip(self._pair, sources, strict=True):
                here = [self._table.c[key.name] == row[key.name] for key in self._table.primary_key]
                values = {name: source[name] for name in self._columns}
                connection.execute(update(self._table).where(*here).values(values))

    def __enter__(self) -> None:
        self._write(self._pair[::-1])

    def __exit__(self, *_error: object) -> None:
        self._write(self._pair)


def _read_rows_directly(stock: Stock, account, uid: int) -> bytes:
    """The path of IMAP and the web for one message, without its adoption."""
    box = stock.bench.box(account)
    (item,) = stock.bench.services.messages.page(account, box.mailbox_id, [(uid, uid)])
    return summary_of(item).subject.encode() + stock.bench.read(account, item)


def _never_anothers(stock: Stock, account, uid: int) -> str:
    """Reads one message: "refused", or "right" when what comes is its own."""
    try:
        found = _read_rows_directly(stock, account, uid)
    except Corrupt:
        return "refused"
    place = (account.account_id, stock.bench.box(account).mailbox_id, uid)
    known = stock.expected.get(place)
    assert known is None or found == known
    local = "one" if account is stock.accounts[0] else "two"
    assert found.startswith(f"Lettre {local} ".encode())
    return "right"


def _pairs(stock: Stock, table: Table, *, where: Callable[[dict], bool] = lambda _row: True):
    """Every pair of rows of the two accounts' inboxes, by (row, row)."""
    rows = [row for row in _rows(stock, table) if where(row)]
    return [(left, right) for left, right in product(rows, rows) if id(left) < id(right)]


def _account_of(stock: Stock, row: dict):
    return next((each for each in stock.accounts if each.account_id == row["account_id"]), None)


SEAL_COLUMNS = [
    ("wrap",),
    ("summary",),
    ("place_tag",),
    ("wrap", "summary"),
    ("wrap", "place_tag", "summary"),
    ("wrap", "place_tag", "summary", "row_mac"),
]


@pytest.mark.parametrize("columns", SEAL_COLUMNS, ids="+".join)
def test_seals(stock: Stock, columns: tuple[str, ...]) -> None:
    """Between items, mailboxes and accounts; adopted with adopted, unadopted with unadopted, one with the other."""
    inboxes = {account.account_id for account in stock.accounts}
    pairs = _pairs(stock, S.seal, where=lambda row: row["account_id"] in inboxes)
    near = [(left, right) for left, right in pairs if _is_near(left, right)]
    assert len(near) >= 60
    for left, right in near:
        with Swapped(stock, S.seal, (left, right), columns):
            verdicts = {_sealed_verdict(stock, row) for row in (left, right)}
        # an adopted item is bound by its wrap and summary; its place tag is a second witness, not a key
        allowed = {"refused"} if columns != ("place_tag",) else {"refused", "right"}
        assert verdicts <= allowed, (columns, left["uid"], right["uid"])


def _is_near(left: dict, right: dict) -> bool:
    """In one mailbox, or at the same UID of two accounts: the exchanges that a weak context would let pass."""
    return left["account_id"] == right["account_id"] or left["uid"] == right["uid"]


def _sealed_verdict(stock: Stock, row: dict) -> str:
    """Opens summary and key without adopting, so that the row can be put back."""
    from mailserver.service.sealing import Place
    from mailserver.store import items

    account = _account_of(stock, row)
    with stock.bench.store.database.read() as connection:
        (item,) = items.list_items(
            connection, account.account_id, row["mailbox_id"], [(row["uid"], row["uid"])]
        )
    place = Place(account.account_id, row["mailbox_id"], item.uid, item.item_id)
    keys, macs = account.mail_keys(), stock.bench.store.macs
    verdicts = set()
    for call in (keys.open_key, keys.open_summary):
        try:
            call(macs, place, item)
            verdicts.add("right")
        except Corrupt:
            verdicts.add("refused")
    return "refused" if "refused" in verdicts else "right"


@pytest.mark.parametrize(
    "columns", [("item_id",), ("blob_id",), ("item_id", "blob_id"), ("is_adopted",)], ids="+".join
)
def test_items(stock: Stock, columns: tuple[str, ...]) -> None:
    inboxes = {account.account_id for account in stock.accounts}
    rows = [row for row in _rows(stock, S.item) if row["account_id"] in inboxes]
    for left, right in product(rows, rows):
        if (
            _is_near(left, right)
            and left["is_adopted"]
            and right["is_adopted"] is (columns != ("is_adopted",))
            and left != right
        ):
            with Swapped(stock, S.item, (left, right), columns):
                assert _never_anothers(stock, _account_of(stock, left), left["uid"]) == "refused"


@pytest.mark.parametrize("columns", [("octets",), ("octets", "stored_bytes", "digest")], ids="+".join)
def test_octets_in_rows(stock: Stock, columns: tuple[str, ...]) -> None:
    inboxes = {account.account_id for account in stock.accounts}
    uid_of = {row["blob_id"]: row for row in _rows(stock, S.item) if row["is_adopted"]}
    pairs = _pairs(
        stock,
        S.blob,
        where=lambda row: (
            row["account_id"] in inboxes and row["octets"] is not None and row["blob_id"] in uid_of
        ),
    )
    assert pairs
    for left, right in pairs:
        with Swapped(stock, S.blob, (left, right), columns):
            for row in (left, right):
                item = uid_of[row["blob_id"]]
                assert _never_anothers(stock, _account_of(stock, item), item["uid"]) == "refused"


def test_blob_files(stock: Stock) -> None:
    folder = stock.bench.node.folder / "data" / "blobs"
    uid_of = {row["blob_id"]: row for row in _rows(stock, S.item)}
    paths = {blob_id: blob_path(folder, blob_id) for blob_id in stock.bench.store.blobs.list_blobs()}
    assert len(paths) == 4
    for left, right in product(paths, paths):
        if left < right:
            contents = [paths[each].read_bytes() for each in (left, right)]
            for each, data in zip((left, right), contents[::-1], strict=True):
                paths[each].write_bytes(data)
            for each in (left, right):
                assert (
                    _never_anothers(stock, _account_of(stock, uid_of[each]), uid_of[each]["uid"]) == "refused"
                )
            for each, data in zip((left, right), contents, strict=True):
                paths[each].write_bytes(data)


def test_a_row_in_place_of_a_file_and_a_cut_file(stock: Stock) -> None:
    folder = stock.bench.node.folder / "data" / "blobs"
    blob_id = next(iter(stock.bench.store.blobs.list_blobs()))
    item = next(row for row in _rows(stock, S.item) if row["blob_id"] == blob_id)
    path = blob_path(folder, blob_id)
    whole = path.read_bytes()
    for damaged in (
        whole[:-1],
        whole[:16],
        b"",
        whole[:40_000] + bytes([whole[40_000] ^ 1]) + whole[40_001:],
    ):
        path.write_bytes(damaged)
        assert _never_anothers(stock, _account_of(stock, item), item["uid"]) == "refused"
    path.unlink()
    assert _never_anothers(stock, _account_of(stock, item), item["uid"]) == "refused"
    path.write_bytes(whole)
    assert _never_anothers(stock, _account_of(stock, item), item["uid"]) == "right"


def test_mailbox_records(stock: Stock) -> None:
    """A mailbox never takes another's name, keywords or subscription."""
    rows = [row for row in _rows(stock, S.mailbox) if row["record"] is not None]
    assert len(rows) == 4
    for left, right in product(rows, rows):
        if left["mailbox_id"] < right["mailbox_id"]:
            with Swapped(stock, S.mailbox, (left, right), ("record",)):
                for account in {
                    id(_account_of(stock, row)): _account_of(stock, row) for row in (left, right)
                }.values():
                    with pytest.raises(Corrupt):
                        stock.bench.services.mailboxes.list_mailboxes(account)


DOCUMENT_COLUMNS = [("wrap",), ("record",), ("blob_id",), ("wrap", "record"), ("wrap", "record", "blob_id")]


@pytest.mark.parametrize("columns", DOCUMENT_COLUMNS, ids="+".join)
@pytest.mark.parametrize("with_mac", [False, True])
def test_documents(stock: Stock, columns: tuple[str, ...], with_mac: bool) -> None:
    left, right = _rows(stock, S.document)
    with Swapped(stock, S.document, (left, right), (*columns, "row_mac") if with_mac else columns):
        with pytest.raises(Corrupt) as refused:
            stock.bench.documents(stock.patient)
        assert refused.value.code == "row-mac"


def test_document_octets(stock: Stock) -> None:
    documents = {row.blob_id for row in stock.bench.documents(stock.patient)}
    left, right = (row for row in _rows(stock, S.blob) if row["blob_id"] in documents)
    with Swapped(stock, S.blob, (left, right), ("octets", "digest", "stored_bytes")):
        for row in stock.bench.documents(stock.patient):
            with pytest.raises(Corrupt):
                stock.bench.open_document(stock.patient, row)
    assert (
        len({stock.bench.open_document(stock.patient, row) for row in stock.bench.documents(stock.patient)})
        == 2
    )


def test_contacts(stock: Stock) -> None:
    left, right = _rows(stock, S.contact)
    for columns in (("record",), ("record", "row_mac"), ("record", "row_mac", "created_at")):
        with Swapped(stock, S.contact, (left, right), columns), pytest.raises(Corrupt):
            list_received(stock.bench.store, stock.patient)
    assert len(list_received(stock.bench.store, stock.patient)) == 2


LOG_COLUMNS = [
    ("entry",),
    ("entry_id",),
    ("leaf",),
    ("entry", "entry_id"),
    ("entry", "entry_id", "leaf"),
    ("entry", "entry_id", "leaf", "created_at", "leaf_index"),
]


@pytest.mark.parametrize("columns", LOG_COLUMNS, ids="+".join)
def test_log_entries(stock: Stock, columns: tuple[str, ...]) -> None:
    """Whole entries exchanged are out of their place in the chain; parts of them do not open."""
    patient = stock.patient
    mine = [row for row in _rows(stock, S.log_entry) if row["account_id"] == patient.account_id]
    others = [row for row in _rows(stock, S.log_entry) if row["account_id"] != patient.account_id]
    for left, right in [(mine[0], mine[1]), (mine[1], mine[-1]), (mine[1], others[1])]:
        with Swapped(stock, S.log_entry, (left, right), columns), pytest.raises(Corrupt):
            read_log(stock.bench.store, patient.account, patient.space_root())
    assert len(read_log(stock.bench.store, patient.account, patient.space_root())) == len(mine)


def test_keys_of_one_scope_open_nothing_of_another(stock: Stock) -> None:
    """The document's key, the record's and the message's are three different things (K12)."""
    patient, bench = stock.patient, stock.bench
    row = bench.documents(patient)[0]
    item = next(each for each in bench.page(patient) if each.row.uid == 1)
    from mailserver.crypto.blob import decrypt_blob
    from mailserver.store import items

    document_key, _info = bench._document_key(patient, row)
    with bench.store.database.read() as connection:
        blob = items.find_blob(connection, patient.account_id, item.row.blob_id)
        other = items.find_blob(connection, patient.account_id, bench.documents(patient)[1].blob_id)
    for wrong in (blob, other):
        with pytest.raises(Corrupt):
            decrypt_blob(document_key, wrong.blob_id, wrong.octets, 10)
        with pytest.raises(Corrupt):
            decrypt_blob(document_key, row.blob_id, wrong.octets, 10)
    with pytest.raises(PliError):
        bench._document_key(stock.accounts[0], row)


def test_after_all_this_everything_still_opens(stock: Stock) -> None:
    for account in stock.accounts:
        found = _contents(stock, account)
        for place, content in found.items():
            assert stock.expected.get(place, content) == content
        assert stock.bench.box(account, Role.INBOX).exists_count == len(found)
