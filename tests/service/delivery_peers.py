"""An operator that receives from another, and short ways to read what it stored. The other operator is only a name
in the trust list with its certificate's subject: no connection is made.
"""

import atexit
import shutil
import tempfile
from base64 import encodebytes
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from harness.node import KEY_BITS, Node, make_node
from sqlalchemy import select

from mailserver.audit.events import Origin
from mailserver.cli.operator_folder import add_trusted_domains
from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning
from mailserver.crypto.blob import decrypt_blob
from mailserver.crypto.ctx import ctx
from mailserver.crypto.hkdf import derive
from mailserver.crypto.secret import Secret
from mailserver.crypto.wrap import unwrap
from mailserver.crypto.x509 import DistinguishedName, certificate_facts, der_from_pem
from mailserver.documents.record import DocumentRecord, parse_record
from mailserver.mime.summary import HeaderSummary
from mailserver.mime.summary_wire import parse_summary
from mailserver.mime.trace import Hop
from mailserver.model.account import Role
from mailserver.model.address import parse_address, parse_domain
from mailserver.policy.trust_list import TrustedDomain
from mailserver.service.delivery import Outcome
from mailserver.service.filing import document_info
from mailserver.service.keys import OpenAccount
from mailserver.service.messages import OpenedItem
from mailserver.service.receive import PeerEnvelope, Verdict
from mailserver.service.sealing import unpad_summary
from mailserver.store import items, mailboxes, schema
from mailserver.store.items import ItemRow
from mailserver.store.mailboxes import MailboxRow
from mailserver.store.space_rows import DocumentRow
from mailserver.store.writer import Unit

PEER_DOMAIN = "b.localhost"
SENDER = f"camille@{PEER_DOMAIN}"
ORIGIN = Origin("127.0.0.0/24", "test")
SECONDS = 60


@dataclass
class Bench:
    """A node and the other operator's certificate subject."""

    node: Node
    peer_dn: DistinguishedName

    @property
    def services(self):
        return self.node.services

    @property
    def store(self):
        return self.node.services.store

    def accept(self, recipients: Sequence[str], message: bytes, *, sender: str = SENDER, now=None) -> Verdict:
        """RCPTs, DATA and the verdict, as the MX would; the intake is closed whatever happens."""
        now = now or datetime.now(UTC)
        reception, envelope_from = self.services.reception, parse_address(sender)
        accepted = []
        for rank, address in enumerate(recipients):
            decision, recipient = reception.decide_recipient(parse_address(address), rank, now)
            assert recipient is not None, decision
            accepted.append(recipient)
        hop = Hop(PEER_DOMAIN, "127.0.0.1", self.node.domain, "ESMTPS", "x1")
        intake = reception.begin(hop, envelope_from, now)
        try:
            intake.write(message)
            intake.finish()
            return reception.accept(PeerEnvelope(self.peer_dn, envelope_from, tuple(accepted)), intake, now)
        finally:
            intake.close()

    def deliver(self, recipients: Sequence[str], message: bytes, **more) -> list[Outcome]:
        verdict = self.accept(recipients, message, **more)
        assert verdict.decision.accepted, verdict.decision
        return [future.result(SECONDS) for future in verdict.commits]

    def box(self, account: OpenAccount, role: Role = Role.INBOX) -> MailboxRow:
        with self.store.database.read() as connection:
            return mailboxes.load_by_role(connection, account.account_id, role)

    def rows(self, account: OpenAccount, role: Role = Role.INBOX) -> list[ItemRow]:
        box = self.box(account, role)
        with self.store.database.read() as connection:
            return items.list_items(connection, account.account_id, box.mailbox_id, [(1, 2**32 - 1)])

    def page(self, account: OpenAccount, role: Role = Role.INBOX) -> list[OpenedItem]:
        return self.services.messages.page(account, self.box(account, role).mailbox_id, [(1, 2**32 - 1)])

    def read(self, account: OpenAccount, item: OpenedItem) -> bytes:
        """The whole message, by the path that IMAP and the web take."""
        permit = self.services.permits.permit(account, ORIGIN, datetime.now(UTC))
        size = parse_summary(item.summary).size_bytes
        return self.services.messages.reader(account, item, size, permit).read(0, size)

    def documents(self, account: OpenAccount) -> list[DocumentRow]:
        with self.store.database.read() as connection:
            return self.store.space.list_documents(connection, account.account_id)

    def open_record(self, account: OpenAccount, row: DocumentRow) -> DocumentRecord:
        key, info = self._document_key(account, row)
        return parse_record(unpad_summary(unwrap(derive(key, "record"), row.record, info)))

    def open_document(self, account: OpenAccount, row: DocumentRow) -> bytes:
        key, _info = self._document_key(account, row)
        with self.store.database.read() as connection:
            blob = items.find_blob(connection, account.account_id, row.blob_id)
        assert blob is not None
        assert blob.octets is not None
        return decrypt_blob(key, row.blob_id, blob.octets, self.open_record(account, row).size_bytes)

    def _document_key(self, account: OpenAccount, row: DocumentRow) -> tuple[Secret, bytes]:
        info = document_info(account.account_id, row.document_id, row.blob_id)
        return Secret(account.space_root().pair(account.account.epoch).open(row.wrap, info)), info

    def cases(self, account: OpenAccount) -> list[bytes]:
        """What was set aside, opened by the box's owner."""
        with self.store.database.read() as connection:
            rows = self.store.space.list_set_aside(connection, account.account_id)
        pair = account.space_root().pair(account.account.epoch)
        return [pair.open(row.record, ctx("set-aside", account.account_id, row.record_id)) for row in rows]

    def settle(self, account: OpenAccount) -> None:
        """Waits for what was queued before: an adoption, a claim of \\Recent."""
        self.store.writer.commit(Unit(account.account_id, lambda _connection: None))

    def count(self, table: str) -> int:
        with self.store.database.read() as connection:
            return len(connection.execute(select(schema.metadata.tables[table])).all())


