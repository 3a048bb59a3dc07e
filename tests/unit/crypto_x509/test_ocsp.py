"""OCSP answers: who may have signed one, what it must be about, how long it counts."""

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from harness.forge import BOTH, DAY, HOUR, Forge, Wanted, ec_key, named, rsa_key

from mailserver.crypto.ocsp import ANSWER_BYTES, format_request, parse_answer
from mailserver.crypto.revocation_lists import Authorities, Standing
from mailserver.model.errors import Malformed

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
OCSP = (ExtendedKeyUsageOID.OCSP_SIGNING,)


@pytest.fixture(scope="module")
def forge():
    return Forge(NOW)


@pytest.fixture(scope="module")
def leaf(forge):
    return forge.issue()


@pytest.fixture(scope="module")
def link(forge, leaf):
    return Authorities(forge.pem).find_chain(leaf.der)[0]


def responder(forge, **changed):
    key = changed.pop("key", rsa_key("responder"))
    return forge.issue(Wanted(named("Répondeur OCSP"), key=key, **({"usages": OCSP} | changed)))


def test_the_question_names_the_certificate(link, leaf):
    asked = ocsp.load_der_ocsp_request(format_request(link))
    assert asked.serial_number == leaf.certificate.serial_number
    assert len(list(asked.extensions)) == 0


@pytest.mark.parametrize(
    ("status", "standing"),
    [
        (ocsp.OCSPCertStatus.GOOD, Standing.GOOD),
        (ocsp.OCSPCertStatus.REVOKED, Standing.REVOKED),
        (ocsp.OCSPCertStatus.UNKNOWN, Standing.UNKNOWN),
    ],
)
@pytest.mark.parametrize("encoding", ocsp.OCSPResponderEncoding)
def test_an_answer_of_the_issuer(forge, leaf, link, status, standing, encoding):
    answer = parse_answer(forge.answer(leaf, status, encoding=encoding), link, NOW)
    assert (answer.standing, answer.until) == (standing, NOW + DAY)


@pytest.mark.parametrize("key", [rsa_key, ec_key])
@pytest.mark.parametrize("encoding", ocsp.OCSPResponderEncoding)
def test_an_answer_of_a_responder_of_the_issuer(forge, leaf, link, key, encoding):
    signer = responder(forge, key=key("responder"))
    octets = forge.answer(leaf, signer=signer, shows=[signer], encoding=encoding)
    assert parse_answer(octets, link, NOW).standing is Standing.GOOD


def test_an_answer_without_an_end_counts_an_hour(forge, leaf, link):
    octets = forge.answer(leaf, starts=-HOUR / 2, ends=None)
    assert parse_answer(octets, link, NOW).until == NOW + HOUR / 2


def delegated(**changed):
    def make(forge, leaf):
        signer = responder(forge, **changed)
        return forge.answer(leaf, signer=signer, shows=[signer])

    return make


def of_stranger(forge, leaf):
    stranger = Forge(NOW, "AC FORGE", rsa_key("stranger"))
    return stranger.answer(leaf, issuer=forge.certificate)


def by_responder_of_stranger(forge, leaf):
    signer = responder(Forge(NOW, "AC FORGE", rsa_key("stranger")))
    return forge.answer(leaf, signer=signer, shows=[signer])


def flipped(forge, leaf):
    octets = forge.answer(leaf)
    return octets[:-1] + bytes([octets[-1] ^ 1])


def refused(_forge, _leaf):
    answer = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    return answer.public_bytes(serialization.Encoding.DER)


BAD = {
    "another key": (of_stranger, "ocsp-signature"),
    "another authority's responder": (by_responder_of_stranger, "ocsp-signature"),
    "an operator's certificate": (delegated(usages=BOTH), "ocsp-signature"),
    "a responder without usage": (delegated(usages=()), "ocsp-signature"),
    "a responder out of date": (delegated(starts=-2 * DAY, ends=-DAY), "ocsp-signature"),
    "a responder that is not shown": (lambda f, e: f.answer(e, signer=responder(f)), "ocsp-signature"),
    "a weak hash": (lambda f, e: f.answer(e, hash=hashes.SHA224()), "ocsp-signature"),
    "one bit": (flipped, "ocsp-signature"),
    "another certificate": (lambda f, _e: f.answer(f.issue()), "ocsp-other"),
    "the serial of another issuer": (
        lambda f, e: f.answer(e, issuer=Forge(NOW, "AC AUTRE").certificate),
        "ocsp-other",
    ),
    "yesterday's": (lambda f, e: f.answer(e, starts=-2 * DAY, ends=-DAY), "ocsp-time"),
    "tomorrow's": (lambda f, e: f.answer(e, starts=DAY, ends=2 * DAY), "ocsp-time"),
    "old and without an end": (lambda f, e: f.answer(e, starts=-2 * HOUR, ends=None), "ocsp-time"),
    "an error": (refused, "ocsp-refused"),
    "no answer": (lambda _f, _e: b"<html>", "ocsp-syntax"),
    "nothing": (lambda _f, _e: b"", "ocsp-syntax"),
    "too long": (lambda _f, _e: bytes(ANSWER_BYTES + 1), "ocsp-length"),
}


@pytest.mark.parametrize("name", BAD)
def test_answers_that_are_not_believed(forge, leaf, link, name):
    make, code = BAD[name]
    octets = make(forge, leaf)
    with pytest.raises(Malformed) as refusal:
        parse_answer(octets, link, NOW)
    assert refusal.value.code == code
