"""SASL EXTERNAL for application boxes, by IMAP and submission: who is asked, who gets in, and who is not disturbed."""

import base64
import ssl
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.imap_harness import HOST, RunningImap, TlsFiles, make_node, make_tls, running_imap
from harness.imap_transcript import Client, message
from harness.smtp_harness import Wire, log_lines

from mailserver.audit.events import EventKind
from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning, Variant
from mailserver.crypto.custodian import JOURNAL_NAME
from mailserver.crypto.custodian_logins import LoginKind
from mailserver.crypto.x509 import certificate_facts, der_from_pem
from mailserver.model.account import AccountKind
from mailserver.model.address import DomainName, parse_address
from mailserver.model.errors import Denied
from mailserver.service.throttle import Throttle
from mailserver.smtp.server import Role, SmtpServer, SmtpServices
from mailserver.tls.contexts import ClientAuthority, client_facing_context
from mailserver.tls.reloading import ReloadingContext

REFUSED = "NO [AUTHENTICATIONFAILED] Connexion refusee : ce certificat n'ouvre pas cette boite"
OFFERED = "AUTH=PLAIN AUTH=EXTERNAL]"


@dataclass
class Certificates:
    """Two authorities, and clients with a certificate of one of them, or none."""

    folder: Path
    authority: DemoAuthority
    stranger: DemoAuthority
    tls: TlsFiles

    def client(
        self, host: str = "", variant: Variant = Variant.CLIENT_ONLY, *, is_foreign: bool = False
    ) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.tls.authority_pem))
        if host:
            path = self.path_of(host, variant, is_foreign=is_foreign)
            context.load_cert_chain(path)
        return context

    def path_of(self, host: str, variant: Variant = Variant.CLIENT_ONLY, *, is_foreign: bool = False) -> Path:
        """PEM: key and certificate of one name, the same at each call."""
        path = self.folder / f"{host}-{variant.value}-{is_foreign}.pem"
        if not path.exists():
            issuer = self.stranger if is_foreign else self.authority
            made = issuer.issue_operator(
                "app.example", [host], "LABO FICTIF", now=datetime.now(UTC), variant=variant
            )
            path.write_bytes(made.key_pem + made.cert_pem)
        return path

    def fingerprint(self, host: str, variant: Variant = Variant.CLIENT_ONLY) -> str:
        pem = self.path_of(host, variant).read_bytes()
        return certificate_facts(der_from_pem(pem[pem.index(b"-----BEGIN CERT") :])).fingerprint_sha256


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    tls = make_tls(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DemoAuthorityWarning)
        authority = DemoAuthority.open(folder / "authority")
        stranger = DemoAuthority.create(
            folder / "stranger", datetime.now(UTC), name="AC ETRANGERE", key_bits=2048
        )
    paths = (folder / "imap.pem", folder / "imap.key", authority.certificate_path, authority.crl_path)
    clients = ClientAuthority(paths[2], paths[3])
    server = ReloadingContext(paths, lambda: client_facing_context(*paths[:2], clients))
    return Certificates(folder, authority, stranger, replace(tls, server=server))


@pytest.fixture
def running(tmp_path: Path, certificates: Certificates) -> Iterator[RunningImap]:
    node = make_node(tmp_path / "node")
    node.add("robot", kind=AccountKind.APP, has_password=True)
    node.add("labo", kind=AccountKind.APP)
    node.add("ann")
    bind(node, "robot", certificates.fingerprint("robot.example"))
    with running_imap(node, certificates.tls) as server:
        yield server
    node.close()
    node.custodian.close()


def bind(node, name: str, fingerprint: str) -> None:
    address = parse_address(node.accounts[name].address)
    node.bindings.bind(address, LoginKind.CERTIFICATE, fingerprint, datetime.now(UTC))


@pytest.fixture
def dial(running: RunningImap) -> Iterator[Callable[[ssl.SSLContext], Client]]:
    clients: list[Client] = []

    def call(context: ssl.SSLContext) -> Client:
        clients.append(Client(running.tls_port, context))
        return clients[-1]

    yield call
    for client in clients:
        client.close()


def ask(client: Client, line: str) -> list[str]:
    client.send(line.encode() + b"\r\n")
    return client.until_tagged(line.split(maxsplit=1)[0])


def named(login: str) -> str:
    return base64.b64encode(login.encode()).decode() or "="


def test_a_box_opens_by_its_certificate(running: RunningImap, certificates: Certificates, dial) -> None:
    running.node.deliver("robot", message(1))
    for login in ("", "robot@a.localhost"):
        client = dial(certificates.client("robot.example"))
        assert client.line().endswith(f"{OFFERED} Pli ready")
        assert ask(client, f"a AUTHENTICATE EXTERNAL {named(login)}")[-1].startswith("a OK ")
        assert "* 1 EXISTS" in ask(client, "s SELECT INBOX")
        assert any("Ligne 1" in line for line in ask(client, "f FETCH 1 BODY.PEEK[]"))
    journal = (running.node.keys_folder / JOURNAL_NAME).read_text()
    assert journal.count("on the word of the mail process") == 2
    assert "robot@" not in journal
    (event,) = [each for each in running.node.read_log("robot") if each.kind is EventKind.LOGIN]
    assert [value for _name, value in event.what.parameters] == ["by-certificate"]


