"""The trust list: the published form, lookups, age, differences."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from mailserver.crypto.x509 import parse_dn
from mailserver.crypto.xmldsig import VerifiedXml, sign_enveloped, verify_enveloped
from mailserver.model.address import parse_domain
from mailserver.model.errors import Malformed
from mailserver.policy.decision import Reason
from mailserver.policy.trust_list import (
    NOBODY,
    TrustedDomain,
    TrustList,
    diff,
    format_trust_list,
    parse_trust_list,
)

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NORTH, SOUTH, WEST = (parse_domain(f"{name}.demo.example") for name in ("north", "south", "west"))
DN_A = parse_dn("CN=mx1.demo.example,OU=300000000000001,O=A,ST=Démo (00),C=FR")
DN_B = parse_dn("CN=mx2.demo.example,OU=300000000000002,O=B,ST=Démo (00),C=FR")
ENTRIES = (
    TrustedDomain(
        NORTH, DN_A, "North & co", "01, north@demo.example", "02, help@demo.example", NOW - timedelta(days=3)
    ),
    TrustedDomain(NORTH, DN_B, "", "", "", NOW),
    TrustedDomain(SOUTH, DN_A, "South <1>", "a", "b", NOW),
)

PUBLISHED = """<?xml version="1.0" encoding="UTF-8"?>
<ListeBlancheMSSante xmlns="https://listeblanche.mssante.fr/schema">
    <DateDeGeneration>2026-03-02T09:00:00.000Z</DateDeGeneration>
    <ListeDomaines>
        <Domaine>
            <Nom>north.demo.example</Nom>
            <Description>North &amp; co</Description>
            <DNCertificatOperateur>CN=mx1.demo.example,OU=300000000000001,O=A,ST=Démo (00),C=FR</DNCertificatOperateur>
            <ResponsableContact>01, north@demo.example</ResponsableContact>
            <SupportContact>02, help@demo.example</SupportContact>
            <DateMAJ>2026-02-27T09:00:00.000Z</DateMAJ>
        </Domaine>
    </ListeDomaines>
