"""Rows of a patient's space, fold marks, web sessions and one-time codes."""

from dataclasses import replace

import pytest
from store.store_rows import NOW, numbered_id, read, write

from mailserver.model.errors import Conflict, NotFound
from mailserver.model.ids import AccountId, BlobId, DocumentId, SessionId
from mailserver.store import space_rows, web_rows
from mailserver.store.space_rows import DocumentRow, SealedRecord
from mailserver.store.store import Store
from mailserver.store.web_rows import CodeRow, SessionRow

ME, OTHER = AccountId(b"\x01" * 16), AccountId(b"\x02" * 16)
PURPOSE = "login"


def _document(filed_at: int = NOW) -> DocumentRow:
    return DocumentRow(
        DocumentId(numbered_id()), BlobId(numbered_id()), filed_at, 9, b"\x00wrap", b"record\xff"
    )


def test_documents_newest_first(store: Store) -> None:
    rows = [_document(NOW), _document(NOW + 9), _document(NOW + 5), _document(NOW + 5)]
    for row in rows:
        write(store, lambda c, r=row: store.space.add_document(c, ME, r))
    first, newest, *same = rows
    assert read(store, lambda c: store.space.list_documents(c, ME)) == [newest, *same, first]
    assert read(store, lambda c: store.space.load_document(c, ME, first.document_id)) == first
    assert read(store, lambda c: store.space.list_documents(c, OTHER)) == []
    with pytest.raises(NotFound) as refused:
        read(store, lambda c: store.space.load_document(c, OTHER, first.document_id))
    assert refused.value.code == "document"
    with pytest.raises(Conflict):
        write(store, lambda c: store.space.add_document(c, ME, first))


def test_contacts_and_cases_oldest_first(store: Store) -> None:
    late, early = (SealedRecord(numbered_id(), at, b"\x00record\xff") for at in (NOW + 1, NOW))
    for row in (late, early):
        write(store, lambda c, r=row: store.space.add_contact(c, ME, r, r.created_at))
        write(store, lambda c, r=row: store.space.add_set_aside(c, ME, r))
    assert read(store, lambda c: store.space.list_contacts(c, ME)) == [early, late]
    assert read(store, lambda c: store.space.list_set_aside(c, ME)) == [early, late]
    assert read(store, lambda c: store.space.list_contacts(c, OTHER)) == []
    assert read(store, lambda c: store.space.list_set_aside(c, OTHER)) == []


def test_fold_marks_end_with_their_window(store: Store) -> None:
    mark = b"\x03" * 32
    write(store, lambda c: space_rows.add_delivery(c, ME, mark, NOW))
    has = lambda account_id: read(store, lambda c: space_rows.has_delivery(c, account_id, mark))
    assert has(ME)
    assert not has(OTHER), "a mark is one recipient's"
    with pytest.raises(Conflict):
        write(store, lambda c: space_rows.add_delivery(c, ME, mark, NOW))
    write(store, lambda c: space_rows.delete_deliveries(c, NOW))
    assert has(ME)
    write(store, lambda c: space_rows.delete_deliveries(c, NOW + 1))
    assert not has(ME)


def _session(account_id: AccountId = ME) -> SessionRow:
    return SessionRow(
        account_id, SessionId(numbered_id()), NOW, NOW, NOW + 9, 4, "password+totp", b"\x00keys"
    )


def test_sessions(store: Store) -> None:
    row, mine, foreign = _session(), _session(), _session(OTHER)
    for each in (row, mine, foreign):
        write(store, lambda c, r=each: store.web.add_session(c, r))
    find = lambda r: read(store, lambda c: store.web.find_session(c, r.account_id, r.session_id))
    assert find(row) == row
    assert find(replace(row, account_id=OTHER)) is None
    write(store, lambda c: web_rows.mark_seen(c, ME, row.session_id, NOW + 3))
    assert find(row) == replace(row, seen_at=NOW + 3)
    write(store, lambda c: web_rows.delete_session(c, ME, row.session_id))
    assert (find(row), find(mine)) == (None, mine)
    write(store, lambda c: web_rows.delete_sessions(c, ME))
    assert (find(mine), find(foreign)) == (None, foreign)


def _code(**more: object) -> CodeRow:
    return replace(CodeRow(ME, PURPOSE, b"\x05" * 32, 5, NOW + 600, NOW, 1, NOW), **more)  # type: ignore[arg-type]


def test_a_code_has_five_tries(store: Store) -> None:
    write(store, lambda c: store.web.mark_code(c, _code()))
    take = lambda now=NOW: write(store, lambda c: store.web.take_try(c, ME, PURPOSE, now))
    assert [take() for _try in range(6)] == [*[_code(tries_left=left) for left in (4, 3, 2, 1, 0)], None]


def test_a_code_ends(store: Store) -> None:
    write(store, lambda c: store.web.mark_code(c, _code()))
    take = lambda now: write(store, lambda c: store.web.take_try(c, ME, PURPOSE, now))
    assert take(NOW + 599) is not None
    assert take(NOW + 600) is None
    assert write(store, lambda c: store.web.take_try(c, OTHER, PURPOSE, NOW)) is None
    assert write(store, lambda c: store.web.take_try(c, ME, "activation", NOW)) is None


def test_a_new_code_replaces_the_old_one(store: Store) -> None:
    write(store, lambda c: store.web.mark_code(c, _code()))
    fresh = _code(verifier=b"\x06" * 32, sent_in_hour=2)
    write(store, lambda c: store.web.mark_code(c, fresh))
    assert read(store, lambda c: store.web.find_code(c, ME, PURPOSE)) == fresh
    write(store, lambda c: store.web.mark_code_used(c, ME, PURPOSE))
    assert write(store, lambda c: store.web.take_try(c, ME, PURPOSE, NOW)) is None
    assert read(store, lambda c: store.web.find_code(c, ME, PURPOSE)) == replace(fresh, tries_left=0)
    write(store, lambda c: web_rows.delete_code(c, ME, PURPOSE))
    assert read(store, lambda c: store.web.find_code(c, ME, PURPOSE)) is None


def test_twenty_parallel_replays_have_five_tries(store: Store) -> None:
    """S10: one write transaction decides each try."""
    from mailserver.store.writer import Unit

    write(store, lambda c: store.web.mark_code(c, _code()))
    unit = Unit(ME, lambda c: store.web.take_try(c, ME, PURPOSE, NOW))
    futures = [store.writer.submit(unit) for _replay in range(20)]
    assert sum(future.result() is not None for future in futures) == 5
