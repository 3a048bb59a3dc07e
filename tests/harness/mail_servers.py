"""Postfix and Exim as operators: mutual TLS both ways on 127.0.0.1, a mailbox for all that they accept, and a door by
which a test hands mail in. Each lies in a folder of its own and ends with the test.
"""

import contextlib
import os
import pwd
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.processes import wait_for

ROOT = Path(__file__).parents[2]
EXIM = ROOT / ".work" / "debian" / "exim4" / "usr" / "sbin" / "exim4"
OWNER = "mail"
"""A system account of every Debian: owns the mailbox."""
SECONDS = 30
Files = tuple[Path, Path]
"""Certificate and key."""


@dataclass(frozen=True)
class Plan:
    """``shown``: certificate and key; ``authority``: whom it trusts; ``next_port``: where mail for others goes."""

    folder: Path
    domain: str
    shown: Files
    authority: Path
    next_port: int
    port: int
    door: int


class MailServer:
    """A running server of ``domain``. Mail is handed in by ``send`` and found in ``inbox``."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.port = plan.port
        self.door = plan.door
        self.mail = plan.folder / "mail"
        self.log = plan.folder / "log"

    def send(self, sender: str, recipient: str, octets: bytes) -> None:
        with smtplib.SMTP("127.0.0.1", self._plan.door, "poste.localhost", timeout=SECONDS) as client:
            client.ehlo()
            assert client.sendmail(sender, [recipient], octets, ["BODY=8BITMIME"]) == {}

    def inbox(self) -> list[bytes]:
        """What was delivered, oldest first, with the line ends of the file."""
        found = sorted((self.mail / "new").glob("*"), key=lambda path: path.stat().st_mtime_ns)
        return [path.read_bytes() for path in found]

    def wait_for_mail(self, words: bytes) -> bytes:
        """The first one that holds these words."""
        try:
            return wait_for(lambda: next((each for each in self.inbox() if words in each), None), SECONDS)
        except AssertionError as error:
            raise AssertionError(self.words()) from error

    def wait_for_words(self, words: str) -> None:
        """Until its log holds them."""
        wait_for(lambda: True if words in self.words() else None, SECONDS)

    def words(self) -> str:
        """What it logged."""
        files = [self.log] if self.log.is_file() else sorted(self.log.glob("*"))
        return "\n".join(path.read_text(errors="replace") for path in files)[-4000:]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listened on a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def planned(domain: str, shown: Files, authority: Path, next_port: int) -> Iterator[Plan]:
    """A folder that other accounts can look into, with copies of the certificates."""
    port, door = free_ports(2)
    owner = pwd.getpwnam(OWNER)
    with tempfile.TemporaryDirectory(prefix="pli-mail-server-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        copies = folder / "cert.pem", folder / "key.pem"
        for source, copy in zip(shown, copies, strict=True):
            shutil.copy(source, copy)
        copies[1].chmod(0o600)
        shutil.copy(authority, folder / "ca.pem")
        for path in (copies[1], folder / "ca.pem", copies[0]):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        (folder / "ca.pem").chmod(0o644)
        copies[0].chmod(0o644)
        (folder / "mail").mkdir()
        os.chown(folder / "mail", owner.pw_uid, owner.pw_gid)
        yield Plan(folder, domain, copies, folder / "ca.pem", next_port, port, door)


def is_up(port: int) -> bool | None:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return None


def end(pid: int) -> None:
    """SIGTERM, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: None if Path(f"/proc/{pid}").exists() else True, SECONDS)