@cache
def _authority() -> tuple[Path, DistinguishedName]:
    """One demo authority for all benches of this process, with the other operator's certificate: keys are slow."""
    folder = Path(tempfile.mkdtemp(prefix="pli-authority-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    now = datetime.now(UTC)
    with pytest.warns(DemoAuthorityWarning):
        demo = DemoAuthority.create(folder, now, key_bits=KEY_BITS)
    signer = demo.issue_list_signer("demo.localhost", now=now)
    (folder / "signer.pem").write_bytes(signer.cert_pem)
    (folder / "signer.key").write_bytes(signer.key_pem)
    issued = demo.issue_operator(PEER_DOMAIN, [PEER_DOMAIN], "Opérateur B", now=now)
    dn = certificate_facts(der_from_pem(issued.cert_pem)).dn
    add_trusted_domains(folder, [TrustedDomain(parse_domain(PEER_DOMAIN), dn, "B", updated_at=now)], now)
    return folder, dn


def make_bench(folder: Path) -> Bench:
    """A fresh operator whose authority also certified the other one."""
    authority, dn = _authority()
    return Bench(make_node(folder, authority=authority), dn)


def open_with_password(bench: Bench, address: str, password: str = "un mot de passe long") -> OpenAccount:
    return bench.services.keys.open_with_password(address, password)[0]


def message_id(number: object) -> str:
    return f"<{str(number).replace(' ', '-')}@{PEER_DOMAIN}>"


def message(number: object, *, sender: str = SENDER, body: bytes = b"Bonjour.\r\n", **headers: str) -> bytes:
    """A plain message; ``number`` makes its Message-ID and subject its own."""
    fields = {
        "From": f"Camille FICTIF <{sender}>",
        "Subject": f"Lettre {number}",
        "Message-ID": message_id(number),
        "Date": "Mon, 06 Jul 2026 09:00:00 +0000",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode() + b"\r\n" + body


def with_archive(number: object, archive: bytes, **headers: str) -> bytes:
    """A message that carries ``archive`` as IHE_XDM.ZIP."""
    body = (
        b"--frontier\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nVoir la lettre.\r\n"
        b'--frontier\r\nContent-Type: application/zip; name="IHE_XDM.ZIP"\r\n'
        b'Content-Disposition: attachment; filename="IHE_XDM.ZIP"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        + encodebytes(archive).replace(b"\n", b"\r\n")
        + b"\r\n--frontier--\r\n"
    )
    kind = 'multipart/mixed; boundary="frontier"'
    return message(number, body=body, MIME_Version="1.0", Content_Type=kind, **headers)


def summary_of(item: OpenedItem) -> HeaderSummary:
    return parse_summary(item.summary)