</ListeBlancheMSSante>
"""


def read(xml):
    """As if verified: signatures have their own tests."""
    return parse_trust_list(VerifiedXml(xml.encode() if isinstance(xml, str) else xml, signer=None))


def test_published_form():
    assert format_trust_list(ENTRIES[:1], NOW).decode() == PUBLISHED


def test_what_is_written_is_read():
    listed = read(format_trust_list(ENTRIES, NOW))
    assert listed == TrustList(NOW, ENTRIES)
    assert listed.unreadable == 0


def test_signed_and_read(signer, pinned):
    signed = sign_enveloped(format_trust_list(ENTRIES, NOW), *signer)
    assert parse_trust_list(verify_enveloped(signed, pinned, NOW)).entries == ENTRIES


def test_lookups():
    listed = TrustList(NOW, ENTRIES)
    assert listed.dns_for(NORTH) == {DN_A, DN_B}
    assert listed.dns_for(SOUTH) == {DN_A}
    assert listed.dns_for(WEST) == frozenset()
    assert listed.is_listed(SOUTH) and not listed.is_listed(WEST)
    assert listed.is_listed_for(NORTH, DN_B)
    assert not listed.is_listed_for(SOUTH, DN_B)
    assert not listed.is_listed_for(WEST, DN_A)
    assert listed.is_known_dn(parse_dn("C=FR,ST=Démo (00),O=B,OU=300000000000002,CN=mx2.demo.example"))
    assert not listed.is_known_dn(parse_dn("CN=mx3.demo.example"))


@pytest.mark.parametrize(
    ("listed", "age", "refusal"),
    [
        (TrustList(NOW, ENTRIES), timedelta(0), None),
        (TrustList(NOW, ENTRIES), timedelta(hours=72), None),
        (TrustList(NOW, ENTRIES), timedelta(hours=72, seconds=1), Reason.TRUST_LIST_STALE),
        (TrustList(NOW, ENTRIES, age_limit=timedelta(hours=1)), timedelta(hours=2), Reason.TRUST_LIST_STALE),
        (TrustList(NOW, ()), timedelta(0), Reason.TRUST_LIST_EMPTY),
        (NOBODY, timedelta(0), Reason.TRUST_LIST_EMPTY),
    ],
)
def test_age_and_emptiness(listed, age, refusal):
    assert listed.find_refusal(NOW + age) == refusal


def test_diff_is_by_domain_and_name():
    old = TrustList(NOW, ENTRIES)
    renamed = TrustedDomain(SOUTH, DN_A, "another description")
    new = TrustList(NOW, (ENTRIES[0], renamed, TrustedDomain(WEST, DN_B), TrustedDomain(SOUTH, DN_B)))
    change = diff(old, new)
    assert change.lines() == (
        f"- north.demo.example {DN_B}",
        f"+ south.demo.example {DN_B}",
        f"+ west.demo.example {DN_B}",
    )
    assert change
    assert not diff(old, old)


@pytest.mark.parametrize(
    ("old", "new", "detail"),
    [
        ("ListeBlancheMSSante", "AutreListe", "trust-list-syntax"),
        ("https://listeblanche.mssante.fr/schema", "https://other.example/schema", "trust-list-syntax"),
        ("<DateDeGeneration>2026-03-02T09:00:00.000Z</DateDeGeneration>", "", "trust-list-syntax"),
        ("ListeDomaines", "Domaines", "trust-list-syntax"),
        ("</ListeDomaines>", "</ListeDomaines><ListeDomaines></ListeDomaines>", "trust-list-syntax"),
        ("</Domaine>", "", "trust-list-syntax"),
        ("09:00:00.000Z", "09:00:00.000", "trust-list-date"),
        ("09:00:00.000Z", "09:00:00+01:00", "trust-list-date"),
        ("2026-03-02", "2026-13-02", "trust-list-date"),
        ("2026-03-02T09:00:00.000Z", "", "trust-list-date"),
    ],
)
def test_list_refused(old, new, detail):
    with pytest.raises(Malformed) as refusal:
        read(PUBLISHED.replace(old, new))
    assert refusal.value.code == detail


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("north.demo.example</Nom>", "no such domain</Nom>"),
        ("<Nom>north.demo.example</Nom>", ""),
        ("CN=mx1.demo.example,", "mx1,"),
        ("<Nom>", "<Nom>south.demo.example</Nom><Nom>"),
        ("</Nom>", "<b></b></Nom>"),
        ("2026-02-27", "27/02/2026"),
    ],
)
def test_unreadable_entry_trusts_nobody_and_spoils_nothing(old, new):
    good = (
        format_trust_list(ENTRIES[2:], NOW).decode().split("<ListeDomaines>")[1].split("</ListeDomaines>")[0]
    )
    listed = read(PUBLISHED.replace(old, new).replace("</ListeDomaines>", good + "</ListeDomaines>"))
    assert listed.entries == ENTRIES[2:]
    assert listed.unreadable == 1


def test_stray_element_is_no_entry():
    listed = read(PUBLISHED.replace("<ListeDomaines>", "<ListeDomaines><Autre></Autre>"))
    assert (len(listed.entries), listed.unreadable) == (1, 1)


def test_entry_without_date():
    date = "<DateMAJ>2026-02-27T09:00:00.000Z</DateMAJ>"
    assert read(PUBLISHED.replace(date, "<DateMAJ></DateMAJ>")).entries[0].updated_at is None


def test_too_many_entries(monkeypatch):
    monkeypatch.setattr("mailserver.policy.trust_list.ENTRIES", 2)
    with pytest.raises(Malformed) as refusal:
        read(format_trust_list(ENTRIES, NOW))
    assert refusal.value.code == "trust-list-syntax"


def test_control_characters_cannot_be_written():
    with pytest.raises(Malformed) as refusal:
        format_trust_list([TrustedDomain(NORTH, DN_A, "bell \x07")], NOW)
    assert refusal.value.code == "trust-list-text"


def test_national_size():
    entries = tuple(
        TrustedDomain(
            parse_domain(f"d{number % 5000}.demo.example"), parse_dn(f"CN=mx{number}.demo.example,C=FR")
        )
        for number in range(6500)
    )
    xml = format_trust_list(entries, NOW)
    start = time.process_time()
    listed = read(xml)
    parsed = time.process_time()
    for entry in entries:
        assert listed.is_listed_for(entry.domain, entry.dn)
    looked_up = time.process_time()
    assert parsed - start < 5
    assert looked_up - parsed < 1
