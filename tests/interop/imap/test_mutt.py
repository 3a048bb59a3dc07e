"""mutt, on a terminal that nobody looks at: its commands come from its settings, or as keys."""

from collections.abc import Callable
from pathlib import Path

from harness.client_box import Box
from harness.imap_transcript import message
from harness.programs import Terminal

SETTINGS = """
set imap_user="{box.address}"
set imap_pass="{box.password}"
set ssl_ca_certificates_file="{box.authority}"
set certificate_file="{box.authority}"
set ssl_force_tls=yes
set folder="imaps://localhost:{box.port}"
set header_cache="{folder}/headers"
set message_cachedir="{folder}/bodies"
set confirmappend=no
set confirmcreate=no
set delete=yes
set move=no
set quit=yes
set sleep_time=0
"""


def play(mutt: str, box: Box, folder: Path, keys: str, *opened: str) -> None:
    """Start mutt, let it carry out ``keys`` and leave."""
    (folder / "muttrc").write_text(SETTINGS.format(box=box, folder=folder) + f'push "{keys}<quit>"\n')
    with Terminal(mutt, "-F", str(folder / "muttrc"), "-f", *(opened or ("=INBOX",)), cwd=folder) as terminal:
        terminal.end()


def test_mutt(require_tool: Callable[[str], str], make_account: Callable[[str], Box], tmp_path: Path) -> None:
    box, mutt = make_account("mutt"), require_tool("mutt")
    (tmp_path / "headers").mkdir()
    (tmp_path / "bodies").mkdir()
    box.deliver(1, 2, 3)
    read_all = "<first-entry><display-message><next-entry><next-entry><exit>"
    with box.wire() as wire:  # first sync
        play(mutt, box, tmp_path, read_all)
        assert len(wire.contents()) == 6, "a header and a body each"
    assert box.look() == {number: {"\\Seen"} for number in (1, 2, 3)}

    with box.wire() as wire:  # second sync with nothing to do
        play(mutt, box, tmp_path, read_all)
        assert wire.contents() == []

    play(mutt, box, tmp_path, "<first-entry><flag-message><sync-mailbox>")  # flag
    assert box.look()[1] == {"\\Seen", "\\Flagged"}

    play(mutt, box, tmp_path, "<first-entry><next-entry><save-message>=Archive<enter><sync-mailbox>")  # move
    assert box.look().keys() == {1, 3}
    assert box.look("Archive") == {2: {"\\Seen"}}

    play(mutt, box, tmp_path, "<last-entry><delete-message><sync-mailbox>")  # delete
    assert box.look() == {1: {"\\Seen", "\\Flagged"}}

    near = tmp_path / "near.mbox"  # append
    near.write_bytes(
        b"From claude4@b.localhost Mon Oct  5 10:04:00 2026\n" + message(4).replace(b"\r\n", b"\n") + b"\n"
    )
    play(mutt, box, tmp_path, "<copy-message>=Drafts<enter>", str(near))
    assert box.look("Drafts").keys() == {4}


def test_mutt_idles(
    require_tool: Callable[[str], str], make_account: Callable[[str], Box], tmp_path: Path
) -> None:
    box = make_account("muttidle")
    box.deliver(1)
    (tmp_path / "muttrc").write_text(
        SETTINGS.format(box=box, folder=tmp_path) + "set imap_idle=yes\nset timeout=1\nset mail_check=0\n"
    )
    mutt = (require_tool("mutt"), "-F", str(tmp_path / "muttrc"), "-f", "=INBOX")
    with box.wire() as wire, Terminal(*mutt, cwd=tmp_path) as terminal:
        wire.wait_for_idle()
        box.deliver(2)
        wire.wait_for("server", "2 EXISTS")
        terminal.wait_for("New mail in this mailbox")
        terminal.press("q")
        terminal.end()
