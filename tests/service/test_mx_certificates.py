"""Bad certificates at the MX port, one a line: each refused, nothing stored, the reason in the operator's log and, where
a reply is possible, in its code and words (S2).
"""

import json
import smtplib
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.x509.ocsp import OCSPCertStatus
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from harness.forge import BOTH, DAY, Forge, Issued, Wanted, ec_key, named, rsa_key
from harness.node import make_node
from harness.smtp_harness import client_context, letter, log_lines, operator_context, running_smtp
from harness.web_node import make_peers

from mailserver.crypto.authority import CERTIFICATE_FILE, CRL_FILE, KEY_FILE
from mailserver.model.errors import Unavailable
from mailserver.policy.mail_rules import PeerRules
from mailserver.service.peers import Peers
from mailserver.service.revocations import Revocations, Sources
from mailserver.smtp import conversation
from mailserver.tls.contexts import PeerProfile

OURS, PEER = "camille@a.localhost", "noa@b.localhost"
NOW = datetime.now(UTC)
SERVER_ONLY = (ExtendedKeyUsageOID.SERVER_AUTH,)


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    folder = tmp_path_factory.mktemp("operators")
    ours, peer = make_peers(folder)
    third = make_node(folder, "c.localhost", authority=folder / "authority")
    ours.services.trust.refresh(NOW)
    ours.add(OURS)
    yield ours, peer, third, folder / "authority"
    for node in (ours, peer, third):
        node.close()


@pytest.fixture(scope="module")
def smtp(operators):
    with running_smtp(operators[0]) as running:
        yield running


@pytest.fixture(scope="module")
def forge(operators):
    """The trust space's authority, in the hands of somebody careless."""
    return Forge.of_files(operators[3] / CERTIFICATE_FILE, operators[3] / KEY_FILE)


@dataclass(frozen=True)
class Bad:
    """How the certificate is made; what the log and the reply then say. ``fault``: it ends the handshake."""

    make: object
    reason: str
    code: int
    enhanced: str
    words: str
    fault: str = ""


def from_forge(**wanted):
    return lambda forge, _folder: (forge.issue(Wanted(**wanted)), ())


def self_signed(_forge, _folder):
    own = Forge(NOW, "mx.b.localhost", rsa_key("leaf"))
    return Issued(own.key, own.certificate), ()


def foreign(_forge, _folder):
    other = Forge(NOW, "AC AUTRE")
    return other.issue(), (other.pem,)


def same_name(_forge, _folder):
    """An authority that calls itself like ours."""
    twin = Forge(NOW, "AC PLI DEMO")
    return twin.issue(), (twin.pem,)


def without_intermediate(forge, _folder):
    return Forge(NOW, "AC INTERMEDIAIRE", over=forge).issue(), ()


def broken_signature(forge, _folder):
    sound = forge.issue()
    der = bytearray(sound.der)
    der[-1] ^= 1
    return Issued(sound.key, x509.load_der_x509_certificate(bytes(der))), ()


def unreadable_name(forge, _folder):
    both = x509.RelativeDistinguishedName(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "mx.b.localhost"),
            x509.NameAttribute(NameOID.COUNTRY_NAME, "FR"),
        ]
    )
    return forge.issue(Wanted(x509.Name([both]))), ()


MATRIX = {
    "expired": Bad(
        from_forge(starts=-2 * DAY, ends=-DAY), "certificate-expired", 530, "5.7.5", "has expired", "expired"
    ),
    "not yet valid": Bad(
        from_forge(starts=DAY, ends=2 * DAY),
        "certificate-not-yet-valid",
        530,
        "5.7.5",
        "not valid yet",
        "not-yet-valid",
    ),
    "another authority's": Bad(foreign, "certificate-foreign", 530, "5.7.8", "not issued by", "foreign"),
    "an authority of the same name": Bad(
        same_name, "certificate-foreign", 530, "5.7.8", "not issued by", "foreign"
    ),
    "self-signed": Bad(self_signed, "certificate-foreign", 530, "5.7.8", "not issued by", "foreign"),
    "a chain without its middle": Bad(
        without_intermediate, "certificate-foreign", 530, "5.7.8", "with its chain", "foreign"
    ),
    "a broken signature": Bad(
        broken_signature, "certificate-foreign", 530, "5.7.8", "not issued by", "foreign"
    ),
    "server use alone": Bad(
        from_forge(usages=SERVER_ONLY),
        "certificate-usage",
        530,
        "5.7.4",
        "may not be used as a TLS client",
        "usage",
    ),
    "RSA of 1024 bits": Bad(
        from_forge(key=rsa_key("short", 1024)), "certificate-key", 530, "5.7.9", "at least 2048 bits", "key"
    ),
    "no stated use": Bad(from_forge(usages=()), "certificate-usage", 530, "5.7.4", "client authentication"),
    "an EC key": Bad(from_forge(key=ec_key("leaf")), "certificate-key", 530, "5.7.9", "an RSA key"),
    "a name that is not listed": Bad(
        from_forge(subject=named("mx.ailleurs.example")), "wrong-dn", 550, "5.7.1", "not the one listed"
    ),
    "a name that cannot be read": Bad(unreadable_name, "wrong-dn", 550, "5.7.1", "not the one listed"),
}


