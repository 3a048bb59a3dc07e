"""The web's services over a test operator, and the code that a login's notice holds."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from harness.node import Node, make_node
from mailserver.audit.events import Origin
from mailserver.crypto.x509 import certificate_facts, der_from_pem
from mailserver.documents.coherence import XdmReading, read_documents
from mailserver.documents.record import DocumentRecord, records_of
from mailserver.mime.composer import FileToAttach, Letter, Person, format_mail
from mailserver.mime.trace import Hop
from mailserver.model.address import parse_address
from mailserver.model.ids import DocumentId
from mailserver.service.filing import DocumentSealer
from mailserver.service.keys import OpenAccount
from mailserver.service.login_failures import LoginFailures
from mailserver.service.receive import PeerEnvelope
from mailserver.service.web_codes import WebCodes
from mailserver.service.web_login import WebLogin
from mailserver.service.web_sessions import WebSessions
from mailserver.store.items import add_blob
from mailserver.store.jobs import Lane
from mailserver.store.writer import Unit

PASSWORD = "un mot de passe long"
PATIENT = "279035121518989@a.localhost"
DATA = Path(__file__).parents[1] / "data" / "xdm"
ORIGIN = Origin("192.0.2.0/24", "Firefox")


@dataclass
class WebNode:
    node: Node
    sessions: WebSessions
    login: WebLogin
    failures: LoginFailures

    @classmethod
    def over(cls, node: Node) -> "WebNode":
        services = node.services
        sessions = WebSessions(services.store, services.keys, services.custody)
        codes = WebCodes(services.store, services.directory, services.notices)
        login = WebLogin(services.store, services.keys, sessions, codes, services.directory.domains)
        return cls(node, sessions, login, LoginFailures(services.store, services.directory))

    def codes_sent(self) -> list[str]:
        """Every code in a waiting notice, oldest first within one second."""
        services = self.node.services
        with services.store.database.read() as connection:
            rows = [row for row in services.store.jobs.list_jobs(connection) if row.lane is Lane.NOTICE]
        texts = [services.outbound.open_notice(row).text for row in rows]
        return [match[1] for text in texts if (match := re.search(r"connexion : ([0-9]{6})", text))]

    def start(self, login: str, now: datetime) -> tuple[str, str]:
        """Cookie of the pending session, and the code it waits for."""
        before = self.codes_sent()
        started = self.login.begin(login, PASSWORD, now)
        after = self.codes_sent()
        for code in before:
            after.remove(code)
        return started.cookie.format_value(), after[0] if after else ""

    def sign_in(self, login: str, now: datetime) -> str:
        pending, code = self.start(login, now)
        return self.login.finish(pending, code, ORIGIN, now).cookie.format_value()


def make_peers(folder: Path) -> tuple[Node, Node]:
    """Two operators that trust one another: ours (a.localhost) and a peer (b.localhost)."""
    ours = make_node(folder, "a.localhost")
    peer = make_node(folder, "b.localhost", authority=folder / "authority")
    ours.services.trust.refresh(datetime.now(UTC))
    return ours, peer


def deliver(ours: Node, peer: Node, sender: str, recipient: str, raw: bytes) -> None:
    """Hand a message in as the peer does, and wait for its commits."""
    now = datetime.now(UTC)
    reception = ours.services.reception
    certificate = (peer.folder / "tls" / "operator.pem").read_bytes()
    dn = certificate_facts(der_from_pem(certificate)).dn
    address = parse_address(sender)
    decision, accepted = reception.decide_recipient(parse_address(recipient), 0, now)
    assert decision.accepted, decision
    assert accepted is not None
    intake = reception.begin(Hop("b.localhost", "127.0.0.1", "a.localhost", "ESMTPS", "x1"), address, now)
    intake.write(raw)
    intake.finish()
    verdict = reception.accept(PeerEnvelope(dn, address, (accepted,)), intake, now)
    assert verdict.decision.accepted, verdict.decision
    for commit in verdict.commits:
        commit.result()
    intake.close()


def letter(message_id: str, subject: str, text: str, **more: object) -> Letter:
    """A professional's letter to the patient of the samples."""
    sender = Person(parse_address("camille@b.localhost"), "Dr Camille FICTIF")
    recipient = Person(parse_address(PATIENT), "")
    now = datetime.now(UTC)
    return Letter(sender, (recipient,), subject, text, now, f"<{message_id}@b.localhost>", **more)


def health_mail(message_id: str, archive: str = "ok-lettre-adressage") -> bytes:
    """A mail that carries one of the sample archives."""
    subject = "XDM/1.0/DDM+Lettre d'adressage PAT-TROIS DOMINIQUE 28/03/1979"
    return archive_mail(message_id, subject, (DATA / f"{archive}.zip").read_bytes())


def archive_mail(message_id: str, subject: str, archive: bytes) -> bytes:
    file = FileToAttach("IHE_XDM.ZIP", "application/zip", [archive])
    words = "Bonjour,\n\nVous trouverez ci-joint votre lettre d’adressage.\n\nDr Camille FICTIF"
    return format_mail(letter(message_id, subject, words), "nonce12345", [file])


def sample_record() -> DocumentRecord:
    """The record of the sample letter."""
    reading = read_documents((DATA / "ok-lettre-adressage.zip").read_bytes())
    assert isinstance(reading, XdmReading)
    return records_of(reading, source_message_id="<x@b.localhost>", received=datetime.now(UTC))[0]


def file(ours: Node, patient: OpenAccount, record: DocumentRecord, data: bytes) -> DocumentId:
    """Put a document into a patient's space, as its delivery would."""
    store = ours.services.store
    sealer = DocumentSealer(store.blobs, patient.account, datetime.now(UTC))
    sealed = sealer.seal(data, replace(record, size_bytes=len(data)))

    def run(connection) -> None:
        add_blob(connection, patient.account_id, sealed.blob)
        store.space.add_document(connection, patient.account_id, sealed.row)

    store.writer.commit(Unit(patient.account_id, run))
    return sealed.row.document_id
