"""mbsync and offlineimap3: an account and a tree of Maildir folders, kept alike in both ways.

mbsync asks and leaves; offlineimap3 can stay and wait for news.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from harness.client_box import Box
from harness.maildir import MaildirTree
from harness.programs import Terminal, run

MBSYNC = """
IMAPStore far
Host localhost
Port {box.port}
User {box.address}
Pass {box.password}
SSLType IMAPS
CertificateFile {box.authority}
Trash Trash

MaildirStore near
Path {folder}/mail/
Inbox {folder}/mail/INBOX
SubFolders Verbatim

Channel all
{words[0]} :far:
{words[1]} :near:
Patterns *
Create Both
Expunge Both
SyncState *
"""
OFFLINEIMAP = """
[general]
accounts = all
metadata = {folder}/state
ui = basic
fsync = no

[Account all]
localrepository = near
remoterepository = far
{more_of_account}

[Repository near]
type = Maildir
localfolders = {folder}/mail

[Repository far]
type = IMAP
remotehost = localhost
remoteport = {box.port}
remoteuser = {box.address}
remotepass = {box.password}
ssl = yes
sslcacertfile = {box.authority}
{more_of_far}
"""


def set_up_mbsync(mbsync: str, box: Box, folder: Path) -> tuple[str, ...]:
    is_old = b"isync 1.3" in run(mbsync, "--version", cwd=folder)
    words = ("Master", "Slave") if is_old else ("Far", "Near")
    (folder / "mail").mkdir()
    (folder / "mbsyncrc").write_text(MBSYNC.format(box=box, folder=folder, words=words))
    return (mbsync, "-c", str(folder / "mbsyncrc"), "all")


def set_up_offlineimap(
    offlineimap: str, box: Box, folder: Path, more_of_account: str = "", more_of_far: str = ""
) -> tuple[str, ...]:
    settings = OFFLINEIMAP.format(
        box=box, folder=folder, more_of_account=more_of_account, more_of_far=more_of_far
    )
    (folder / "offlineimaprc").write_text(settings)
    return (offlineimap, "-c", str(folder / "offlineimaprc"))


SET_UPS: dict[str, Callable[[str, Box, Path], tuple[str, ...]]] = {
    "mbsync": set_up_mbsync,
    "offlineimap": set_up_offlineimap,
}


@pytest.mark.parametrize("tool", SET_UPS)
def test_both_sides_are_kept_alike(
    tool: str, require_tool: Callable[[str], str], make_account: Callable[[str], Box], tmp_path: Path
) -> None:
    box = make_account(tool)
    command = SET_UPS[tool](require_tool(tool), box, tmp_path)
    near = MaildirTree(tmp_path / "mail")
    box.deliver(1, 2, 3, 4)

    with box.wire() as wire:  # first sync
        run(*command, cwd=tmp_path)
        assert len(wire.contents()) >= 4
    assert near.look() == {number: set() for number in (1, 2, 3, 4)}
    assert {path.name for path in (tmp_path / "mail").iterdir()} >= {"INBOX", "Archive", "Drafts", "Sent"}

    with box.wire() as wire:  # second sync with nothing to do
        run(*command, cwd=tmp_path)
        assert wire.said_by("client", "SELECT")
        assert wire.contents() == []
        assert wire.said_by("client", r"STORE|APPEND|COPY|MOVE|EXPUNGE") == []

    near.mark("INBOX", 1, "FS")  # flag
    near.move(2, "INBOX", "Archive")  # move
    near.delete("INBOX", 3)  # delete
    near.add("Drafts", 5)  # append
    run(*command, cwd=tmp_path)
    assert box.look() == {1: {"\\Seen", "\\Flagged"}, 4: set()}
    assert box.look("Archive") == {2: set()}
    assert box.look("Drafts") == {5: set()}

    box.deliver(6)  # and the other way
    with box.other_client("INBOX") as client:
        client.store("1", "-FLAGS", "\\Seen")
        client.store("2", "+FLAGS", "\\Deleted")
        client.expunge()
    with box.wire() as wire:
        run(*command, cwd=tmp_path)
        assert len(wire.contents()) == 1
    assert near.look() == box.look() == {1: {"\\Flagged"}, 6: set()}
    assert near.look("Archive") == {2: set()}

    with box.wire() as wire:
        run(*command, cwd=tmp_path)
        assert wire.contents() == []


def test_offlineimap_idles(
    require_tool: Callable[[str], str], make_account: Callable[[str], Box], tmp_path: Path
) -> None:
    box = make_account("offlineimapidle")
    box.deliver(1)
    command = set_up_offlineimap(
        require_tool("offlineimap"),
        box,
        tmp_path,
        more_of_account="autorefresh = 10",
        more_of_far="holdconnectionopen = yes\nidlefolders = ['INBOX']",
    )
    near = MaildirTree(tmp_path / "mail")
    with box.wire() as wire, Terminal(*command, cwd=tmp_path) as terminal:
        wire.wait_for_idle()
        box.deliver(2)
        wire.wait_for("server", "2 EXISTS")
        terminal.wait_for("Copy message UID 2")
        wire.wait_for("client", "IDLE")
        assert near.look() == {1: set(), 2: set()}
