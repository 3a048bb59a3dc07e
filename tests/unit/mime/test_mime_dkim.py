"""DKIM signatures of our mails, judged by dkimpy: it takes what we sign, and nothing that was touched since."""

import base64
from datetime import UTC, datetime

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from mailserver.crypto.mail_signer import load_mail_signer
from mailserver.mime.composer import Letter, Person, format_notice
from mailserver.mime.dkim import DkimIdentity, format_dkim_signature, relax_body, relax_field
from mailserver.model.address import parse_address
from mailserver.model.errors import Malformed

NOW = datetime(2026, 7, 6, 9, 0, tzinfo=UTC)
LETTER = Letter(
    Person(parse_address("ne-pas-repondre@sante.example"), "Opérateur d’essai"),
    (Person(parse_address("dominique@ordinaire.example")),),
    "Un message vous attend, et l’objet est assez long pour être plié en deux lignes au moins",
    "Bonjour,\n\n  deux  espaces \t\nà la fin   \n\n\n",
    NOW,
    "<un@sante.example>",
)


def pem(key, protection=None) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection or NoEncryption())


@pytest.fixture(scope="module", params=["rsa-sha256", "ed25519-sha256"])
def signed(request):
    """A signed mail and the DNS record that its verifier finds."""
    if request.param == "rsa-sha256":
        key = rsa.generate_private_key(65537, 2048)
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        kind = b"rsa"
    else:
        key = ed25519.Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        kind = b"ed25519"
    signer = load_mail_signer(pem(key))
    assert signer.algorithm == request.param
    mail = format_notice(LETTER, "nonce1234567")
    identity = DkimIdentity("sante.example", "pli2026", signer.algorithm, signer.sign)
    record = b"v=DKIM1; k=" + kind + b"; p=" + base64.b64encode(public)
    return format_dkim_signature(mail, identity, NOW) + mail, record


def is_good(mail: bytes, record: bytes) -> bool:
    def dns(name, timeout=5):
        assert name == b"pli2026._domainkey.sante.example."
        return record

    return dkim.verify(mail, dnsfunc=dns)


def test_the_verifier_takes_it(signed):
    mail, record = signed
    assert is_good(mail, record)
    head = mail.partition(b"\r\n\r\n")[0]
    assert max(map(len, head.split(b"\r\n"))) <= 78


def test_what_a_relay_may_do_on_the_way(signed):
    """Folding, spaces at line ends and trace fields on top."""
    mail, record = signed
    assert is_good(b"Received: from x\r\n\tby y; z\r\n" + mail, record)
    assert is_good(mail.replace(b"\r\nTo: ", b"\r\nTo:   "), record)
    assert is_good(mail + b"\r\n\r\n", record)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Bonjour", b"bonjour"),
        (b"dominique@", b"dominiqua@"),
        (b"\r\nFrom: ", b"\r\nFrom: <intrus@mal.example>\r\nFrom: "),
        (b"\r\nTo: ", b"\r\nSubject: autre\r\nTo: "),
        (b"\r\nTo: ", b"\r\nContent-Type: text/html\r\nTo: "),
        (b"Auto-Submitted: auto-generated", b"Auto-Submitted: no"),
        (b"t=", b"t=1"),
    ],
)
def test_what_nobody_may_do(signed, old, new):
    mail, record = signed
    assert old in mail
    assert not is_good(mail.replace(old, new, 1), record)


@pytest.mark.parametrize(
    ("body", "relaxed"),
    [
        (b"", b""),
        (b"\r\n\r\n", b""),
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),
        (b"no end", b"no end\r\n"),
        (b"spaces at the end  ", b"spaces at the end\r\n"),
    ],
)
def test_bodies_of_rfc_6376(body, relaxed):
    assert relax_body(body) == relaxed


def test_fields_of_rfc_6376():
    assert relax_field(b"A", b" X") + relax_field(b"B ".strip(), b" Y\t\r\n\tZ  ") == b"a:X\r\nb:Y Z\r\n"


@pytest.mark.parametrize("mail", [b"", b"From: a@b.example", b"To: a@b.example\r\n\r\nx"])
def test_what_is_no_mail_is_not_signed(mail):
    with pytest.raises(Malformed):
        format_dkim_signature(mail, DkimIdentity("d.example", "s", "rsa-sha256", bytes), NOW)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        pem(rsa.generate_private_key(65537, 1024)),
        pem(ec.generate_private_key(ec.SECP256R1())),
        pem(ed25519.Ed25519PrivateKey.generate(), BestAvailableEncryption(b"x")),
    ],
    ids=["empty", "damaged", "short", "other", "encrypted"],
)
def test_keys_that_do_not_sign(octets):
    with pytest.raises(Malformed) as refused:
        load_mail_signer(octets)
    assert refused.value.code == "dkim-key"
