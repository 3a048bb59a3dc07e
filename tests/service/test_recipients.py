"""Whose an address is: found once in a second, forgotten with what this process changes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from harness.web_node import Node, make_node

from mailserver.model.account import AccountState
from mailserver.model.address import Address, parse_address
from mailserver.service.recipients import KNOWN_SECONDS, MOST_KNOWN, Recipients
from mailserver.store.accounts import AccountRow
from mailserver.store.database import Connection

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=KNOWN_SECONDS)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = make_node(tmp_path)
    yield made
    made.close()


@pytest.fixture
def recipients(node: Node) -> Recipients:
    return node.services.delivery.recipients


def test_a_holder_is_known_for_a_second(node: Node, recipients: Recipients) -> None:
    node.add("alix@a.localhost")
    address = parse_address("Alix@A.localhost")
    assert not recipients.is_at_hand(address, NOW)
    found = recipients.find(address, NOW)
    assert found is not None
    assert recipients.is_at_hand(address, NOW)
    assert recipients.find(address, NOW) is found
    for far in (LATER, NOW - timedelta(microseconds=1)):  # a clock that was set back makes nothing last
        assert not recipients.is_at_hand(address, far)
    assert recipients.find(address, LATER) is not found


def test_what_is_changed_here_is_known_at_once(node: Node, recipients: Recipients) -> None:
    node.add("alix@a.localhost")
    address = parse_address("alix@a.localhost")
    assert recipients.find(address, NOW) is not None
    node.services.administration.disable_account(address, NOW)
    assert not recipients.is_at_hand(address, NOW)
    found = recipients.find(address, NOW)
    assert found is not None
    assert found.account.state is AccountState.DISABLED


def test_what_was_read_before_a_change_is_not_kept(
    node: Node, recipients: Recipients, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.add("alix@a.localhost")
    address, directory = parse_address("alix@a.localhost"), node.services.directory
    find = directory.find_account

    def overtaken(connection: Connection, asked: Address) -> AccountRow | None:
        found = find(connection, asked)
        monkeypatch.setattr(directory, "find_account", find)
        node.services.administration.disable_account(address, NOW)
        return found

    monkeypatch.setattr(directory, "find_account", overtaken)
    found = recipients.find(address, NOW)
    assert found is not None
    assert found.account.state is AccountState.ACTIVE
    assert not recipients.is_at_hand(address, NOW)


def test_nobody_unknown_is_remembered_and_few_others(node: Node, recipients: Recipients) -> None:
    stranger = parse_address("nobody@a.localhost")
    assert recipients.find(stranger, NOW) is None
    assert not recipients.is_at_hand(stranger, NOW)
    node.add("alix@a.localhost")
    held = recipients.find(parse_address("alix@a.localhost"), NOW)
    assert held is not None
    recipients._known.update((f"{number}@a.localhost", held) for number in range(MOST_KNOWN))
    recipients.find(parse_address("alix@a.localhost"), LATER)
    assert len(recipients._known) == 1
