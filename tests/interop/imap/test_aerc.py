"""aerc, on a terminal that nobody looks at."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from harness.client_box import Box, Wire
from harness.programs import Terminal

ACCOUNT = """
[all]
source = imaps://{user}:{password}@localhost:{box.port}
outgoing = {folder}/never-sent
default = INBOX
from = Camille FICTIF <{box.address}>
postpone = Drafts
cache-headers = true
"""
SETTINGS = """
[general]
unsafe-accounts-conf = true
[viewer]
pager = cat
[filters]
text/plain = cat
[compose]
editor = {folder}/editor
"""


def set_up(box: Box, folder: Path) -> None:
    settings = folder / ".config" / "aerc"
    settings.mkdir(parents=True)
    user, password = quote(box.address, safe=""), quote(box.password, safe="")
    (settings / "accounts.conf").write_text(
        ACCOUNT.format(box=box, folder=folder, user=user, password=password)
    )
    (settings / "accounts.conf").chmod(0o600)
    (settings / "aerc.conf").write_text(SETTINGS.format(folder=folder))
    (folder / "editor").write_text('#!/bin/sh\necho Ligne 5 >"$1"\n')
    (folder / "editor").chmod(0o700)


@contextmanager
def opened(aerc: str, box: Box, folder: Path) -> Iterator[tuple[Terminal, Wire]]:
    """aerc with INBOX on its screen, waiting for news."""
    more = {"SSL_CERT_FILE": box.authority, "TERM": "xterm"}
    with box.wire() as wire, Terminal(aerc, cwd=folder, **more) as terminal:
        wire.wait_for("client", "SEARCH .*ALL")
        terminal.wait_for("Pli 1")
        wire.wait_for("client", "IDLE")
        yield terminal, wire
        terminal.press(":quit\r")
        terminal.end()


def test_aerc(require_tool: Callable[[str], str], make_account: Callable[[str], Box], tmp_path: Path) -> None:
    box, aerc = make_account("aerc"), require_tool("aerc")
    set_up(box, tmp_path)
    box.deliver(1, 2, 3, 4)
    with opened(aerc, box, tmp_path) as (terminal, wire):  # first sync
        assert len(wire.contents()) == 4, "headers"
        terminal.press(":select 0\r:view\r")
        wire.wait_until_done("UID FETCH 4 .*BODY")
    assert box.look()[4] == {"\\Seen"}

    with opened(aerc, box, tmp_path) as (_terminal, wire):  # second sync with nothing to do
        assert wire.contents() == []

    with opened(aerc, box, tmp_path) as (terminal, wire):
        terminal.press(":select -1\r:flag -x Flagged\r")  # flag
        wire.wait_until_done("STORE")
        terminal.press(":select 2\r:move Archive\r")  # move
        wire.wait_until_done("MOVE")
        terminal.press(":select 1\r:delete\r")  # delete
        wire.wait_until_done("EXPUNGE")
        terminal.press(":compose -H 'Subject: Pli 5' -H 'To: claude5@b.localhost'\r")  # append
        terminal.wait_for("postpone")
        terminal.press(":postpone\r")
        wire.wait_until_done("APPEND")
        box.deliver(6)  # idle
        wire.wait_for("server", "EXISTS")
        terminal.wait_for("Pli 6")
    assert box.look() == {1: {"\\Flagged"}, 4: {"\\Seen"}, 6: set()}
    assert box.look("Archive") == {2: set()}
    assert box.look("Drafts").keys() == {5}
