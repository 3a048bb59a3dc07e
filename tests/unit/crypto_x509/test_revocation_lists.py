"""Revocation lists: who may have signed one, what is refused, what they say of a chain."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from harness.forge import DAY, HOUR, Forge, Wanted, ec_key, named, rsa_key

from mailserver.crypto.revocation_lists import LIST_BYTES, Authorities, Standing, judge_by_lists
from mailserver.model.errors import Malformed

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def root():
    return Forge(NOW, "AC RACINE")


@pytest.fixture(scope="module")
def forge(root):
    return Forge(NOW, "AC ELEMENTAIRE", over=root)


@pytest.fixture(scope="module")
def authorities(root, forge):
    return Authorities(root.pem + forge.pem)


@pytest.fixture(scope="module")
def leaf(forge):
    return forge.issue()


def test_a_list_in_both_encodings(forge, authorities, leaf):
    der = forge.revoke(leaf)
    pem = x509.load_der_x509_crl(der).public_bytes(serialization.Encoding.PEM)
    found = authorities.read_list(der, NOW)
    assert found == authorities.read_list(pem, NOW)
    assert found.serials == {leaf.certificate.serial_number}
    assert (found.this_update, found.next_update) == (NOW - HOUR, NOW + DAY)


POINT = {
    "full_name": None,
    "relative_name": None,
    "only_contains_user_certs": False,
    "only_contains_ca_certs": False,
    "only_some_reasons": None,
    "indirect_crl": False,
    "only_contains_attribute_certs": False,
}


def point(**changed):
    return ((x509.IssuingDistributionPoint(**(POINT | changed)), True),)


FULL = [x509.UniformResourceIdentifier("http://igc.example/a.crl")]
BAD = {
    "another authority of the same name": (lambda f: f.revoke(signer=rsa_key("stranger")), "crl-signature"),
    "an authority that is not in the file": (lambda _f: Forge(NOW, "AC AUTRE").revoke(), "crl-issuer"),
    "a weak hash": (lambda f: f.revoke(hash=hashes.SHA224()), "crl-signature"),
    "one bit": (lambda f: flipped(f.revoke()), "crl-signature"),
    "from tomorrow": (lambda f: f.revoke(starts=DAY, ends=2 * DAY), "crl-from-future"),
    "a delta": (lambda f: f.revoke(extensions=((x509.DeltaCRLIndicator(1), True),)), "crl-scope"),
    "indirect": (lambda f: f.revoke(extensions=point(indirect_crl=True)), "crl-scope"),
    "a place by half a name": (
        lambda f: f.revoke(
            extensions=point(
                relative_name=x509.RelativeDistinguishedName(
                    [x509.NameAttribute(x509.NameOID.COMMON_NAME, "b")]
                )
            )
        ),
        "crl-scope",
    ),
    "some reasons": (
        lambda f: f.revoke(
            extensions=point(only_some_reasons=frozenset([x509.ReasonFlags.key_compromise]), full_name=FULL)
        ),
        "crl-scope",
    ),
    "unknown and critical": (
        lambda f: f.revoke(
            extensions=((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True),)
        ),
        "crl-scope",
    ),
    "no list": (lambda _f: b"<html>not here</html>", "crl-syntax"),
    "nothing": (lambda _f: b"", "crl-syntax"),
    "cut": (lambda f: f.revoke()[:-40], "crl-syntax"),
    "too long": (lambda _f: bytes(LIST_BYTES + 1), "crl-length"),
}


def flipped(octets):
    return octets[:-1] + bytes([octets[-1] ^ 1])


@pytest.mark.parametrize("name", BAD)
def test_lists_that_are_not_believed(forge, authorities, name):
    make, code = BAD[name]
    octets = make(forge)
    with pytest.raises(Malformed) as refusal:
        authorities.read_list(octets, NOW)
    assert refusal.value.code == code


def test_an_authority_that_may_not_sign_lists(root):
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder(root.certificate.subject, root.certificate.subject, root.key.public_key())
        .serial_number(7).not_valid_before(NOW - DAY).not_valid_after(NOW + DAY)
        .add_extension(usage, critical=True).sign(root.key, hashes.SHA256())
    )  # fmt: skip
    only = Authorities(certificate.public_bytes(serialization.Encoding.PEM))
    with pytest.raises(Malformed, match="crl-signature"):
        only.read_list(root.revoke(), NOW)


def test_a_chain_as_far_as_the_file_knows_it(root, forge, leaf):
    whole = Authorities(root.pem + forge.pem).find_chain(leaf.der)
    assert [link.is_authority for link in whole] == [False, True, True][: len(whole)]
    assert whole[0].issuer == forge.certificate
    assert len(whole) == 2
    assert len(Authorities(forge.pem).find_chain(leaf.der)) == 1
    assert Authorities(root.pem).find_chain(leaf.der) == ()


def test_a_name_is_not_enough_to_be_an_issuer(forge, authorities):
    stranger = Forge(NOW, "AC ELEMENTAIRE", rsa_key("stranger"), over=Forge(NOW, "AC RACINE", rsa_key("r2")))
    assert authorities.find_chain(stranger.issue().der) == ()


@pytest.mark.parametrize("octets", [b"", b"no certificate", bytes(40_000)])
def test_what_is_no_certificate(authorities, octets):
    with pytest.raises(Malformed):
        authorities.find_chain(octets)


def test_no_authority_in_the_file():
    with pytest.raises(Malformed, match="authority-syntax"):
        Authorities(b"nothing")


LATE = NOW + 2 * DAY


def test_what_lists_say(root, forge, authorities, leaf):
    """(the issuer's list revokes, the root's list revokes; None: not held) and the time → the standing."""
    chain = authorities.find_chain(leaf.der)
    own = {
        None: [],
        False: [authorities.read_list(forge.revoke(), NOW)],
        True: [authorities.read_list(forge.revoke(leaf), NOW)],
    }
    upper = {
        None: [],
        False: [authorities.read_list(root.revoke(), NOW)],
        True: [authorities.read_list(root.revoke(type(leaf)(forge.key, forge.certificate)), NOW)],
    }
    cases = [
        (None, None, NOW, Standing.UNKNOWN),
        (False, None, NOW, Standing.GOOD),
        (False, None, LATE, Standing.UNKNOWN),
        (True, None, NOW, Standing.REVOKED),
        (True, None, LATE, Standing.REVOKED),
        (None, False, NOW, Standing.UNKNOWN),
        (False, False, NOW, Standing.GOOD),
        (False, True, NOW, Standing.REVOKED),
        (None, True, NOW, Standing.REVOKED),
    ]
    for leaf_list, root_list, now, standing in cases:
        assert judge_by_lists(chain, own[leaf_list] + upper[root_list], now) is standing, (
            leaf_list,
            root_list,
        )
    assert judge_by_lists((), own[False], NOW) is Standing.UNKNOWN


def test_a_list_of_authorities_alone_says_nothing_of_a_server(forge, authorities, leaf):
    only = authorities.read_list(forge.revoke(leaf, extensions=point(only_contains_ca_certs=True)), NOW)
    chain = authorities.find_chain(leaf.der)
    assert judge_by_lists(chain, [only], NOW) is Standing.UNKNOWN
    users = authorities.read_list(forge.revoke(extensions=point(only_contains_user_certs=True)), NOW)
    assert judge_by_lists(chain, [only, users], NOW) is Standing.GOOD


def test_one_of_several_lists_of_an_issuer_vouches_for_its_own_place_alone(forge, authorities):
    """Whoever hands over another part, as genuine and as fresh, does not make a revoked certificate good."""
    here, other = (
        forge.issue(Wanted(point=FULL[0].value)),
        forge.issue(Wanted(point="http://igc.example/b.crl")),
    )
    nowhere = forge.issue()
    part = authorities.read_list(forge.revoke(extensions=point(full_name=FULL)), NOW)
    said = [judge_by_lists(authorities.find_chain(each.der), [part], NOW) for each in (here, other, nowhere)]
    assert said == [Standing.GOOD, Standing.UNKNOWN, Standing.UNKNOWN]
    whole = authorities.read_list(forge.revoke(), NOW)
    assert judge_by_lists(authorities.find_chain(other.der), [part, whole], NOW) is Standing.GOOD
    named = authorities.read_list(forge.revoke(other, extensions=point(full_name=FULL)), NOW)
    assert judge_by_lists(authorities.find_chain(other.der), [named, whole], NOW) is Standing.REVOKED


def test_a_clock_a_little_ahead_is_no_future(forge, authorities):
    assert authorities.read_list(forge.revoke(starts=timedelta(minutes=5)), NOW)


def test_keys_of_other_kinds_are_read(forge, authorities):
    other = forge.issue(Wanted(named("ec"), key=ec_key("leaf")))
    assert len(authorities.find_chain(other.der)) == 2
