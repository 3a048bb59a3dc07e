"""Ordinary mail as an operator's provider has it: a Postfix that relays whatever it is given, and a Dovecot that holds
boxes, refuses mail for people whom it does not know, and shows a box by IMAP in TLS.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.mail_servers import OWNER, SECONDS, MailServer, Plan, free_ports, is_up, planned, running_postfix
from harness.processes import wait_for

NOTICES = "ne-pas-repondre@a.localhost"
KNOWN = "lou@ordinaire.example"
PASSWORD = 'un "secret" de boîte'
DOMAINS = ("a.localhost", "ordinaire.example")

DOVECOT = """\
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/dovecot.log
listen = 127.0.0.1
protocols = imap lmtp
ssl = required
ssl_cert = <{certificate}
ssl_key = <{key}
ssl_dh =
auth_mechanisms = plain login
auth_username_chars =
auth_failure_delay = 0
recipient_delimiter = +
lmtp_save_to_detail_mailbox = no
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:~/Maildir
protocol lmtp {{
  postmaster_address = postmaster@a.localhost
  auth_username_format = %u
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users
  override_fields = uid={uid} gid={gid} home={folder}/boxes/%u
}}
service lmtp {{
  unix_listener {folder}/lmtp {{
    mode = 0666
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    address = 127.0.0.1
    port = {port}
    ssl = yes
  }}
  chroot =
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""


@dataclass
class OrdinaryMail:
    """``imaps`` is the port of the boxes. The name that the certificate shows is localhost."""

    folder: Path
    imaps: int
    postfix: MailServer | None = None

    @property
    def relay_port(self) -> int:
        assert self.postfix is not None
        return self.postfix.door

    def words(self) -> str:
        """What both logged."""
        files = [self.folder / "dovecot.log", self.folder.parent / "log"]
        return "\n".join(path.read_text(errors="replace")[-4000:] for path in files if path.exists())

    def box(self, address: str = NOTICES) -> list[Path]:
        """The mails of a box, whatever their flags, oldest first."""
        found = (self.folder / "boxes" / address / "Maildir").glob("[cn]*/*")
        return sorted(path for path in found if path.parent.name in {"cur", "new"})

    def clear(self) -> None:
        for path in self.box():
            path.unlink()

    def put(self, octets: bytes) -> None:
        """A mail in the box of the notices, as if it had been delivered."""
        folder = self.folder / "boxes" / NOTICES / "Maildir"
        owner = pwd.getpwnam(OWNER)
        for each in (folder.parent, folder, folder / "tmp", folder / "new", folder / "cur"):
            each.mkdir(exist_ok=True)
            os.chown(each, owner.pw_uid, owner.pw_gid)
        path = folder / "new" / f"{len(self.box()):04}.{os.urandom(4).hex()}.test"
        path.write_bytes(octets)
        os.chown(path, owner.pw_uid, owner.pw_gid)

    def wait_for_mail(self, address: str = NOTICES) -> Path:
        """The first one in a box."""
        try:
            return wait_for(lambda: next(iter(self.box(address)), None), SECONDS)
        except AssertionError as error:
            raise AssertionError(self.words()) from error


@contextlib.contextmanager
def running_dovecot(plan: Plan) -> Iterator[OrdinaryMail]:
    """In the folder of ``plan``; its certificate is what the box shows."""
    folder, owner = plan.folder / "dovecot", pwd.getpwnam(OWNER)
    for each in (folder, folder / "run", folder / "boxes"):
        each.mkdir()
    shutil.chown(folder / "boxes", OWNER)
    (folder / "users").write_text("".join(f"{each}:{PASSWORD}::::::\n" for each in (NOTICES, KNOWN)))
    (port,) = free_ports(1)
    config = folder / "dovecot.conf"
    config.write_text(
        DOVECOT.format(
            folder=folder,
            certificate=plan.shown[0],
            key=plan.shown[1],
            uid=owner.pw_uid,
            gid=owner.pw_gid,
            port=port,
        )
    )
    with (folder / "start.log").open("wb") as log:
        process = subprocess.Popen(
            ("/usr/sbin/dovecot", "-F", "-c", config),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
        )
    mail = OrdinaryMail(folder, port)
    try:
        try:
            wait_for(lambda: is_up(port), SECONDS)
        except AssertionError as error:
            raise AssertionError((folder / "start.log").read_text() + mail.words()) from error
        yield mail
    finally:
        process.terminate()
        process.wait(SECONDS)


@contextlib.contextmanager
def running_ordinary_mail(shown: tuple[Path, Path], authority: Path) -> Iterator[OrdinaryMail]:
    """Both. The relay takes everything, and hands mail of the two domains to Dovecot, which knows two addresses."""
    with planned("relais.example", shown, authority, 1) as plan, running_dovecot(plan) as mail:
        lmtp = f"lmtp:unix:{mail.folder}/lmtp"
        routes = " ".join(f"{{ {domain} = {lmtp} }}" for domain in DOMAINS)
        changes = {
            "relayhost": "",
            "transport_maps": f"inline:{{ {routes} }}",
            "lmtp_tls_security_level": "none",
        }
        with running_postfix(plan, **changes) as mail.postfix:
            yield mail
