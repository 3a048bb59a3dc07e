"""``pli check`` knows the index: what can be told without keys, and what only its owner's keys tell."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.imap_harness import ImapNode, make_node
from harness.imap_session import open_session, search
from sqlalchemy import delete, insert, select, update

from mailserver.imap.search_keys import TextKey
from mailserver.model.account import Role
from mailserver.service.check import check_account
from mailserver.service.keys import OpenAccount
from mailserver.store import inspection, schema

TABLE = schema.text_segment


@pytest.fixture
def node(tmp_path: Path) -> Iterator[ImapNode]:
    node = make_node(tmp_path)
    yield node
    node.close()


@pytest.fixture
def doctor(node: ImapNode) -> OpenAccount:
    node.add("doc")
    node.deliver("doc", *[b"Subject: %d\r\n\r\ncorps\r\n" % number for number in range(20)])
    account = node.open("doc")
    assert len(search(open_session(node, account), TextKey("corps", with_header=True))) == 20
    return account


def problems_in(node: ImapNode) -> list[str]:
    """What is told without keys."""
    with node.store.database.read() as connection:
        return [what for what, _where in inspection.find_segment_problems(connection)]


def alter(node: ImapNode, **values: object) -> None:
    with node.store.database.write() as connection:
        connection.execute(update(TABLE).values(**values))


def test_a_sound_index(node: ImapNode, doctor: OpenAccount) -> None:
    assert problems_in(node) == []
    with node.store.database.read() as connection:
        assert inspection.count_rows(connection)["text_segment"] == 1
    mine = check_account(node.store, doctor)
    assert (mine.problems, mine.counted["text_segments_opened"]) == ((), 1)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"octets": b"cut"}, "text segment has another length"),
        ({"last_uid": 21}, "text segment of messages that its mailbox never had"),
        ({"first_uid": 9, "last_uid": 8}, "text segment of messages that its mailbox never had"),
        ({"mailbox_id": bytes(16)}, "text segment of messages that its mailbox never had"),
    ],
)
def test_what_is_told_without_keys(
    node: ImapNode, doctor: OpenAccount, values: dict[str, object], what: str
) -> None:
    alter(node, **values)
    assert problems_in(node) == [what]


def test_segments_that_meet_are_told(node: ImapNode, doctor: OpenAccount) -> None:
    with node.store.database.write() as connection:
        row = connection.execute(select(TABLE)).one()._asdict()
        connection.execute(insert(TABLE), [row | {"first_uid": 20, "segment_id": bytes(16)}])
    assert problems_in(node) == ["text segments meet"]


def test_what_only_keys_tell(node: ImapNode, doctor: OpenAccount) -> None:
    """A segment put back after a message of it left; then one that does not open at all."""
    with node.store.database.read() as connection:
        row = connection.execute(select(TABLE)).one()._asdict()
    inbox = node.services.mailboxes.load_by_role(doctor, Role.INBOX)
    node.services.messages.expunge(doctor, inbox.mailbox_id, [(3, 3)])
    with node.store.database.write() as connection:
        connection.execute(insert(TABLE), [row])
    where = f"{inbox.mailbox_id.hex()} 1:20"
    assert problems_in(node) == []
    assert check_account(node.store, doctor).problems == (("text segment holds a message that left", where),)
    alter(node, segment_id=bytes(16))
    assert check_account(node.store, doctor).problems == (("text segment does not open", where),)


def test_a_damaged_message_is_found_by_nothing_and_hides_no_other(
    node: ImapNode, doctor: OpenAccount, caplog: pytest.LogCaptureFixture
) -> None:
    (damaged, whole) = node.deliver("doc", *[b"Subject: x\r\n\r\ncorps bis\r\n"] * 2)
    with node.store.database.write() as connection:
        item = schema.item
        query = select(item.c.blob_id).where(item.c.uid == damaged)
        blob_id = connection.execute(query).scalar_one()
        connection.execute(
            update(schema.blob).where(schema.blob.c.blob_id == blob_id).values(octets=bytes(300))
        )
        connection.execute(delete(TABLE))
    for _time in range(2):
        session = open_session(node, doctor)
        assert search(session, TextKey("corps", with_header=True)) == [*range(1, 21), whole]
        assert search(session, TextKey("bis", with_header=False)) == [whole]
    assert "a message does not open for SEARCH" in caplog.text
