"""PREVIEW over IMAP: of messages from before there were previews, and as a reading that is logged (L1)."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from harness import imap_harness
from harness.imap_harness import RunningImap, make_node, make_tls, running_imap
from harness.imap_strict import StrictClient

from mailserver.audit.events import EventKind
from mailserver.service.intake import Intake
from mailserver.service.summaries import Parsed, parse_intake

MESSAGES = [b"Subject: %d\r\n\r\nLigne %d\r\n" % (number, number) for number in (1, 2)]
LARGE = b"Content-Type: text/html\r\n\r\n<p>Beaucoup</p>" + b"<br>ligne\r\n" * 20_000


def parse_without_preview(intake: Intake) -> Parsed:
    parsed = parse_intake(intake)
    return replace(parsed, summary=replace(parsed.summary, preview=None))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[tuple[RunningImap, StrictClient]]:
    node, tls = make_node(tmp_path / "node"), make_tls(tmp_path)
    account = node.add("doc", has_password=True)
    with running_imap(node, tls) as running:
        client = StrictClient(running.tls_port, tls.client, account)
        yield running, client
        client.close()
    node.close()


def previews(client: StrictClient, items: str) -> list[bytes | None]:
    answer = client.ask(f"FETCH 1:* {items}")
    assert answer.is_ok
    return [items[b"PREVIEW"] for _number, items in answer.fetches()]


def reads(running: RunningImap) -> int:
    return sum(event.kind is EventKind.MAILBOX_READ for event in running.node.read_log("doc"))


def test_messages_from_before_there_were_previews(
    stage: tuple[RunningImap, StrictClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    running, client = stage
    monkeypatch.setattr(imap_harness, "parse_intake", parse_without_preview)
    running.node.deliver("doc", MESSAGES[0], LARGE)
    monkeypatch.undo()
    running.node.deliver("doc", MESSAGES[1])
    client.ask("SELECT INBOX")
    assert previews(client, "(PREVIEW (LAZY))") == [None, None, b"Ligne 2"]
    shown = previews(client, "PREVIEW")
    assert (shown[0], shown[2]) == (b"Ligne 1", b"Ligne 2")
    assert shown[1].startswith(b"Beaucoup ligne ligne")
    assert client.ask("COPY 1:3 Archive").is_ok
    client.ask("SELECT Archive")
    assert previews(client, "(UID PREVIEW)") == shown


def test_a_preview_is_a_reading(stage: tuple[RunningImap, StrictClient]) -> None:
    running, client = stage
    running.node.deliver("doc", *MESSAGES)
    client.ask("SELECT INBOX")
    client.ask("FETCH 1:2 (ENVELOPE)")
    assert reads(running) == 0
    assert previews(client, "(PREVIEW (LAZY))") == [b"Ligne 1", b"Ligne 2"]
    assert reads(running) == 1
    assert client.ask("FETCH 1 FLAGS").fetches() == [(1, {b"FLAGS": [b"\\Recent"]})]
