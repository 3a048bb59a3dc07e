"""Revocation lists and OCSP answers: a flipped bit is refused or says nothing new, a cut is refused, and only Malformed escapes."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from harness.forge import Forge
from hypothesis import given
from hypothesis import strategies as st

from mailserver.crypto.ocsp import parse_answer
from mailserver.crypto.revocation_lists import Authorities
from mailserver.model.errors import Malformed

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


class Sample:
    """One of each, made once."""

    def __init__(self) -> None:
        forge = Forge(NOW)
        leaf = forge.issue()
        authorities = Authorities(forge.pem)
        (link,) = authorities.find_chain(leaf.der)
        self.readers = {
            "list": (forge.revoke(leaf), lambda octets: authorities.read_list(octets, NOW)),
            "answer": (forge.answer(leaf), lambda octets: parse_answer(octets, link, NOW)),
            "certificate": (leaf.der, authorities.find_chain),
        }


@pytest.fixture(scope="module")
def sample():
    return Sample()


@pytest.mark.parametrize("kind", ["list", "answer"])
@given(data=st.data())
def test_a_flipped_bit_changes_nothing_that_is_believed(sample, kind, data):
    octets, read = sample.readers[kind]
    at = data.draw(st.integers(0, 8 * len(octets) - 1))
    changed = bytearray(octets)
    changed[at // 8] ^= 1 << at % 8
    try:
        found = read(bytes(changed))
    except Malformed:
        return
    assert found == read(octets), "one bit beside what is signed says nothing new"


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # the library's word on one bit of it
@given(data=st.data())
def test_a_flipped_bit_leaves_a_certificate_without_its_issuer(sample, data):
    octets, read = sample.readers["certificate"]
    at = data.draw(st.integers(0, 8 * len(octets) - 1))
    changed = bytearray(octets)
    changed[at // 8] ^= 1 << at % 8
    signed = x509.load_der_x509_certificate(octets).tbs_certificate_bytes
    try:
        chain = read(bytes(changed))
    except Malformed:
        return
    # one bit beside what is signed (the algorithm's parameters, once more) may be anything
    assert all(link.certificate.tbs_certificate_bytes == signed for link in chain)


@pytest.mark.parametrize("kind", ["list", "answer", "certificate"])
@given(data=st.data())
def test_a_cut_is_refused(sample, kind, data):
    octets, read = sample.readers[kind]
    with pytest.raises(Malformed):
        read(octets[: data.draw(st.integers(0, len(octets) - 1))])


@pytest.mark.parametrize("kind", ["list", "answer", "certificate"])
@given(octets=st.binary(max_size=200))
def test_only_malformed_escapes(sample, kind, octets):
    with pytest.raises(Malformed):
        sample.readers[kind][1](octets)
