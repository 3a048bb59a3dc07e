"""Any operations on mailboxes, against a plain dict (``mailbox_machine``), on both databases."""

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from store.mailbox_machine import MailboxMachine

from mailserver.store.store import Store


def test_counters_always_equal_a_recount(store: Store) -> None:
    machine = type("MailboxMachine", (MailboxMachine,), {"store": store})
    examples = max(12, settings.default.max_examples // 4)
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=25))
