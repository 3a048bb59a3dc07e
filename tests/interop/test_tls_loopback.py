"""Handshakes over the loopback interface: between our own contexts, and with OpenSSL's s_client as the peer."""

import contextlib
import socket
import ssl
import subprocess
import threading
from datetime import UTC, datetime

import pytest

from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning, Variant
from mailserver.crypto.x509 import certificate_facts
from mailserver.policy.decision import Reason
from mailserver.policy.mail_rules import PeerFacts, decide_peer
from mailserver.tls.contexts import (
    PeerFiles,
    PeerProfile,
    client_facing_context,
    peer_client_context,
    peer_server_context,
)
from mailserver.tls.failures import HandshakeFailures
from mailserver.tls.faults import HandshakeFault

TIMEOUT = 10


@pytest.fixture(scope="module")
def now():
    return datetime.now(UTC)  # OpenSSL judges certificates by the machine's clock


@pytest.fixture(scope="module")
def authority(tmp_path_factory, now):
    with pytest.warns(DemoAuthorityWarning):
        return DemoAuthority.create(tmp_path_factory.mktemp("ca"), now, key_bits=2048)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory, now):
    with pytest.warns(DemoAuthorityWarning):
        return DemoAuthority.create(tmp_path_factory.mktemp("other"), now, key_bits=2048)


@pytest.fixture(scope="module")
def files_of(tmp_path_factory, authority, now):
    """Certificate files of one operator; the authority trusted is always the same."""

    def write(issuer=authority, variant=Variant.SOUND):
        folder = tmp_path_factory.mktemp("operator")
        issued = issuer.issue_operator("mx.demo.example", ["127.0.0.1"], "A", now=now, variant=variant)
        (folder / "key.pem").write_bytes(issued.key_pem)
        (folder / "cert.pem").write_bytes(issued.cert_pem)
        return PeerFiles(folder / "cert.pem", folder / "key.pem", authority.certificate_path)

    return write


@pytest.fixture(scope="module")
def ours(files_of):
    return files_of()


class Listener:
    """One accepted connection: what the server saw, and what it would have told the peer's next MAIL."""

    def __init__(self, context, greeting=b"220 ready\r\n"):
        self.context = context
        self.greeting = greeting
        self.error = None
        self.certificate = None
        self.cipher = None
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(TIMEOUT)
        self.port = self.socket.getsockname()[1]

    def serve(self):
        raw, _ = self.socket.accept()
        raw.settimeout(TIMEOUT)
        with contextlib.closing(raw):
            try:
                with self.context.wrap_socket(raw, server_side=True) as link:
                    self.certificate = link.getpeercert(binary_form=True)
                    self.cipher = link.cipher()
                    link.sendall(self.greeting)
                    with contextlib.suppress(OSError):
                        link.recv(1)
            except OSError as error:
                self.error = error

    @contextlib.contextmanager
    def running(self):
        thread = threading.Thread(target=self.serve)
        thread.start()
        try:
            yield self
        finally:
            thread.join(TIMEOUT)
            self.socket.close()
            assert not thread.is_alive()


def call(server_context, client_context):
    """Handshake and read the greeting. Returns the listener and the caller's error, None when all went well."""
    with Listener(server_context).running() as listener:
        try:
            with socket.create_connection(("127.0.0.1", listener.port), TIMEOUT) as raw:
                with client_context.wrap_socket(raw) as link:
                    greeting = link.recv(100)
                    return listener, None if greeting == b"220 ready\r\n" else ConnectionError("no greeting")
        except OSError as error:
            return listener, error


def anonymous_context(version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def calling_context(files, version=None):
    """A caller that trusts anyone, so that only the server judges."""
    context = anonymous_context(version)
    context.load_cert_chain(files.cert, files.key)
    return context


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def test_two_operators(ours, files_of, now):
    theirs = files_of()
    listener, error = call(peer_server_context(ours), peer_client_context(theirs))
    assert error is None
    facts = certificate_facts(listener.certificate)
    assert facts.dn == certificate_facts(ssl.PEM_cert_to_DER_cert(theirs.cert.read_text())).dn
    assert decide_peer(PeerFacts(True, facts), now).accepted


@pytest.mark.parametrize("version", VERSIONS)
def test_no_certificate_is_judged_after_the_handshake(ours, now, version):
    listener, error = call(peer_server_context(ours), anonymous_context(version))
    assert error is None
    assert listener.certificate is None
    assert decide_peer(PeerFacts(True), now).reason is Reason.NO_CERTIFICATE


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("variant", "fault", "reason"),
    [
        (Variant.EXPIRED, HandshakeFault.EXPIRED, Reason.CERTIFICATE_EXPIRED),
        (Variant.NOT_YET_VALID, HandshakeFault.NOT_YET_VALID, Reason.CERTIFICATE_NOT_YET_VALID),
        (Variant.SERVER_ONLY, HandshakeFault.USAGE, Reason.CERTIFICATE_USAGE),
        ("foreign", HandshakeFault.FOREIGN, Reason.CERTIFICATE_FOREIGN),
    ],
)
def test_wrong_certificates_fail_the_handshake(
    ours, files_of, stranger, now, variant, fault, reason, version
):
    theirs = files_of(issuer=stranger) if variant == "foreign" else files_of(variant=variant)
    listener, error = call(peer_server_context(ours), calling_context(theirs, version))
    assert error is not None
    failures = HandshakeFailures()
    failures.add_failure("127.0.0.1", listener.error, now)
    failure = failures.find_failure("127.0.0.1", now)
    assert failure.fault is fault
    assert failure.detail
    assert decide_peer(PeerFacts(False, fault=failure.fault), now).reason is reason


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("variant", "fault"),
    [
        (Variant.SERVER_ONLY, None),
        (Variant.CLIENT_ONLY, None),
        (Variant.SOUND, None),
        (Variant.EXPIRED, HandshakeFault.EXPIRED),
        ("foreign", HandshakeFault.FOREIGN),
    ],
)
def test_where_a_server_certificate_suffices(ours, files_of, stranger, now, variant, fault, version):
    """The usage alone is left to policy: chain and dates fail the handshake as ever."""
    theirs = files_of(issuer=stranger) if variant == "foreign" else files_of(variant=variant)
    context = peer_server_context(ours, PeerProfile(does_server_usage_suffice=True))
    listener, error = call(context, calling_context(theirs, version))
    assert (error is None) == (fault is None)
    if fault is not None:
        assert HandshakeFailures().add_failure("p", listener.error, now).fault is fault


