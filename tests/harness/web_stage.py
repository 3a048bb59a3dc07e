"""The pages' stage: two operators, a patient with a letter and a document, and the pages served on the loopback."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.node import Node
from harness.web_node import PASSWORD, PATIENT, WebNode, deliver, health_mail, letter, make_peers
from harness.web_server import Client, running
from mailserver.mime.composer import format_mail

DOCTOR = "doc@a.localhost"


@dataclass
class Stage:
    ours: Node
    peer: Node
    web: WebNode
    port: int

    def client(self) -> Client:
        return Client(self.port)

    def patient(self) -> Client:
        return self.sign_in(PATIENT)

    def doctor(self) -> Client:
        return self.sign_in(DOCTOR)

    def sign_in(self, login: str) -> Client:
        """By the services, not by the pages: the codes of one hour are few."""
        now = datetime.now(UTC)
        services = self.ours.services
        account, keys = services.keys.open_with_password(login, PASSWORD)
        cookie, row = self.web.sessions.prepare_pending(account, keys, now)
        with services.store.database.write() as connection:
            services.store.web.add_session(connection, row)
        pending = self.web.sessions.load_pending(cookie.format_value(), now)
        full, full_row = self.web.sessions.prepare_full(pending, "password+mail", now)
        with services.store.database.write() as connection:
            services.store.web.add_session(connection, full_row)
        return Client(self.port, full.format_value())

    def write(self, message_id: str, subject: str, text: str, **more: object) -> None:
        """A plain letter to the patient."""
        raw = format_mail(letter(message_id, subject, text, **more), "nonce12345")
        deliver(self.ours, self.peer, "camille@b.localhost", PATIENT, raw)


@contextmanager
def make_stage(folder: Path) -> Iterator[Stage]:
    ours, peer = make_peers(folder)
    ours.add_patient(PATIENT, password=PASSWORD, contact="dominique@example.org")
    ours.add(DOCTOR, password=PASSWORD, contact="doc@example.org", name="Dr Alix DEMO")
    deliver(ours, peer, "camille@b.localhost", PATIENT, health_mail("letter"))
    with running(ours) as server:
        yield Stage(ours, peer, WebNode.over(ours), server.port)
    ours.close()
    peer.close()