POSTFIX_SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd
127.0.0.1:{door} inet n - n - - smtpd -o smtpd_tls_security_level=none -o smtpd_tls_req_ccert=no
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
lmtp      unix  -       -       n       -       -       lmtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
virtual   unix  -       n       n       -       -       virtual
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
"""


@contextlib.contextmanager
def running_postfix(plan: Plan, **changes: object) -> Iterator[MailServer]:
    """``changes`` are settings of main.cf in place of those of an operator of the trust space."""
    folder, owner = plan.folder, pwd.getpwnam(OWNER)
    etc, spool, data = folder / "etc", folder / "spool", folder / "data"
    for each in (etc, spool, data):
        each.mkdir()
    shutil.chown(data, "postfix")
    settings = {
        "compatibility_level": "3.6",
        "queue_directory": spool,
        "data_directory": data,
        "command_directory": "/usr/sbin",
        "daemon_directory": "/usr/lib/postfix/sbin",
        "mail_owner": "postfix",
        "setgid_group": "postdrop",
        "multi_instance_enable": "yes",
        "multi_instance_name": "postfix-peer",
        "myhostname": f"mx.{plan.domain}",
        "mydestination": "",
        "mynetworks": "127.0.0.0/8",
        "inet_interfaces": "127.0.0.1",
        "inet_protocols": "ipv4",
        "alias_maps": "",
        "local_recipient_maps": "",
        "virtual_mailbox_domains": plan.domain,
        "virtual_mailbox_base": folder,
        "virtual_mailbox_maps": "static:mail/",
        "virtual_uid_maps": f"static:{owner.pw_uid}",
        "virtual_gid_maps": f"static:{owner.pw_gid}",
        "virtual_minimum_uid": "1",
        "virtual_transport": "virtual",
        "relayhost": f"[127.0.0.1]:{plan.next_port}",
        "smtp_tls_security_level": "verify",
        "smtp_tls_verify_cert_match": "a.localhost",
        "smtp_tls_CAfile": plan.authority,
        "smtp_tls_chain_files": f"{plan.shown[1]}, {plan.shown[0]}",
        "smtpd_tls_security_level": "encrypt",
        "smtpd_tls_req_ccert": "yes",
        "smtpd_tls_CAfile": plan.authority,
        "smtpd_tls_chain_files": f"{plan.shown[1]}, {plan.shown[0]}",
        "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
        "maillog_file": folder / "log",
        "maillog_file_prefixes": f"{folder}, /var",
    } | changes
    (etc / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
    (etc / "master.cf").write_text(POSTFIX_SERVICES.format(port=plan.port, door=plan.door))
    with (folder / "start.log").open("wb") as log:
        subprocess.run(
            ("/usr/sbin/postfix", "-c", etc, "start"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
        )
    try:
        wait_for(lambda: is_up(plan.port), SECONDS)
        yield MailServer(plan)
    finally:
        end(int((spool / "pid" / "master.pid").read_text()))


EXIM_CONFIG = """\
keep_environment = LD_PRELOAD : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP
exim_path = {program}
primary_hostname = mx.{domain}
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/exim.pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port} : {door}
deliver_drop_privilege
host_lookup =
rfc1413_hosts =
tls_advertise_hosts = *
tls_certificate = {certificate}
tls_privatekey = {key}
tls_verify_certificates = {authority}
tls_verify_hosts = ${{if eq{{$received_port}}{{{port}}}{{*}}}}
acl_smtp_rcpt = accept_rcpt

begin acl
accept_rcpt:
  deny
    condition = ${{if eq{{$received_port}}{{{port}}}}}
    !encrypted = *
  accept

begin routers
here:
  driver = accept
  domains = {domain}
  transport = box
out:
  driver = manualroute
  route_list = * 127.0.0.1::{next_port}
  self = send
  transport = to_operators

begin transports
box:
  driver = appendfile
  directory = {folder}/mail
  maildir_format
to_operators:
  driver = smtp
  hosts_require_tls = *
  tls_certificate = {certificate}
  tls_privatekey = {key}
  tls_verify_certificates = {authority}
  tls_verify_hosts = *
  tls_verify_cert_hostnames = :

begin retry
* * F,1h,1m
"""


@contextlib.contextmanager
def running_exim(plan: Plan) -> Iterator[MailServer]:
    """Unpacked, not installed: the account that it was built for is made up for its own processes."""
    folder, owner = plan.folder, pwd.getpwnam(OWNER)
    for name in ("spool", "log"):
        (folder / name).mkdir()
        shutil.chown(folder / name, OWNER)
    certificate, key = plan.shown
    config = folder / "exim.conf"
    config.write_text(
        EXIM_CONFIG.format(
            program=EXIM,
            domain=plan.domain,
            folder=folder,
            port=plan.port,
            door=plan.door,
            next_port=plan.next_port,
            certificate=certificate,
            key=key,
            authority=plan.authority,
        )
    )
    users, groups = folder / "passwd", folder / "group"
    users.write_text(
        f"Debian-exim:x:{owner.pw_uid}:{owner.pw_gid}::/:/bin/false\n" + Path("/etc/passwd").read_text()
    )
    groups.write_text(f"Debian-exim:x:{owner.pw_gid}:\n" + Path("/etc/group").read_text())
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LD_PRELOAD": "libnss_wrapper.so",
        "NSS_WRAPPER_PASSWD": str(users),
        "NSS_WRAPPER_GROUP": str(groups),
    }
    with (folder / "start.log").open("wb") as log:
        process = subprocess.Popen(
            (EXIM, "-C", config, "-bdf"),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
        )
    try:
        wait_for(lambda: is_up(plan.port), SECONDS)
        yield MailServer(plan)
    finally:
        process.terminate()
        process.wait(SECONDS)
