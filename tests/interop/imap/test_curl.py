"""curl, which speaks IMAP one request at a time and then leaves: there is nothing for it to wait for in IDLE."""

from collections.abc import Callable
from pathlib import Path

import pytest
from harness.client_box import Box
from harness.imap_transcript import message
from harness.programs import run


@pytest.mark.parametrize("is_starttls", [False, True])
def test_curl(
    require_tool: Callable[[str], str], make_account: Callable[[str], Box], tmp_path: Path, is_starttls: bool
) -> None:
    box = make_account(f"curl{int(is_starttls)}")
    port, scheme = (box.running.clear_port, "imap") if is_starttls else (box.port, "imaps")
    curl = (
        require_tool("curl"), "--silent", "--show-error", "--ssl-reqd", "--cacert", box.authority,
        "--user", f"{box.address}:{box.password}",
    )  # fmt: skip
    base = f"{scheme}://localhost:{port}"

    def ask(path: str, *words: str) -> bytes:
        return run(*curl, f"{base}/{path}", *words, cwd=tmp_path)

    box.deliver(1, 2)
    assert b"LIST (\\Drafts" in ask("")
    with box.wire() as wire:  # first sync
        assert ask("INBOX?UNSEEN").split() == [b"*", b"SEARCH", b"1", b"2"]
        assert ask("INBOX;UID=1") == message(1)  # curl reads without PEEK: the message is seen then
        assert ask("INBOX;MAILINDEX=2") == message(2)
        assert len(wire.contents()) == 2
    with box.wire() as wire:  # second sync with nothing to do
        assert ask("INBOX?UNSEEN").split() == [b"*", b"SEARCH"]
        assert wire.contents() == []
    ask("INBOX", "--request", "UID STORE 1 +FLAGS.SILENT (\\Flagged)")  # flag
    assert box.look() == {1: {"\\Seen", "\\Flagged"}, 2: {"\\Seen"}}
    ask("INBOX", "--request", "UID MOVE 1 Archive")  # move
    assert (box.look(), box.look("Archive")) == ({2: {"\\Seen"}}, {1: {"\\Seen", "\\Flagged"}})
    ask("INBOX", "--request", "STORE 1 +FLAGS (\\Deleted)")  # delete
    ask("INBOX", "--request", "EXPUNGE")
    assert box.look() == {}
    (tmp_path / "draft.eml").write_bytes(message(3))  # append
    ask("Drafts", "--upload-file", "draft.eml")
    assert ask("Drafts;UID=1") == message(3)
