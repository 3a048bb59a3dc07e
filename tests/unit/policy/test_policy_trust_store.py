"""Several lists: their union, each as old as itself; what is in force between two looks."""

from datetime import timedelta

import pytest
from harness.trust_lists import DN, pin_of, put, signed_list

from mailserver.crypto.x509 import parse_dn
from mailserver.model.address import parse_domain
from mailserver.model.errors import Conflict, Denied
from mailserver.policy.decision import Reason
from mailserver.policy.trust_list import NOBODY
from mailserver.policy.trust_source import SourcePlan, TrustSource
from mailserver.policy.trust_steps import ListRule
from mailserver.policy.trust_store import TrustStore

NORTH, SOUTH, BOTH = (parse_domain(f"{name}.demo.example") for name in ("north", "south", "both"))
OTHER = parse_dn("CN=mx2.demo.example,O=B,C=FR")
HOUR = timedelta(hours=1)


@pytest.fixture
def lists(tmp_path, signer, next_signer, now):
    """A main list and a region's, each signed by its own signer."""
    put(tmp_path / "main.xml", signed_list(signer, now, NORTH.name, BOTH.name))
    put(tmp_path / "region.xml", signed_list(next_signer, now - 10 * HOUR, SOUTH.name, BOTH.name, dn=OTHER))
    return tmp_path


@pytest.fixture
def open_trust(lists, signer, next_signer):
    def open_it(*, region=next_signer):
        plans = [
            SourcePlan(lists / "main.xml", ListRule(pin_of(signer))),
            SourcePlan(lists / "region.xml", ListRule(pin_of(region)), "region"),
        ]
        return TrustStore([TrustSource(plan, lists) for plan in plans])

    return open_it


def test_nobody_before_the_first_look(open_trust, now):
    assert open_trust().current.find_refusal(now) is Reason.TRUST_LIST_EMPTY
    assert TrustStore([]).current is NOBODY


def test_union(open_trust, now):
    trust = open_trust()
    assert [report.error for report in trust.load(now)] == [None, None]
    assert trust.current.find_refusal(now) is None
    assert trust.current.dns_for(NORTH) == {DN}
    assert trust.current.dns_for(SOUTH) == {OTHER}
    assert trust.current.dns_for(BOTH) == {DN, OTHER}
    assert trust.current.count_domains() == 3
    assert len(trust.current.entries) == 4
    before = trust.current
    trust.refresh(now)
    assert trust.current is before  # nothing changed, nothing is built again


def test_each_list_has_its_good_copy(open_trust, lists, now):
    open_trust().load(now)
    for name in ("main.xml", "region.xml"):
        (lists / name).unlink()
    trust = open_trust()
    trust.load(now)
    assert trust.current.count_domains() == 3
    copies = {path.name for path in lists.iterdir()}
    assert copies == {"trust-list.xml", "trust-list-region.xml"}


def test_a_signer_of_one_list_signs_no_other(open_trust, lists, signer, now):
    trust = open_trust()
    trust.load(now)
    put(lists / "region.xml", signed_list(signer, now, SOUTH.name))
    main, region = trust.refresh(now)
    assert main.error is None
    assert isinstance(region.error, Denied) and region.error.code == "xml-signer-not-pinned"
    assert trust.current.dns_for(SOUTH) == {OTHER}


def test_one_list_that_is_refused_leaves_the_other(open_trust, signer, now):
    trust = open_trust(region=signer)
    trust.load(now)
    assert trust.current.is_listed(NORTH)
    assert not trust.current.is_listed(SOUTH)


def test_a_stale_list_contributes_nobody(open_trust, now):
    trust = open_trust()
    trust.load(now)
    later = now + 62 * HOUR + timedelta(seconds=1)
    # between two looks: refused, not trusted by what has become stale
    assert trust.current.find_refusal(later) is Reason.TRUST_LIST_STALE
    trust.refresh(later)
    assert trust.current.find_refusal(later) is None
    assert trust.current.dns_for(BOTH) == {DN}
    assert not trust.current.is_listed(SOUTH)
    last = now + 73 * HOUR
    trust.refresh(last)
    assert trust.current.find_refusal(last) is Reason.TRUST_LIST_STALE


def test_why_nobody_is_trusted(open_trust, lists, next_signer, now):
    """A list that was never there does not hide that the other one is only too old."""
    (lists / "main.xml").unlink()
    trust = open_trust()
    trust.load(now + 70 * HOUR)
    assert trust.current.find_refusal(now + 70 * HOUR) is Reason.TRUST_LIST_STALE


def test_each_list_is_held_against_itself(open_trust, lists, next_signer, signer, now):
    """The region's list may be older than the main one, not older than its own."""
    trust = open_trust()
    trust.load(now)
    put(lists / "region.xml", signed_list(next_signer, now - 9 * HOUR, SOUTH.name, dn=OTHER))
    assert trust.refresh(now)[1].change.lines() == (f"- both.demo.example {OTHER}",)
    put(lists / "region.xml", signed_list(next_signer, now - 11 * HOUR, SOUTH.name, BOTH.name, dn=OTHER))
    assert isinstance(trust.refresh(now)[1].error, Conflict)
    assert trust.current.dns_for(BOTH) == {DN}
