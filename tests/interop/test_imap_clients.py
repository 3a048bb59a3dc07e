"""Real clients against a running server over TLS: curl, mbsync and mutt, as Debian packages them."""

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.imap_harness import Account, RunningImap, TlsFiles, make_node, make_tls, running_imap
from harness.imap_transcript import message

SECONDS = 60


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> Iterator[RunningImap]:
    node = make_node(tmp_path_factory.mktemp("node"))
    with running_imap(node, tls) as server:
        yield server
    node.close()


def run(*command: str, cwd: Path, stdin: bytes = b"") -> bytes:
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, input=stdin, capture_output=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_on_terminal(*command: str, cwd: Path) -> None:
    """A program that wants a screen gets one that nobody looks at."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "TERM": "vt100", "LC_ALL": "C.UTF-8"}
    ours, theirs = os.openpty()
    shown = bytearray()
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        watch = threading.Timer(SECONDS, process.kill)
        watch.start()
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while octets := os.read(ours, 4096):
                shown += octets
        assert process.wait() == 0, bytes(shown)
        watch.cancel()
    os.close(ours)


@pytest.mark.parametrize("is_starttls", [False, True])
def test_curl(
    require_tool: Callable[[str], str], running: RunningImap, tls: TlsFiles, tmp_path: Path, is_starttls: bool
) -> None:
    account = running.node.add(f"curl{int(is_starttls)}")
    running.node.deliver(f"curl{int(is_starttls)}", message(1))
    port, scheme = (running.clear_port, "imap") if is_starttls else (running.tls_port, "imaps")
    common = (
        require_tool("curl"), "--silent", "--show-error", "--ssl-reqd", "--cacert", str(tls.authority_pem),
        "--user", f"{account.address}:{account.app_password}",
    )  # fmt: skip
    base = f"{scheme}://localhost:{port}"
    assert run(*common, f"{base}/INBOX;MAILINDEX=1", cwd=tmp_path) == message(1)
    draft = tmp_path / "draft.eml"
    draft.write_bytes(message(2))
    run(*common, "--upload-file", str(draft), f"{base}/Drafts", cwd=tmp_path)
    assert run(*common, f"{base}/Drafts;UID=1", cwd=tmp_path) == message(2)
    assert b"LIST (\\Drafts" in run(*common, base, cwd=tmp_path)


MBSYNC = """
IMAPStore far
Host localhost
Port {port}
User {address}
Pass {password}
SSLType IMAPS
CertificateFile {authority}

MaildirStore near
Path {folder}/mail/
Inbox {folder}/mail/INBOX
SubFolders Verbatim

Channel all
{far} :far:
{near} :near:
Patterns *
Create Both
Expunge Both
SyncState *
"""


def test_mbsync(
    require_tool: Callable[[str], str], running: RunningImap, tls: TlsFiles, tmp_path: Path
) -> None:
    """Both ways: new mail, a flag set and a message deleted on either side."""
    mbsync = require_tool("mbsync")
    account = running.node.add("mbsync")
    running.node.deliver("mbsync", *map(message, range(1, 4)))
    (tmp_path / "mail").mkdir()
    is_old = b"isync 1.3" in subprocess.run([mbsync, "--version"], capture_output=True, check=True).stdout
    words = ("Master", "Slave") if is_old else ("Far", "Near")
    settings = MBSYNC.format(
        port=running.tls_port, address=account.address, password=account.app_password,
        authority=tls.authority_pem, folder=tmp_path, far=words[0], near=words[1],
    )  # fmt: skip
    (tmp_path / "mbsyncrc").write_text(settings)
    command = (mbsync, "-c", str(tmp_path / "mbsyncrc"), "all")
    run(*command, cwd=tmp_path)
    arrived = sorted((tmp_path / "mail" / "INBOX" / "new").iterdir())
    bodies = [path.read_bytes().split(b"\n\n")[-1] for path in arrived]
    assert sorted(bodies) == [b"Ligne 1\n", b"Ligne 2\n", b"Ligne 3\n"]
    seen = tmp_path / "mail" / "INBOX" / "cur" / f"{arrived[0].name.split(':')[0]}:2,S"
    arrived[0].rename(seen)
    arrived[1].unlink()
    run(*command, cwd=tmp_path)
    opened = running.node.open("mbsync")
    services = running.node.services
    inbox = services.mailboxes.load_mailbox(opened, "INBOX")
    assert (inbox.row.exists_count, inbox.row.unseen_count) == (2, 1)
    running.node.deliver("mbsync", message(4))
    run(*command, cwd=tmp_path)
    assert len([*(tmp_path / "mail" / "INBOX").glob("[nc]*/*")]) == 3


def test_mutt(
    require_tool: Callable[[str], str], running: RunningImap, tls: TlsFiles, tmp_path: Path
) -> None:
    """Opens INBOX, copies a message to Archive, deletes it, and leaves."""
    account = running.node.add("mutt")
    running.node.deliver("mutt", message(1), message(2))
    (tmp_path / "muttrc").write_text(mutt_settings(account, running.tls_port, tls.authority_pem))
    command = (require_tool("mutt"), "-F", str(tmp_path / "muttrc"), "-f", "imaps://localhost:%d/INBOX")
    run_on_terminal(*command[:-1], command[-1] % running.tls_port, cwd=tmp_path)
    opened = running.node.open("mutt")
    mailboxes = running.node.services.mailboxes
    assert mailboxes.load_mailbox(opened, "Archive").row.exists_count == 1
    assert mailboxes.load_mailbox(opened, "INBOX").row.exists_count == 1


def mutt_settings(account: Account, port: int, authority: Path) -> str:
    return f"""
set imap_user="{account.address}"
set imap_pass="{account.app_password}"
set ssl_ca_certificates_file="{authority}"
set certificate_file="{authority}"
set ssl_force_tls=yes
set folder="imaps://localhost:{port}"
set confirmappend=no
set confirmcreate=no
set delete=yes
set move=no
set quit=yes
push "<save-message>=Archive<enter><sync-mailbox><quit>"
"""