def caller(issued, chain, folder):
    certificate, key = issued.write(folder, "caller", *chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")  # the caller minds nothing, so that only the server judges
    context.load_cert_chain(certificate, key)
    return context


def lines_of(log):
    assert "@" not in log.text
    return [json.loads(line) for line in log.lines]


def try_to_deliver(client):
    """Every step that a stubborn peer would take; the reply to MAIL."""
    reply = client.mail(PEER)
    assert client.rcpt(OURS)[0] in {503, 530}
    assert client.docmd("DATA")[0] in {503, 530}
    client.close()
    return reply


@pytest.mark.parametrize("name", MATRIX)
def test_bad_certificates(smtp, forge, tmp_path, name):
    bad = MATRIX[name]
    context = caller(*bad.make(forge, tmp_path), tmp_path)
    before = smtp.counts()
    with log_lines() as log:
        try:
            client = smtp.call_mx(context)
        except (OSError, smtplib.SMTPException):
            assert bad.fault, "the handshake should have passed"
            smtp.settle()
            (failed,) = [line for line in lines_of(log) if line["what"] == "TLS handshake failed"]
            assert failed["reason"] == bad.fault
            client = smtp.call_mx(None)
        else:
            assert not bad.fault, "the handshake should have failed"
        code, text = try_to_deliver(client)
    refused = next(line for line in lines_of(log) if line["what"] == "refused")
    assert (code, refused["code"], refused["reason"]) == (bad.code, bad.code, bad.reason)
    assert text.decode().startswith(bad.enhanced)
    assert bad.words in text.decode()
    assert smtp.counts() == before


def refused_after_the_handshake(smtp, context, sender=PEER):
    before = smtp.counts()
    with log_lines() as log:
        client = smtp.call_mx(context)
        code, text = client.mail(sender)
        client.close()
    assert smtp.counts() == before
    (refused,) = [line for line in lines_of(log) if line["what"] == "refused"]
    return code, text.decode(), refused["reason"]


def test_no_certificate(smtp):
    code, text, reason = refused_after_the_handshake(smtp, client_context())
    assert (code, text[:6], reason) == (530, "5.7.14", "no-certificate")


def test_a_name_listed_for_another_domain(smtp, operators):
    code, text, reason = refused_after_the_handshake(smtp, operator_context(operators[2]))
    assert (code, text[:5], reason) == (550, "5.7.1", "wrong-dn")
    assert "the sender's domain" in text


@pytest.fixture
def revocation_list(operators):
    """The list that our operator checks; put back afterwards."""
    path = operators[3] / CRL_FILE
    before = path.read_bytes()
    yield path
    path.write_bytes(before)
    operators[0].services.revocations.refresh(NOW)


def operator_of(node):
    tls = node.services.config
    return Issued(
        rsa_key("leaf"), x509.load_pem_x509_certificate(tls.path(tls.tls.peer_certificate).read_bytes())
    )


@pytest.mark.parametrize(
    ("revokes", "ends", "expected"),
    [
        (True, DAY, (530, "5.7.13", "certificate-revoked")),
        (True, -DAY / 4, (530, "5.7.13", "certificate-revoked")),
        (False, -DAY / 4, (454, "4.7.5 ", "revocation-unknown")),
    ],
)
def test_a_revoked_certificate_and_one_that_cannot_be_checked(
    smtp, operators, forge, revocation_list, revokes, ends, expected
):
    ours, peer, *_ = operators
    revoked = [operator_of(peer)] * revokes
    revocation_list.write_bytes(forge.revoke(*revoked, starts=-DAY / 2, ends=ends))
    ours.services.revocations._lists.clear()  # the one held may be newer than what this test writes
    ours.services.revocations.refresh(NOW)
    code, text, reason = refused_after_the_handshake(smtp, operator_context(peer))
    assert (code, text[:6], reason) == expected


def test_the_good_one_passes(smtp, operators):
    """What the matrix refuses is refused for what it says."""
    client = smtp.call_mx(operator_context(operators[1]))
    assert client.sendmail(PEER, [OURS], letter(PEER, OURS, "good")) == {}
    client.quit()


@pytest.mark.parametrize(
    ("usages", "suffices", "code"),
    [(SERVER_ONLY, True, 250), ((), True, 530), (BOTH, True, 250), (BOTH, False, 250)],
)
def test_where_a_server_certificate_suffices(operators, forge, tmp_path, monkeypatch, usages, suffices, code):
    """The listed operator, with a certificate that states server use alone."""
    ours, peer, *_ = operators
    services, listed = ours.services, operator_of(peer).certificate
    rules = PeerRules(does_server_usage_suffice=suffices)
    monkeypatch.setattr(services.reception, "peers", Peers(rules, services.revocations))
    context = caller(forge.issue(Wanted(listed.subject, usages=usages)), (), tmp_path)
    with running_smtp(ours, profile=PeerProfile(does_server_usage_suffice=suffices)) as lax:
        client = lax.call_mx(context)
        assert client.mail(PEER)[0] == code
        client.close()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (OCSPCertStatus.GOOD, (250, "")),
        (OCSPCertStatus.REVOKED, (530, "5.7.13")),
        (OCSPCertStatus.UNKNOWN, (454, "4.7.5")),
        (None, (454, "4.7.5")),
    ],
)
@pytest.mark.parametrize("demands", [True, False])
def test_what_the_responder_says(
    smtp, operators, forge, tmp_path, monkeypatch, caplog, status, expected, demands
):
    """It is asked before MAIL is answered; ``prefer`` lets in whom it does not know, with a warning."""
    ours, peer, *_, authority = operators
    sources = Sources(authority / CERTIFICATE_FILE, (), tmp_path, "http://ocsp.example/")

    def ask(_question):
        if status is None:
            raise Unavailable("web-exchange")
        return forge.answer(operator_of(peer), status)

    peers = Peers(PeerRules(demands_standing=demands), Revocations(sources, ask))
    monkeypatch.setattr(ours.services.reception, "peers", peers)
    client = smtp.call_mx(operator_context(peer))
    code, text = client.mail(PEER)
    client.close()
    if expected[0] == 454 and not demands:
        assert code == 250
        assert "revocation could not be checked" in caplog.text
    else:
        assert code == expected[0]
        assert text.decode().startswith(expected[1])
        assert "could not be checked" not in caplog.text


