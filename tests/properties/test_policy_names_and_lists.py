"""Names and lists: parse∘format is the identity, direction does not matter, only Malformed escapes."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from mailserver.crypto.x509 import DistinguishedName, format_dn, parse_dn
from mailserver.crypto.xmldsig import PinnedSigner, VerifiedXml, verify_enveloped
from mailserver.model.address import DomainName
from mailserver.model.errors import Denied, Malformed
from mailserver.policy.trust_list import TrustedDomain, TrustList, diff, format_trust_list, parse_trust_list

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

types = st.sampled_from(["CN", "OU", "O", "ST", "L", "C", "DC", "EMAILADDRESS", "1.2.3.4"])
values = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).filter(str.strip)
names = st.lists(st.tuples(types, values), min_size=1, max_size=6).map(
    lambda pairs: DistinguishedName(tuple(pairs))
)
labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
domains = st.lists(labels, min_size=1, max_size=3).map(lambda parts: DomainName(".".join(parts)))
texts = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), max_size=20
)
entries = st.builds(TrustedDomain, domains, names, texts.map(str.strip), updated_at=st.just(NOW))


@given(names)
def test_name_round_trip(dn):
    assert parse_dn(format_dn(dn)) == dn


@given(names)
def test_direction_does_not_matter(dn):
    turned = DistinguishedName(dn.pairs[::-1])
    assert turned == dn
    assert hash(turned) == hash(dn)
    assert parse_dn(format_dn(turned)) == dn


@given(names, names)
def test_different_texts_are_different_names(one, other):
    directions = {format_dn(one), format_dn(DistinguishedName(one.pairs[::-1]))}
    assert (format_dn(other) in directions) == (one == other)


@given(st.text(st.sampled_from('CNO=,/+\\"#; aé\x001.2'), max_size=60))
def test_only_malformed_escapes_from_names(text):
    try:
        dn = parse_dn(text)
    except Malformed:
        return
    assert parse_dn(format_dn(dn)) == dn


@given(st.lists(entries, max_size=6))
def test_list_round_trip(lines):
    listed = parse_trust_list(VerifiedXml(format_trust_list(lines, NOW), signer=None))
    assert listed == TrustList(NOW, tuple(lines))
    for line in lines:
        assert listed.is_listed_for(line.domain, line.dn)


@given(st.lists(entries, max_size=6), st.lists(entries, max_size=6))
def test_diff_leads_from_old_to_new(before, after):
    old, new = TrustList(NOW, tuple(before)), TrustList(NOW, tuple(after))
    change = diff(old, new)
    pairs = {(line.domain, line.dn) for line in before}
    pairs -= {(line.domain, line.dn) for line in change.removed}
    pairs |= {(line.domain, line.dn) for line in change.added}
    assert pairs == {(line.domain, line.dn) for line in after}
    assert bool(change) == ({(x.domain, x.dn) for x in before} != {(x.domain, x.dn) for x in after})


@given(st.text(st.sampled_from('<>/aSignature xmlns="u"&;!?\''), max_size=80) | st.binary(max_size=60))
def test_only_refusals_escape_from_signatures(xml):
    data = xml.encode() if isinstance(xml, str) else xml
    try:
        verify_enveloped(data, PinnedSigner(), NOW)
    except (Malformed, Denied):
        return
    raise AssertionError("nothing is trusted without a pin")
