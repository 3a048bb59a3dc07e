"""Absences and the marks of those who were told: one reply for each correspondent, so many a day, all swept at the end."""

from collections.abc import Callable

from sqlalchemy import select
from store.store_rows import NOW, add_account, numbered_id, read, row_count, write

from mailserver.model.ids import AbsenceId, AccountId
from mailserver.store import absence_rows, schema
from mailserver.store.absence_rows import AbsenceRow, ReplyMark
from mailserver.store.store import Store

DAY = 86400
MARKS = [bytes([number]) * 32 for number in range(1, 9)]


def row(account_id: AccountId, ends_at: int = NOW + DAY, record: bytes = b"sealed") -> AbsenceRow:
    return AbsenceRow(account_id, AbsenceId(numbered_id()), ends_at, record)


def claim(store: Store, account_id: AccountId, mark: bytes, at: int = NOW, most: int = 3) -> bool:
    reply = ReplyMark(mark, at, NOW + 9 * DAY)
    return write(store, lambda c: absence_rows.claim_reply(c, account_id, reply, most_a_day=most))


def test_an_account_has_one_absence(store: Store) -> None:
    account, other = add_account(store).account_id, add_account(store).account_id
    assert read(store, lambda c: store.absences.find_absence(c, account)) is None
    first, second, others = row(account), row(account, NOW + 9), row(other)
    for each in (first, second, others):
        write(store, lambda c, each=each: store.absences.replace_absence(c, each))
    assert read(store, lambda c: store.absences.find_absence(c, account)) == second
    write(store, lambda c: absence_rows.delete_absence(c, account))
    assert read(store, lambda c: store.absences.find_absence(c, account)) is None
    assert read(store, lambda c: store.absences.find_absence(c, other)) == others


def test_each_correspondent_once(store: Store) -> None:
    account, other = add_account(store).account_id, add_account(store).account_id
    assert [claim(store, account, MARKS[0]) for _time in range(3)] == [True, False, False]
    assert claim(store, account, MARKS[1])
    assert claim(store, other, MARKS[0]), "another account's marks are its own"
    has: Callable[[bytes], bool] = lambda mark: read(  # short
        store, lambda c: absence_rows.has_reply(c, account, mark)
    )
    assert [has(mark) for mark in MARKS[:3]] == [True, True, False]
    stored = read(store, lambda c: [row.mark for row in c.execute(select(schema.absence_reply))])
    assert len(set(stored)) == 3, "what two accounts keep of one mark does not say so"


def test_so_many_a_day(store: Store) -> None:
    account = add_account(store).account_id
    assert [claim(store, account, mark) for mark in MARKS[:4]] == [True, True, True, False]
    assert not claim(store, account, MARKS[3], NOW + DAY - 1)
    assert claim(store, account, MARKS[3], NOW + DAY), "what had no room is told later, at the next message"


def test_what_is_over_is_swept(store: Store) -> None:
    past, present = add_account(store).account_id, add_account(store).account_id
    for each in (row(past, NOW), row(present, NOW + 1)):
        write(store, lambda c, each=each: store.absences.replace_absence(c, each))
    for account, expires in ((past, NOW), (present, NOW + 1)):
        reply = ReplyMark(MARKS[0], NOW - 9, expires)
        write(store, lambda c, a=account, r=reply: absence_rows.claim_reply(c, a, r, most_a_day=3))
    write(store, lambda c: absence_rows.delete_over(c, NOW))
    assert read(store, lambda c: store.absences.find_absence(c, past)) is None
    assert read(store, lambda c: store.absences.find_absence(c, present)) is not None
    assert read(store, lambda c: row_count(c, "absence_reply")) == 1
