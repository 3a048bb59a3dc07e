"""A patient's read receipt: sent by itself at the first opening, once, only to whom it may go."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from harness.web_node import ORIGIN, PASSWORD, PATIENT, deliver
from harness.web_server import Client
from harness.web_stage import DOCTOR, Stage

from mailserver.mime.composer import Letter, Person, format_mail
from mailserver.model.account import Flag, Role
from mailserver.model.address import parse_address
from mailserver.service.web_mailbox import WebMailbox
from mailserver.store.jobs import Lane

TOLD = "il est averti que vous avez ouvert ce message"


def write(
    stage: Stage, number: str, ask: str, *, sender: str = "rita@b.localhost", to: str = PATIENT, **more: str
) -> str:
    """A letter that asks for a receipt at ``ask``; its subject."""
    subject = f"Avec accusé {number}"
    fields = [("Disposition-Notification-To", ask)] if ask else []
    fields += [(name.replace("_", "-"), value) for name, value in more.items()]
    mail = Letter(
        Person(parse_address(sender), "Dr Rita DEMO"),
        (Person(parse_address(to), ""),),
        subject,
        "Bonjour",
        datetime.now(UTC),
        f"<receipt.{number}@b.localhost>",
        fields=tuple(fields),
    )
    deliver(stage.ours, stage.peer, sender, to, format_mail(mail, "nonce12345"))
    return subject


def path_of(client: Client, subject: str) -> str:
    found = re.search(rf'href="(/messages/[^"]+)">{re.escape(subject)}<', client.get("/").text)
    assert found
    return found[1]


def relayed(stage: Stage) -> int:
    store = stage.ours.services.store
    with store.database.read() as connection:
        return sum(row.lane is Lane.RELAY for row in store.jobs.list_jobs(connection))


def test_the_first_opening_is_told_once(stage: Stage) -> None:
    subject = write(stage, "1", "rita@b.localhost")
    client, before = stage.patient(), relayed(stage)
    path = path_of(client, subject)
    assert relayed(stage) == before, "a list is no opening"
    with ThreadPoolExecutor(4) as pool:
        pages = list(pool.map(client.get, [path] * 4))
    assert all(TOLD in page.words for page in pages)
    assert relayed(stage) == before + 1
    assert TOLD in client.get(path).words
    assert relayed(stage) == before + 1


def test_what_a_mail_client_marked_as_read_is_told_at_its_opening(stage: Stage) -> None:
    """A client fetches ahead of any reader, so nothing goes then; what it says it has told is not told again."""
    services, clients = stage.ours.services, {}
    mailbox = WebMailbox(services.store, services.mailboxes, services.messages, services.permits)
    account, _keys = services.keys.open_with_password(PATIENT, PASSWORD)
    before = relayed(stage)
    for number, flags in (("10", Flag.SEEN), ("11", Flag.SEEN | Flag.MDN_SENT)):
        subject = write(stage, number, "rita@b.localhost")
        (line,) = [
            each for each in mailbox.list_page(account, Role.INBOX, None).lines if each.subject == subject
        ]
        item = mailbox.open_message(account, line.ref, ORIGIN, datetime.now(UTC)).item
        mailbox.mark(account, item, flags)
        clients[number] = subject
    assert relayed(stage) == before, "nothing follows from what a client fetches"
    client = stage.patient()
    client.get(path_of(client, clients["11"]))
    assert relayed(stage) == before, "its client said so already"
    for _ in range(2):
        client.get(path_of(client, clients["10"]))
    assert relayed(stage) == before + 1


@pytest.mark.parametrize(
    ("number", "ask", "more"),
    [
        ("2", "", {}),
        ("3", "other@b.localhost", {}),
        ("4", "rita@b.localhost, other@b.localhost", {}),
        ("5", "rita@mail.example", {}),
        ("6", "rita@b.localhost", {"Auto_Submitted": "auto-generated"}),
        ("7", "not an address", {}),
    ],
)
def test_what_is_not_told(stage: Stage, number: str, ask: str, more: dict[str, str]) -> None:
    subject = write(stage, number, ask, **more)
    client, before = stage.patient(), relayed(stage)
    assert TOLD not in client.get(path_of(client, subject)).words
    assert relayed(stage) == before


def test_an_ended_exchange_is_told_too(stage: Stage) -> None:
    """The patient may not refuse it, and may not write: the receipt passes."""
    sender = "rosa@b.localhost"
    subject = write(stage, "8", sender, sender=sender, X_MSS_MES="FIN")
    client, before = stage.patient(), relayed(stage)
    page = client.get(path_of(client, subject))
    assert "<textarea" not in page.text
    assert relayed(stage) == before + 1


def test_a_professional_is_never_made_to_answer(stage: Stage) -> None:
    """Their mail client offers it (ECO.3.1.6); the pages send nothing by themselves."""
    subject = write(stage, "9", "rita@b.localhost", to=DOCTOR)
    client, before = stage.doctor(), relayed(stage)
    assert TOLD not in client.get(path_of(client, subject)).words
    assert relayed(stage) == before
