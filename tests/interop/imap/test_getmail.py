"""getmail6: fetches mail, leaves it, marks it, moves it or deletes it on the server, and waits for more. It puts nothing there.

Its own Maildir delivery refuses to run as root, so a shell writes the files.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from harness.client_box import Box
from harness.maildir import MaildirTree
from harness.programs import Terminal, run

SETTINGS = """
[retriever]
type = SimpleIMAPSSLRetriever
server = localhost
port = {box.port}
username = {box.address}
password = {box.password}
ca_certs = {box.authority}
{more_of_retriever}

[destination]
type = MDA_external
path = {shell}
arguments = ("-c", "cat > {folder}/mail/INBOX/new/$$.localhost")
allow_root_commands = true

[options]
read_all = false
delivered_to = false
received = false
{more_of_options}
"""


def set_up(
    getmail: str, box: Box, folder: Path, more_of_retriever: str = "", more_of_options: str = ""
) -> tuple[str, ...]:
    for part in ("new", "cur", "tmp"):
        (folder / "mail" / "INBOX" / part).mkdir(parents=True, exist_ok=True)
    settings = SETTINGS.format(
        box=box,
        folder=folder,
        shell=shutil.which("sh"),
        more_of_retriever=more_of_retriever,
        more_of_options=more_of_options,
    )
    (folder / "getmailrc").write_text(settings)
    (folder / "getmailrc").chmod(0o600)
    return (getmail, "--getmaildir", str(folder), "--rcfile", "getmailrc")


def test_getmail(
    require_tool: Callable[[str], str], make_account: Callable[[str], Box], tmp_path: Path
) -> None:
    box, getmail = make_account("getmail"), require_tool("getmail")
    near = MaildirTree(tmp_path / "mail")
    box.deliver(1, 2)
    command = set_up(getmail, box, tmp_path)
    with box.wire() as wire:  # first sync
        run(*command, cwd=tmp_path)
        assert len(wire.contents()) == 2
    assert near.look().keys() == {1, 2}
    assert box.look() == {1: set(), 2: set()}

    with box.wire() as wire:  # second sync with nothing to do
        run(*command, cwd=tmp_path)
        assert wire.contents() == []
    assert near.look().keys() == {1, 2}

    box.deliver(3)  # flag
    command = set_up(
        getmail, box, tmp_path, "imap_on_delete = (\\Seen)\nimap_search = UNSEEN", "delete = true"
    )
    run(*command, cwd=tmp_path)
    assert box.look() == {number: {"\\Seen"} for number in (1, 2, 3)}

    box.deliver(4)  # move
    command = set_up(
        getmail, box, tmp_path, "move_on_delete = Archive\nimap_search = UNSEEN", "delete = true"
    )
    run(*command, cwd=tmp_path)
    assert box.look("Archive") == {4: set()}

    command = set_up(getmail, box, tmp_path, "", "delete = true")  # delete
    run(*command, cwd=tmp_path)
    assert box.look() == {}
    assert near.look().keys() == {1, 2, 3, 4}


def test_getmail_idles(
    require_tool: Callable[[str], str], make_account: Callable[[str], Box], tmp_path: Path
) -> None:
    box = make_account("getmailidle")
    box.deliver(1)
    command = set_up(require_tool("getmail"), box, tmp_path)
    near = MaildirTree(tmp_path / "mail")
    with box.wire() as wire, Terminal(*command, "--idle", "INBOX", cwd=tmp_path) as terminal:
        wire.wait_for_idle()
        box.deliver(2)
        wire.wait_for("server", "2 EXISTS")
        terminal.wait_for("msg 2/2 (159 bytes) delivered")
        wire.wait_for("client", "IDLE")
        assert near.look().keys() == {1, 2}
