"""What is known of the recipients of sent messages: by sending, by job, by time."""

from dataclasses import replace

import pytest
from store.store_rows import NOW, numbered_id, read, write

from mailserver.model.address import parse_address
from mailserver.model.errors import Corrupt
from mailserver.model.ids import AccountId, JobId
from mailserver.model.notice import Expectation, NoticeState
from mailserver.store import schema, sent_recipients, sent_rows
from mailserver.store.sent_recipients import SentRecipientRow
from mailserver.store.sent_rows import SentRow
from mailserver.store.store import Store

ME, OTHER = AccountId(b"\x01" * 16), AccountId(b"\x02" * 16)
LOU = parse_address("lou@b.localhost")


def add(
    store: Store, account_id: AccountId = ME, sent_id: bytes = b"s" * 16, **more: object
) -> SentRecipientRow:
    row = SentRecipientRow(
        account_id,
        sent_id,
        0,
        store.sent_recipients.mac_of(account_id, sent_id, LOU),
        JobId(numbered_id()),
        NoticeState.SENT,
        Expectation.RECEIPT,
        0,
        NOW,
        NOW + 100,
        None,
        b"sealed",
    )
    row = replace(row, **more)  # type: ignore[arg-type] # by the test's own names
    write(store, lambda c: store.sent_recipients.add_recipients(c, [row]))
    return row


def test_those_of_one_sending_in_order(store: Store) -> None:
    second, first = add(store, position=1), add(store)
    add(store, OTHER)
    add(store, sent_id=b"t" * 16)
    assert read(store, lambda c: store.sent_recipients.list_recipients(c, ME, b"s" * 16)) == [first, second]
    assert read(store, lambda c: store.sent_recipients.find_by_job(c, second.job_id)) == second
    assert read(store, lambda c: store.sent_recipients.find_by_job(c, JobId(b"x" * 16))) is None


def test_the_name_says_nothing_across_sendings(store: Store) -> None:
    mac_of = store.sent_recipients.mac_of
    same = mac_of(ME, b"s" * 16, parse_address("LOU@b.localhost"))
    assert same == mac_of(ME, b"s" * 16, LOU)
    assert len({same, mac_of(ME, b"t" * 16, LOU), mac_of(OTHER, b"s" * 16, LOU)}) == 3


def test_whose_time_is_over(store: Store) -> None:
    late, now_due = add(store, due_at=NOW - 5), add(store, sent_id=b"t" * 16, due_at=NOW)
    add(store, OTHER, due_at=NOW + 1)
    add(store, OTHER, sent_id=b"t" * 16, due_at=None)
    due = lambda: read(store, lambda c: store.sent_recipients.list_due(c, NOW, 10))
    assert due() == ([late, now_due], [])
    write(
        store,
        lambda c: store.sent_recipients.mark(c, replace(late, state=NoticeState.FAILED, code=902).ended()),
    )
    assert due() == ([now_due], [])
    assert read(store, lambda c: store.sent_recipients.is_unchanged(c, now_due))
    assert not read(store, lambda c: store.sent_recipients.is_unchanged(c, late))


def test_an_altered_row_is_met_once(store: Store) -> None:
    row = add(store, due_at=NOW)
    write(store, lambda c: c.execute(schema.sent_recipient.update().values(state="displayed")))
    rows, altered = read(store, lambda c: store.sent_recipients.list_due(c, NOW, 10))
    assert (rows, altered) == ([], [(ME, row.sent_id, 0)])
    write(store, lambda c: sent_recipients.end_altered(c, altered[0]))
    assert read(store, lambda c: store.sent_recipients.list_due(c, NOW, 10)) == ([], [])
    with pytest.raises(Corrupt, match="row-mac"):
        read(store, lambda c: store.sent_recipients.list_recipients(c, ME, row.sent_id))


def test_forgotten_with_its_sending(store: Store) -> None:
    for sent_id, at in ((b"s" * 16, NOW), (b"t" * 16, NOW + 1)):
        index = store.sent.index_of(ME, sent_id.hex())
        sent = SentRow(ME, sent_id, index, at, b"sealed")
        write(store, lambda c, row=sent: store.sent.add_sent(c, row))
        add(store, sent_id=sent_id)
    write(store, lambda c: sent_rows.delete_sent(c, NOW + 1))
    left = lambda sent_id: read(store, lambda c: store.sent_recipients.list_recipients(c, ME, sent_id))
    assert (len(left(b"s" * 16)), len(left(b"t" * 16))) == (0, 1)
