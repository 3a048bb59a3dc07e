"""The list in force: last good copy, no roll-back, a bad file changes nothing."""

from datetime import timedelta

import pytest
from harness.trust_lists import pin_of

from mailserver.crypto.authority import Variant
from mailserver.crypto.x509 import parse_dn
from mailserver.crypto.xmldsig import sign_enveloped
from mailserver.model.address import parse_domain
from mailserver.model.errors import Conflict, Denied, Unavailable
from mailserver.policy.decision import Reason
from mailserver.policy.trust_list import TrustedDomain, format_trust_list
from mailserver.policy.trust_source import GOOD_COPY, SourcePlan, TrustSource
from mailserver.policy.trust_steps import ListRule

DN = parse_dn("CN=mx.demo.example,O=A,C=FR")
NORTH, SOUTH = parse_domain("north.demo.example"), parse_domain("south.demo.example")


@pytest.fixture
def write(tmp_path, signer):
    def write_list(date, *domains, by=signer):
        entries = [TrustedDomain(domain, DN, updated_at=date) for domain in domains]
        signed = sign_enveloped(format_trust_list(entries, date), by.key_pem, by.cert_pem)
        partial = tmp_path / "incoming.part"
        partial.write_bytes(signed)
        partial.replace(tmp_path / "incoming.xml")
        return signed

    return write_list


@pytest.fixture
def open_source(tmp_path, pinned):
    def open_it(rule=None):
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        return TrustSource(SourcePlan(tmp_path / "incoming.xml", rule or ListRule(pinned)), folder)

    return open_it


def test_nobody_before_the_first_list(open_source, now):
    source = open_source()
    report = source.load(now)
    assert report.error.code == "trust-list-unreadable"
    assert source.current.find_refusal(now) is Reason.TRUST_LIST_EMPTY


def test_load_refresh_and_restart(open_source, write, now, tmp_path):
    signed = write(now, NORTH)
    source = open_source()
    report = source.load(now)
    assert report.error is None
    assert report.change.lines() == ("+ north.demo.example CN=mx.demo.example,O=A,C=FR",)
    assert (tmp_path / "data" / GOOD_COPY).read_bytes() == signed
    assert source.refresh(now).change is None  # the file has not changed
    write(now + timedelta(hours=1), NORTH, SOUTH)
    later = now + timedelta(hours=1)
    assert source.refresh(later).change.lines() == ("+ south.demo.example CN=mx.demo.example,O=A,C=FR",)
    (tmp_path / "incoming.xml").unlink()
    again = open_source()
    again.load(later)
    assert again.current == source.current
    assert [path.name for path in (tmp_path / "data").iterdir()] == [GOOD_COPY]


def test_bad_file_keeps_the_list(open_source, write, now, tmp_path):
    source = open_source()
    signed = write(now, NORTH)
    source.load(now)
    (tmp_path / "incoming.xml").write_bytes(signed.replace(b"north", b"south"))
    report = source.refresh(now)
    assert isinstance(report.error, Denied) and report.error.code == "xml-digest"
    assert report.change is None
    assert source.current.is_listed(NORTH) and not source.current.is_listed(SOUTH)
    assert source.refresh(now).error is None  # the same bad file is reported once
    assert (tmp_path / "data" / GOOD_COPY).read_bytes() == signed


def test_roll_back_is_refused_also_after_a_restart(open_source, write, now):
    source = open_source()
    write(now, NORTH)
    source.load(now)
    write(now - timedelta(hours=1), NORTH, SOUTH)
    for held in (source, open_source()):
        report = held.load(now)
        assert isinstance(report.error, Conflict) and report.error.code == "trust-list-older"
        assert not held.current.is_listed(SOUTH)


def test_same_list_again_changes_nothing(open_source, write, now):
    source = open_source()
    signed = write(now, NORTH)
    source.load(now)
    assert not source.replace_list(signed, now)


def test_altered_good_copy_trusts_nobody(open_source, write, now, tmp_path):
    signed = write(now, NORTH)
    open_source().load(now)
    (tmp_path / "data" / GOOD_COPY).write_bytes(signed.replace(b"north", b"south"))
    source = open_source()
    (tmp_path / "incoming.xml").unlink()
    assert source.load(now).error.code == "trust-list-unreadable"
    assert source.current.find_refusal(now) is Reason.TRUST_LIST_EMPTY
    (tmp_path / "incoming.xml").write_bytes(signed)
    assert source.load(now).change
    assert source.current.is_listed(NORTH)


def test_altered_good_copy_is_reported_when_the_source_is_silent(open_source, write, now, tmp_path):
    signed = write(now, NORTH)
    source = open_source()
    source.load(now)
    (tmp_path / "data" / GOOD_COPY).write_bytes(signed[:-9])
    assert source.load(now).error.code == "xml-signature-place"
    assert source.current.is_listed(NORTH)


def test_unreadable_good_copy(open_source, write, now, tmp_path):
    write(now, NORTH)
    source = open_source()
    source.load(now)
    (tmp_path / "data" / GOOD_COPY).unlink()
    (tmp_path / "data" / GOOD_COPY).mkdir()
    assert source.load(now).error.code == "trust-list-unreadable"


def test_list_from_the_future_waits_for_its_time(open_source, write, now):
    source = open_source()
    write(now + timedelta(hours=1), NORTH)
    for _ in range(2):
        assert source.refresh(now).error.code == "trust-list-from-future"
    assert source.refresh(now + timedelta(hours=1)).change


def test_expired_signer(open_source, write, now, authority):
    old = authority.issue_list_signer("demo.example", now=now, variant=Variant.EXPIRED)
    source = open_source(ListRule(pin_of(old)))
    write(now, NORTH, by=old)
    assert source.refresh(now).error.code == "xml-signer-expired"
    assert source.current.find_refusal(now) is Reason.TRUST_LIST_EMPTY


def test_stale_list_refuses_everything(open_source, write, now):
    source = open_source()
    write(now, NORTH)
    source.load(now)
    assert source.current.find_refusal(now + timedelta(hours=73)) is Reason.TRUST_LIST_STALE


def test_list_that_cannot_be_kept_is_not_used(open_source, write, now, tmp_path):
    source = open_source()
    write(now, NORTH)
    source.load(now)
    write(now + timedelta(hours=1), SOUTH)
    (tmp_path / "data").rename(tmp_path / "away")
    report = source.refresh(now + timedelta(hours=1))
    assert isinstance(report.error, Unavailable) and report.error.code == "trust-list-disk"
    assert source.current.is_listed(NORTH) and not source.current.is_listed(SOUTH)
    (tmp_path / "away").rename(tmp_path / "data")
    assert source.refresh(now + timedelta(hours=1)).change


def test_empty_signed_list_trusts_nobody(open_source, write, now):
    source = open_source()
    write(now, NORTH)
    source.load(now)
    write(now + timedelta(minutes=5))
    assert source.refresh(now + timedelta(minutes=5)).change.lines()[0].startswith("- ")
    assert source.current.find_refusal(now) is Reason.TRUST_LIST_EMPTY