class SilentResponder:
    """It answers nobody before ``speaks`` is set."""

    def __init__(self):
        self.asked, self.speaks = threading.Event(), threading.Event()
        self.threads = []

    def __call__(self, _question):
        self.threads.append(threading.current_thread().name)
        self.asked.set()
        assert self.speaks.wait(60)
        raise Unavailable("web-exchange")


def test_a_silent_responder_holds_no_thread_of_the_port(operators, tmp_path, monkeypatch):
    """Six callers of one operator wait for one question, are put off in time, and everybody else is served meanwhile."""
    ours, peer, *_, authority = operators
    password = ours.add("sacha@a.localhost").app_password
    responder = SilentResponder()
    sources = Sources(authority / CERTIFICATE_FILE, (), tmp_path, "http://ocsp.example/")
    peers = Peers(PeerRules(), Revocations(sources, responder))
    monkeypatch.setattr(ours.services.reception, "peers", peers)
    monkeypatch.setattr(conversation, "CHECK_SECONDS", 0.3)
    with running_smtp(ours, threads=1) as smtp, ThreadPoolExecutor(6) as callers:
        clients = [smtp.call_mx(operator_context(peer)) for _ in range(6)]
        said = [callers.submit(client.mail, PEER) for client in clients]
        assert responder.asked.wait(60)
        with smtp.call_submissions() as person:  # the port's only thread judges the password
            person.login("sacha@a.localhost", password)
        assert {(code, text[:5]) for code, text in (each.result() for each in said)} == {(454, b"4.7.5")}
        for client in clients:
            client.close()
        responder.speaks.set()
    peers.close()
    assert [name.split("_")[0] for name in responder.threads] == ["revocation"]
