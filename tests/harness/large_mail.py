"""Large mail for tests: messages with files, their submission, the note that travels, and what the gateway hands on."""

from base64 import b64encode
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime

from harness.node import Node
from mailserver.audit.events import Origin
from mailserver.mime.kept_files import KeptNote, parse_note
from mailserver.mime.scanner import MessageScanner
from mailserver.mime.summary_wire import parse_summary
from mailserver.mime.trace import Hop
from mailserver.model.account import Role
from mailserver.model.address import parse_address
from mailserver.service.keys import OpenAccount
from mailserver.service.receive import Verdict
from mailserver.service.sendings import SubmittedEnvelope

ORIGIN = Origin("127.0.0.0/24", "test")
SECRET = "Scintigraphie Ophélie Incertaine"
"""A name that must not be found anywhere at rest."""


def entity(name: str, data: bytes) -> bytes:
    encoded = b64encode(data)
    lines = b"".join(encoded[at : at + 76] + b"\r\n" for at in range(0, len(encoded), 76))
    head = f'Content-Type: application/zip\r\nContent-Disposition: attachment; filename="{name}"\r\n'
    return head.encode() + b"Content-Transfer-Encoding: base64\r\n\r\n" + lines


def large_message(number: object, sender: str, files: Sequence[tuple[str, bytes]]) -> bytes:
    parts = b"".join(b"--front\r\n" + entity(*each) for each in files)
    head = (
        f"From: Alix DEMO <{sender}>\r\nTo: quelqu'un@b.localhost\r\nSubject: Images {number}\r\n"
        f"Message-ID: <{number}@a.localhost>\r\nDate: Mon, 06 Jul 2026 09:00:00 +0000\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="front"\r\n\r\n'
        "--front\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nVoici les images.\r\n"
    )
    return head.encode() + parts + b"--front--\r\n"


def submit(
    node: Node, account: OpenAccount, recipients: Sequence[str], octets: bytes, now: datetime | None = None
) -> Verdict:
    """RCPTs, DATA and the verdict, as the submission port would; its commits are done when it was accepted."""
    submission, at = node.services.submission, now or datetime.now(UTC)
    destinations = []
    for rank, address in enumerate(recipients):
        decision, destination = submission.decide_recipient(parse_address(address), rank, at, len(octets))
        assert destination is not None, decision
        destinations.append(destination)
    sender = account.addresses[0]
    hop = Hop("poste.localhost", "127.0.0.1", "a.localhost", "ESMTPSA", "depot1")
    with closing(submission.begin(hop, sender, at)) as intake:
        for start in range(0, len(octets), 65536):
            intake.write(octets[start : start + 65536])
        intake.finish()
        verdict = submission.accept(
            account, SubmittedEnvelope(sender, tuple(destinations), ORIGIN), intake, at
        )
        for commit in verdict.commits:
            commit.result()
        return verdict


def read_box(node: Node, account: OpenAccount) -> list[bytes]:
    """Every message of an account's INBOX, whole."""
    services, now = node.services, datetime.now(UTC)
    box = services.mailboxes.load_by_role(account, Role.INBOX)
    permit = services.permits.permit(account, ORIGIN, now)
    found = []
    for opened in services.messages.page(account, box.mailbox_id, [(1, 1 << 31)]):
        size = parse_summary(opened.summary).size_bytes
        found.append(services.messages.reader(account, opened, size, permit).read(0, size))
    return found


def find_note(octets: bytes) -> KeptNote:
    scanner = MessageScanner()
    scanner.feed(octets)
    heads = [octets[part.header_start : part.body_start] for part in scanner.close().walk()]
    (note,) = filter(None, map(parse_note, heads))
    return note


def blob_files(node: Node) -> int:
    return len(list((node.folder / "data" / "blobs").glob("??/*")))
