"""What the operator's log says of the trust lists: each change, each reason to trust nobody, each once."""

import logging
from datetime import timedelta

import pytest
from harness.trust_lists import DN, facts_of, pin_of, put, signed_list

from mailserver.app.trust_watch import TrustWatch
from mailserver.crypto.xmldsig import sign_enveloped
from mailserver.model.address import parse_domain
from mailserver.policy.trust_list import TrustedDomain, format_trust_list
from mailserver.policy.trust_source import SourcePlan, TrustSource
from mailserver.policy.trust_steps import ListRule
from mailserver.policy.trust_store import TrustStore

NORTH, SOUTH = "north.demo.example", "south.demo.example"
HOUR = timedelta(hours=1)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path


@pytest.fixture(autouse=True)
def everything_is_heard(caplog):
    caplog.set_level(logging.INFO)


def write(folder, signer, date, *names, file="incoming.xml"):
    put(folder / file, signed_list(signer, date, *names))


def open_watch(folder, pinned, now, *, keeps=True, further=()):
    """``further``: (name, pin) of lists beside the main one, each in NAME.xml."""
    plans = [SourcePlan(folder / "incoming.xml", ListRule(pinned))]
    plans += [SourcePlan(folder / f"{name}.xml", ListRule(pin), name) for name, pin in further]
    store = TrustStore([TrustSource(plan, folder / "data", keeps=keeps) for plan in plans])
    store.load(now)
    watch = TrustWatch(store)
    watch.begin(now)
    return watch


def said(caplog):
    """(level, what), what being the shortest telling: a change, a code, or the line itself; with the list's name."""
    found = []
    for record in caplog.records:
        facts = record.__dict__
        what = facts.get("code") or facts.get("change") or record.getMessage()
        found.append((record.levelname, facts.get("list"), what))
    caplog.clear()
    return found


SIGNED = ("INFO", "main", "trust list signed by")
NOBODY = ("CRITICAL", None, "trust-list-empty")
LATE = ("ERROR", "main", "the trust list was not renewed in time")


def change(sign, name, source="main"):
    return ("INFO", source, f"{sign} {name} {DN}")


def test_a_list_refused_at_start_is_told_once(folder, signer, operator, now, caplog):
    write(folder, signer, now, NORTH)
    watch = open_watch(folder, pin_of(operator), now)
    assert said(caplog) == [("ERROR", "main", "xml-signer-not-pinned"), NOBODY]
    watch.round(now)
    assert said(caplog) == []


def test_no_file_is_told_once_and_nobody_trusted_each_hour(folder, pinned, now, caplog):
    watch = open_watch(folder, pinned, now)
    assert said(caplog) == [("ERROR", "main", "trust-list-unreadable"), NOBODY]
    for _ in range(3):
        watch.round(now)
    assert said(caplog) == []
    watch.round(now + HOUR)
    assert said(caplog) == [NOBODY]


def test_changes_while_running_and_while_away(folder, signer, pinned, now, caplog):
    write(folder, signer, now, NORTH)
    watch = open_watch(folder, pinned, now)
    assert said(caplog) == [change("+", NORTH), SIGNED]
    write(folder, signer, now + HOUR, NORTH, SOUTH)
    watch.round(now + HOUR)
    assert said(caplog) == [change("+", SOUTH)]
    write(folder, signer, now + 2 * HOUR, NORTH)
    # a command or another worker reads the list meanwhile: it neither keeps it nor speaks
    open_watch(folder, pinned, now + 2 * HOUR, keeps=False)
    assert said(caplog) == []
    open_watch(folder, pinned, now + 2 * HOUR)
    assert said(caplog) == [change("-", SOUTH), SIGNED]


def test_a_list_that_is_not_renewed(folder, signer, pinned, now, caplog):
    """An alarm after 24 h, at once and then each hour; after 72 h all is refused; then the end of both."""
    write(folder, signer, now, NORTH)
    watch = open_watch(folder, pinned, now)
    said(caplog)
    watch.round(now + 24 * HOUR)
    assert said(caplog) == []
    late = now + timedelta(hours=24, seconds=1)
    for moment, lines in (
        (late, [LATE]),
        (late + HOUR / 2, []),
        (late + HOUR, [LATE]),
        (late + 1.5 * HOUR, []),
    ):
        watch.round(moment)
        assert said(caplog) == lines
    later = now + 80 * HOUR
    watch.round(later)
    assert said(caplog) == [LATE, ("CRITICAL", None, "trust-list-stale")]
    watch.round(later)
    assert said(caplog) == []
    write(folder, signer, later, NORTH)
    watch.round(later)
    assert said(caplog) == [("INFO", None, "the trust list is in force again")]


def test_entries_that_cannot_be_read(folder, signer, pinned, now, caplog):
    write(folder, signer, now, NORTH)
    watch = open_watch(folder, pinned, now)
    said(caplog)
    for minutes in (1, 2):
        date = now + timedelta(minutes=minutes)
        entries = [TrustedDomain(parse_domain(name), DN, updated_at=date) for name in (NORTH, SOUTH)]
        xml = format_trust_list(entries, date).replace(SOUTH.encode(), b"no domain at all")
        put(folder / "incoming.xml", sign_enveloped(xml, signer.key_pem, signer.cert_pem))
        watch.round(now)
        assert said(caplog) == (
            [("WARNING", "main", "entries of a trust list trust nobody")] if minutes == 1 else []
        )


def test_the_signer_changes(folder, signer, next_signer, now, caplog):
    write(folder, signer, now, NORTH)
    watch = open_watch(folder, pin_of(signer, next_signer), now)
    said(caplog)
    write(folder, next_signer, now + HOUR, NORTH)
    watch.round(now + HOUR)
    (record,) = caplog.records
    assert record.signer == facts_of(next_signer).fingerprint_sha256
    assert record.dn == str(facts_of(next_signer).dn)
    assert said(caplog) == [SIGNED]


def test_a_signer_that_ends_without_a_next_one(folder, signer, next_signer, now, caplog):
    soon = facts_of(signer).not_after - timedelta(days=59)
    ends = ("WARNING", "main", "the trust list's signer ends soon, and no next one is set in signers")
    write(folder, signer, soon, NORTH)
    watch = open_watch(folder, pin_of(signer), soon)
    assert said(caplog) == [change("+", NORTH), SIGNED, ends]
    watch.round(soon + HOUR)
    assert said(caplog) == []
    write(folder, signer, soon + 24 * HOUR, NORTH)
    watch.round(soon + 24 * HOUR)
    assert said(caplog) == [ends]
    open_watch(folder, pin_of(signer, next_signer), soon + 24 * HOUR)
    assert said(caplog) == [SIGNED]


def test_one_list_of_several_is_stale(folder, signer, next_signer, pinned, now, caplog):
    write(folder, signer, now, NORTH)
    write(folder, next_signer, now - 71 * HOUR, SOUTH, file="region.xml")
    watch = open_watch(folder, pinned, now, further=[("region", pin_of(next_signer))])
    late = ("ERROR", "region", "the trust list was not renewed in time")
    signed = ("INFO", "region", "trust list signed by")
    assert said(caplog) == [change("+", NORTH), SIGNED, change("+", SOUTH, "region"), signed, late]
    watch.round(now + 2 * HOUR)
    assert said(caplog) == [late, ("ERROR", "region", "trust-list-stale")]
    write(folder, next_signer, now + 2 * HOUR, file="region.xml")
    watch.round(now + 2 * HOUR)
    assert said(caplog) == [change("-", SOUTH, "region"), ("ERROR", "region", "trust-list-empty")]
