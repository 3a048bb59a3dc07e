"""A patient's conversations: folded from what was received, when the patient is there to open it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from mailserver.crypto.ctx import ctx
from mailserver.model.address import Address, parse_address
from mailserver.policy.conversation import Conversation, ReceivedFacts, receive_message
from mailserver.policy.trust_list import TrustList
from mailserver.service.keys import OpenAccount
from mailserver.store.store import Store


@dataclass(frozen=True, slots=True)
class Received:
    """One received message's facts, with the name its author gave."""

    facts: ReceivedFacts
    name: str


def list_received(store: Store, account: OpenAccount) -> list[Received]:
    """What correspondents wrote, oldest first. Raises Corrupt when a row was altered."""
    with store.database.read() as connection:
        rows = store.space.list_contacts(connection, account.account_id)
    pair = account.space_root().pair(account.account.epoch)
    received = []
    for row in rows:
        plain = pair.open(row.record, ctx("contact", account.account_id, row.record_id))
        fields = json.loads(plain)
        reply_to = fields["reply_to"]
        facts = ReceivedFacts(
            fields["message_id"],
            parse_address(fields["sender"]),
            fields["subject"],
            datetime.fromtimestamp(row.created_at, UTC),
            fields["end_mark"],
            parse_address(reply_to) if reply_to else None,
        )
        received.append(Received(facts, fields["name"]))
    return received


def fold_conversations(received: Iterable[Received], trusted: TrustList) -> tuple[Conversation, ...]:
    """Conversations from what was received, oldest first."""
    known: dict[str, Conversation] = {}
    for each in received:
        key = each.facts.sender.key
        known[key] = receive_message(known.get(key), each.facts, trusted)
    return tuple(known.values())


def is_receipt_of(received: Iterable[Received], original_id: str, to: Address) -> bool:
    """Whether ``to`` sent the patient the message that a read receipt names, or asked for answers to it there."""
    return any(
        each.facts.message_id == original_id
        and to.key in {address.key for address in (each.facts.sender, each.facts.reply_to) if address}
        for each in received
    )
