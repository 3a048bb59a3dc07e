"""A node with the log's signer beside its custodian, and what a hand in the database or in a worker does to its log."""

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select, update

from harness.node import Node, make_node
from mailserver.app import build_services
from mailserver.app.custody_link import LocalCustodian, log_origin
from mailserver.audit.entry import AccountHead, format_leaf, next_leaf
from mailserver.audit.events import Actor, ActorKind, AuditEvent, AuditObject, EventKind, ObjectKind
from mailserver.crypto.slots import ARGON2_FLOOR
from mailserver.service.access_log import add_entries, prepare_entry
from mailserver.service.check import check_store
from mailserver.service.keys import OpenAccount
from mailserver.service.sequencer import Sequencer
from mailserver.store import log_rows, schema
from mailserver.store.writer import Unit

PASSWORD = "un mot de passe long"
NOW = datetime(2026, 7, 6, 9, tzinfo=UTC)
WHO = Actor(ActorKind.PROFESSIONAL, "Camille FICTIF", "camille@a.localhost")


class LogStage:
    def __init__(self, folder: Path) -> None:
        node = make_node(folder)
        self.config = node.services.config
        node.close()
        self.local = LocalCustodian(self.config)
        self.custody = self.local.custody
        services = build_services(self.config, self.custody.verbs, argon2=ARGON2_FLOOR)
        self.node = Node(node.folder, self.local._custodian, services)
        self.store = services.store
        self.sequencer = Sequencer(self.store, self.custody.sign_log)

    def problems(self) -> tuple[tuple[str, str], ...]:
        """What ``pli check`` finds."""
        custody = self.custody
        return check_store(
            self.store, custody.log_publics, log_origin(self.config), custody.sign_log
        ).problems

    def person(self, local: str) -> OpenAccount:
        self.node.add(f"{local}@a.localhost", password=PASSWORD)
        return self.node.services.keys.open_with_password(f"{local}@a.localhost", PASSWORD)[0]

    def act(self, account: OpenAccount, when: datetime = NOW, count: int = 1) -> None:
        event = AuditEvent(EventKind.DELIVERED, when, WHO, AuditObject(ObjectKind.MESSAGE, "lettre"))
        entries = [prepare_entry(account.account, event)] * count
        self.store.writer.commit(Unit(account.account_id, lambda c: add_entries(c, self.store.macs, entries)))

    def replace_pending(self, account: OpenAccount, leaf: bytes, *, is_signed: bool = True) -> None:
        """Another leaf in the account's last pending row; a worker holds the row key and signs the row too."""
        table = schema.log_pending
        here = table.c.account_id == account.account_id
        with self.store.database.write() as connection:
            last = connection.execute(select(table).where(here).order_by(table.c.sequence.desc())).first()
            assert last is not None
            values: dict[str, object] = {"leaf": leaf}
            if is_signed:
                fields = (account.account_id, last.sequence, last.created_at, leaf)
                values["row_mac"] = self.store.macs.sign("log_pending", fields)
            here &= table.c.sequence == last.sequence
            connection.execute(update(table).where(here).values(**values))

    def forged_leaf(self, account: OpenAccount, pseudonym: bytes | None = None) -> bytes:
        """A leaf in the place of the account's last one, well formed, with another previous hash."""
        with self.store.database.read() as connection:
            head = log_rows.head_of(connection, self.store.macs, account.account_id)
        before = AccountHead(pseudonym or account.account.pseudonym, head.next_sequence - 1, b"\x09" * 32)
        leaf, _head = next_leaf(before, b"\x08" * 32)
        return format_leaf(leaf)

    def pending(self, account: OpenAccount) -> int:
        with self.store.database.read() as connection:
            leaves = log_rows.read_pending(connection, self.store.macs, None, ()).leaves
        return sum(leaf.account_id == account.account_id for leaf in leaves)

    def tree_size(self) -> int:
        with self.store.database.read() as connection:
            found = log_rows.find_checkpoint(connection)
        return 0 if found is None else found[0]

    def close(self) -> None:
        self.node.services.close()
        self.local.close()