def test_without_an_initial_response_and_after_starttls(
    running: RunningImap, certificates: Certificates
) -> None:
    client = Client(running.clear_port, None)
    client.line()
    ask(client, "s STARTTLS")
    client.start_tls(certificates.client("robot.example"))
    assert any("AUTH=EXTERNAL" in line for line in ask(client, "c CAPABILITY"))
    client.send(b"a AUTHENTICATE EXTERNAL\r\n")
    assert client.line() == "+ "
    client.send(b"\r\n")
    assert client.line().startswith("a OK ")
    ask(client, "u UNAUTHENTICATE")
    assert ask(client, "b AUTHENTICATE EXTERNAL =")[-1].startswith("b OK "), "TLS stays (RFC 8437 §3)"
    client.close()


def test_a_client_without_a_certificate_notices_nothing(
    running: RunningImap, certificates: Certificates, dial
) -> None:
    client, ann = dial(certificates.client()), running.node.accounts["ann"]
    assert "EXTERNAL" not in client.line()
    assert ask(client, "a AUTHENTICATE EXTERNAL =") == ["a NO Use AUTHENTICATE PLAIN or LOGIN"]
    assert ask(client, f"b LOGIN {ann.address} {ann.app_password}")[-1].startswith("b OK ")


def test_a_person_may_show_one_and_use_a_password(
    running: RunningImap, certificates: Certificates, dial
) -> None:
    client, ann = dial(certificates.client("ann.example")), running.node.accounts["ann"]
    assert client.line().endswith(f"{OFFERED} Pli ready")
    assert ask(client, f"b LOGIN {ann.address} {ann.app_password}")[-1].startswith("b OK ")


def test_the_others_are_told_one_thing(
    running: RunningImap, certificates: Certificates, dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Throttle, "delay_seconds", lambda *_names: 0.0)
    node = running.node
    bind(node, "labo", certificates.fingerprint("labo.example"))
    bind(node, "robot", certificates.fingerprint("labo.example"))
    node.administration.disable_account(parse_address(node.accounts["labo"].address), datetime.now(UTC))
    tries = [
        ("robot.example", "labo@a.localhost"),
        ("robot.example", "ann@a.localhost"),
        ("robot.example", "nobody@a.localhost"),
        ("stranger.example", ""),
        ("stranger.example", "robot@a.localhost"),
        ("labo.example", ""),  # two boxes, and none is named
        ("labo.example", "labo@a.localhost"),  # disabled
    ]
    said = set()
    with log_lines() as log:
        for host, login in tries:
            client = dial(certificates.client(host))
            client.line()
            said.add(ask(client, f"a AUTHENTICATE EXTERNAL {named(login)}")[-1])
        client = dial(
            certificates.client("robot.example", Variant.SOUND)
        )  # another certificate of the same name
        client.line()
        said.add(ask(client, "a AUTHENTICATE EXTERNAL =")[-1])
    (only,) = said
    assert only.startswith(f"a {REFUSED}")
    assert "a.localhost" not in log.text
    client = dial(certificates.client("labo.example"))  # several boxes: the name chooses
    client.line()
    assert ask(client, f"a AUTHENTICATE EXTERNAL {named('robot@a.localhost')}")[-1].startswith("a OK ")


def test_what_cannot_be_read(certificates: Certificates, dial) -> None:
    client = dial(certificates.client("robot.example"))
    client.line()
    answer = "BAD The EXTERNAL response cannot be understood"
    assert ask(client, "a AUTHENTICATE EXTERNAL AAAA") == [f"a {answer}"]


@pytest.mark.parametrize(
    ("variant", "is_foreign"),
    [
        (Variant.SOUND, True),
        (Variant.EXPIRED, False),
        (Variant.NOT_YET_VALID, False),
        (Variant.SERVER_ONLY, False),
    ],
)
def test_a_bad_certificate_fails_the_handshake(
    running: RunningImap, certificates: Certificates, dial, variant: Variant, is_foreign: bool
) -> None:
    """In TLS 1.3 after the client believes that it succeeded (S2): it reads an alert or the end, never a greeting."""
    client = dial(certificates.client("bad.example", variant, is_foreign=is_foreign))
    with pytest.raises((ssl.SSLError, AssertionError)):
        assert client.line() is not None
    assert dial(certificates.client()).line().startswith("* OK"), "the others go on"


