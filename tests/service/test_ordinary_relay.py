"""The operator's relay on the Internet: TLS that proves who it is, a login, and nothing said before both."""

import base64
import warnings
from dataclasses import replace
from datetime import UTC, datetime

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from service.gateway_node import JsonLines, Peer, Script, context_of, deliver, make_authority, make_gateway
from service.test_gateway_notices import ADDRESS, notify

from mailserver.app.notice_ways import open_relay
from mailserver.config import load_config
from mailserver.crypto.authority import CERTIFICATE_FILE, DemoAuthority, DemoAuthorityWarning
from mailserver.crypto.secret import Secret
from mailserver.model.address import parse_address
from mailserver.model.hop import LinkSecurity
from mailserver.service.outbound import NoticeOrder
from mailserver.store.jobs import JobState
from mailserver.tls.contexts import client_facing_context

STARTTLS, TLS = LinkSecurity.STARTTLS, LinkSecurity.TLS
PASSWORD = "un secret de relais"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("operators"))


@pytest.fixture
def gateway(tmp_path, authority):
    gateway = make_gateway(tmp_path, authority)
    notify(gateway)
    yield gateway
    gateway.close()


@pytest.fixture
def relay(gateway, authority, tmp_path, caplog):
    """Sends the waiting notice through a relay of this kind; what the relay saw, and how the job stands."""

    def send(
        security, script=None, *, domain="c.localhost", ca=authority / CERTIFICATE_FILE, context=None, user=""
    ):
        password = Secret(PASSWORD.encode()) if user else None
        gateway.relay_access = replace(
            gateway.relay_access, security=security, authority=ca, user=user, password=password
        )
        script = script or Script(extensions=(b"AUTH PLAIN LOGIN",))
        script.is_tls_at_once = security is TLS
        peer = Peer(script, context or context_of(authority, domain))
        with caplog.at_level("INFO"):
            deliver(gateway, peer)
        return peer

    return send


def is_kept(gateway) -> bool:
    """Still to be sent: what the operator corrects in time is not lost."""
    return gateway.job().state == JobState.WAITING.value


@pytest.mark.parametrize("security", [STARTTLS, TLS])
def test_a_relay_that_shows_its_name_gets_the_notice(gateway, relay, security):
    peer = relay(security)
    (mail,) = peer.messages
    assert f"To: {ADDRESS}\r\n".encode() in mail
    assert b"Auto-Submitted: auto-generated\r\n" in mail
    assert gateway.job().state == JobState.DONE.value


@pytest.mark.parametrize("security", [STARTTLS, TLS])
@pytest.mark.parametrize("fault", ["foreign authority", "wrong name"])
def test_a_relay_that_cannot_gets_nothing(gateway, relay, authority, tmp_path, caplog, security, fault):
    if fault == "wrong name":
        peer = relay(security, context=named("mx.autre.example", authority, tmp_path), user="pli")
    else:
        peer = relay(security, ca=foreign(tmp_path), user="pli")
    assert not {b"AUTH", b"MAIL", b"RCPT"} & set(peer.verbs())
    assert is_kept(gateway)
    (line,) = JsonLines(caplog).attempts()
    assert line["fate"] == "passing"
    assert "certificate" in line["detail"]
    assert_nothing_private(caplog)


def test_starttls_that_is_demanded_and_not_offered(gateway, relay, caplog):
    peer = relay(STARTTLS, Script(offers_tls=False, extensions=(b"AUTH PLAIN",)), user="pli")
    assert set(peer.verbs()) == {b"EHLO", b"QUIT"}
    assert is_kept(gateway)
    (line,) = JsonLines(caplog).attempts()
    assert "offers no STARTTLS" in line["detail"]


@pytest.mark.parametrize("security", [STARTTLS, TLS])
def test_the_password_is_given_inside_tls(gateway, relay, caplog, security):
    peer = relay(security, user="pli")
    (said,) = [line for line in peer.lines if line.startswith(b"AUTH")]
    assert said == b"AUTH PLAIN " + base64.b64encode(f"\0pli\0{PASSWORD}".encode())
    assert peer.verbs().index(b"AUTH") < peer.verbs().index(b"MAIL")
    assert len(peer.messages) == 1
    assert_nothing_private(caplog)


def test_a_refused_login_keeps_the_notice(gateway, relay, caplog):
    refusals = [b"535 5.7.8 no\r\n"] * 4
    peer = relay(TLS, Script(extensions=(b"AUTH PLAIN",), auth=refusals), user="pli")
    assert b"MAIL" not in peer.verbs()
    assert is_kept(gateway)
    (line,) = JsonLines(caplog).attempts()
    assert line["detail"] == "login refused (535)"
    assert_nothing_private(caplog)


@pytest.mark.parametrize("domain", ["", 'dkim_domain = "sante.example"'])
def test_a_notice_is_signed_as_configured(tmp_path, domain):
    """From pli.toml to the verifier: the key file, its selector, its domain."""
    key = Ed25519PrivateKey.generate()
    (tmp_path / "dkim.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    config = tmp_path / "pli.toml"
    config.write_text(
        '[operator]\ndomains = ["a.localhost"]\n[relay]\nhost = "relay.example"\ndkim_key = "dkim.pem"\n'
        f'dkim_selector = "pli2026"\n{domain}\n'
    )
    order = NoticeOrder(parse_address(ADDRESS), "Pli : votre code", "Votre code : 123456\n")
    mail = open_relay(load_config(config, {}))._format(order, "un", datetime.now(UTC))
    public = base64.b64encode(key.public_key().public_bytes_raw())
    asked = []

    def dns(name, timeout=5):
        asked.append(name.decode())
        return b"v=DKIM1; k=ed25519; p=" + public

    assert dkim.verify(mail, dnsfunc=dns)
    assert asked == [f"pli2026._domainkey.{'sante.example' if domain else 'a.localhost'}."]


def assert_nothing_private(caplog):
    for private in (ADDRESS, "123456", PASSWORD):
        assert private not in JsonLines(caplog).text()


def issue(demo, name, folder):
    issued = demo.issue_operator(name, [name], name, now=datetime.now(UTC))
    for suffix, octets in (("pem", issued.cert_pem), ("key", issued.key_pem)):
        (folder / f"relay.{suffix}").write_bytes(octets)
    return client_facing_context(folder / "relay.pem", folder / "relay.key")


def named(name, authority, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DemoAuthorityWarning)
        return issue(DemoAuthority.open(authority), name, folder)


def foreign(folder):
    """The certificate of an authority that issued nothing here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DemoAuthorityWarning)
        DemoAuthority.create(folder / "autre", datetime.now(UTC), key_bits=2048)
    return folder / "autre" / CERTIFICATE_FILE