@pytest.mark.parametrize("variant", [Variant.EXPIRED, Variant.CLIENT_ONLY, "foreign"])
def test_our_gateway_refuses_wrong_servers(ours, files_of, stranger, variant):
    theirs = files_of(issuer=stranger) if variant == "foreign" else files_of(variant=variant)
    _, error = call(peer_server_context(theirs), peer_client_context(ours))
    assert isinstance(error, ssl.SSLCertVerificationError)


def test_no_ticket_and_no_resumption(ours):
    for context in (client_facing_context(ours.cert, ours.key), peer_server_context(ours)):
        with Listener(context).running() as listener:
            with socket.create_connection(("127.0.0.1", listener.port), TIMEOUT) as raw:
                with anonymous_context(ssl.TLSVersion.TLSv1_3).wrap_socket(raw) as link:
                    link.recv(100)
                    assert link.session is None or not link.session.has_ticket


# OpenSSL's own client, with its security level lowered so that what fails is our refusal


def s_client(openssl, port, *options):
    command = [openssl, "s_client", "-connect", f"127.0.0.1:{port}", "-brief", *options]
    result = subprocess.run(command, input=b"", capture_output=True, timeout=TIMEOUT, check=False)
    return (result.stdout + result.stderr).decode(errors="replace")


SUITES = [
    ("ECDHE-RSA-AES256-GCM-SHA384", True, True, True),
    ("ECDHE-RSA-AES128-GCM-SHA256", True, True, True),
    ("ECDHE-RSA-CHACHA20-POLY1305", True, False, False),
    ("ECDHE-RSA-AES256-SHA384", False, False, True),
    ("ECDHE-RSA-AES128-SHA256", False, False, True),
    ("ECDHE-RSA-AES128-SHA", False, False, False),
    ("DHE-RSA-AES256-GCM-SHA384", False, False, False),
    ("AES256-GCM-SHA384", False, False, False),
    ("AES128-SHA", False, False, False),
]


@pytest.fixture(scope="module")
def openssl(require_tool):
    return require_tool("openssl")


@pytest.mark.parametrize(("suite", "for_clients", "for_peers", "with_cbc"), SUITES)
def test_suites(openssl, ours, now, suite, for_clients, for_peers, with_cbc):
    profiles = [
        (client_facing_context(ours.cert, ours.key), for_clients),
        (peer_server_context(ours), for_peers),
        (peer_server_context(ours, PeerProfile(is_cbc_allowed=True)), with_cbc),
    ]
    for context, is_accepted in profiles:
        with Listener(context).running() as listener:
            said = s_client(openssl, listener.port, "-tls1_2", "-cipher", f"{suite}:@SECLEVEL=0")
        assert (f"Ciphersuite: {suite}" in said) == is_accepted, said
        if is_accepted:
            assert listener.cipher[0] == suite
        else:
            assert HandshakeFailures().add_failure("p", listener.error, now).fault is HandshakeFault.PROTOCOL


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused(openssl, ours, now, version):
    for context in (
        client_facing_context(ours.cert, ours.key),
        peer_server_context(ours, PeerProfile(is_cbc_allowed=True)),
    ):
        with Listener(context).running() as listener:
            said = s_client(openssl, listener.port, version, "-cipher", "ALL:@SECLEVEL=0")
        assert "CONNECTION ESTABLISHED" not in said
        assert HandshakeFailures().add_failure("p", listener.error, now).fault is HandshakeFault.PROTOCOL


@pytest.mark.parametrize(
    ("groups", "is_accepted"),
    [("P-256", True), ("X25519:P-256", True), ("P-521", False), ("X448", False), ("ffdhe2048", False)],
)
def test_key_exchange_groups_towards_clients(openssl, ours, groups, is_accepted):
    for version in ("-tls1_2", "-tls1_3"):
        if groups == "ffdhe2048" and version == "-tls1_2":
            continue  # s_client has no suite for it
        with Listener(client_facing_context(ours.cert, ours.key)).running() as listener:
            said = s_client(openssl, listener.port, version, "-groups", groups)
        assert ("CONNECTION ESTABLISHED" in said) == is_accepted, said


def test_renegotiation_is_refused(openssl, ours):
    """s_client's R command asks for a new handshake: the server answers with an alert or nothing, never with one."""
    with Listener(client_facing_context(ours.cert, ours.key), greeting=b"").running() as listener:
        command = [openssl, "s_client", "-connect", f"127.0.0.1:{listener.port}", "-tls1_2"]
        result = subprocess.run(command, input=b"R\n", capture_output=True, timeout=TIMEOUT, check=False)
    said = (result.stdout + result.stderr).decode(errors="replace")
    assert "RENEGOTIATING" in said
    assert "no renegotiation" in said