def test_the_operator_reads_why(running: RunningImap, certificates: Certificates, dial) -> None:
    with log_lines() as log:
        for _each in range(3):
            client = dial(certificates.client("bad.example", is_foreign=True))
            with pytest.raises((ssl.SSLError, AssertionError)):
                assert client.line() is not None
        dial(certificates.client()).line()  # by then the server has told
    lines = [line for line in log.lines if "certificate was refused" in line]
    assert len(lines) == 1
    assert '"foreign"' in lines[0]


def test_revoked_counts_for_the_next_handshake(
    running: RunningImap, certificates: Certificates, dial
) -> None:
    bind(running.node, "robot", certificates.fingerprint("revoked.example"))
    client = dial(certificates.client("revoked.example"))
    client.line()
    assert ask(client, "a AUTHENTICATE EXTERNAL =")[-1].startswith("a OK ")
    pem = certificates.path_of("revoked.example").read_bytes()
    certificates.authority.revoke(pem[pem.index(b"-----BEGIN CERT") :], datetime.now(UTC))
    client = dial(certificates.client("revoked.example"))
    with pytest.raises((ssl.SSLError, AssertionError)):
        assert client.line() is not None
    client = dial(certificates.client())
    assert client.line().startswith("* OK")


def test_removed_means_gone(running: RunningImap, certificates: Certificates, dial) -> None:
    node, fingerprint = running.node, certificates.fingerprint("robot.example")
    client = dial(certificates.client("robot.example"))
    client.line()
    assert ask(client, "a AUTHENTICATE EXTERNAL =")[-1].startswith("a OK ")
    node.bindings.unbind(
        parse_address("robot@a.localhost"), LoginKind.CERTIFICATE, fingerprint, datetime.now(UTC)
    )
    running.poll_revocations()
    assert client.line() == "* BYE The access was withdrawn"
    client = dial(certificates.client("robot.example"))
    client.line()
    assert ask(client, "a AUTHENTICATE EXTERNAL =")[-1].startswith(f"a {REFUSED}")


def test_only_application_boxes_are_bound(running: RunningImap, certificates: Certificates) -> None:
    for kind in (LoginKind.CERTIFICATE, LoginKind.CERTIFICATE_NAME):
        with pytest.raises(Denied) as caught:
            running.node.bindings.bind(parse_address("ann@a.localhost"), kind, "x", datetime.now(UTC))
        assert caught.value.code == "login-kind"


# --- submission ------------------------------------------------------------------------------------------------------


@pytest.fixture
def submission(running: RunningImap, certificates: Certificates) -> Iterator[SmtpServer]:
    """The submission ports of the same node; nothing is sent here, so what files mail is not needed."""
    services, none = running.node.services, Desk()
    smtp = SmtpServices(
        none,
        none,
        services.keys,
        services.logins,
        services.wakeups,
        services.throttle,
        "mail.a.localhost",
        DomainName("a.localhost"),
    )  # type: ignore[arg-type]
    server = SmtpServer(smtp, running.server._pool, Role.SUBMISSION)

    async def listen() -> None:
        await server.listen(HOST, 0, tls=certificates.tls.server)
        await server.listen(HOST, 0, starttls=certificates.tls.server)

    running.on_loop(listen())
    yield server
    running.on_loop(server.stop(0.2))


class Desk:
    waits = False
    limit_bytes = 1000
    recipient_limit = 10


def submit(port: int, context: ssl.SSLContext, *, is_tls: bool) -> Wire:
    context.check_hostname = False
    wire = Wire(port, context if is_tls else None)
    if not is_tls:
        wire.ask(b"EHLO robot")
        wire.start_tls(context)
    return wire


@pytest.mark.parametrize("is_tls", [True, False])
def test_submission(submission: SmtpServer, certificates: Certificates, is_tls: bool) -> None:
    port = submission.ports[0 if is_tls else 1]
    for line, code in (
        (b"AUTH EXTERNAL =", b"235"),
        (b"AUTH EXTERNAL " + named("robot@a.localhost").encode(), b"235"),
        (b"AUTH EXTERNAL " + named("labo@a.localhost").encode(), b"535"),
        (b"AUTH EXTERNAL AAAA", b"501"),
    ):
        wire = submit(port, certificates.client("robot.example"), is_tls=is_tls)
        assert b"AUTH PLAIN LOGIN EXTERNAL\r\n" in wire.ask(b"EHLO robot")
        assert wire.ask(line)[:3] == code
        wire.close()
    wire = submit(port, certificates.client("robot.example"), is_tls=is_tls)
    wire.ask(b"EHLO robot")
    assert wire.ask(b"AUTH EXTERNAL") == b"334 \r\n"
    assert wire.ask(b"")[:3] == b"235"
    wire.close()
    wire = submit(port, certificates.client(), is_tls=is_tls)
    assert b"AUTH PLAIN LOGIN\r\n" in wire.ask(b"EHLO robot")
    assert wire.ask(b"AUTH EXTERNAL =")[:3] == b"504"
    wire.close()
