"""What the operator's log says of the trust list: each change, each reason to trust nobody, each once."""

import logging
from datetime import timedelta

import pytest

from mailserver.app.trust_watch import TrustWatch
from mailserver.crypto.x509 import parse_dn
from mailserver.crypto.xmldsig import PinnedSigner, sign_enveloped
from mailserver.model.address import parse_domain
from mailserver.policy.trust_list import TrustedDomain, format_trust_list
from mailserver.policy.trust_store import TrustStore

DN = parse_dn("CN=mx.demo.example,O=A,C=FR")
NORTH, SOUTH = parse_domain("north.demo.example"), parse_domain("south.demo.example")


@pytest.fixture
def folder(tmp_path, signer):
    (tmp_path / "data").mkdir()
    return tmp_path


def write(folder, signer, date, *domains):
    entries = [TrustedDomain(domain, DN, updated_at=date) for domain in domains]
    signed = sign_enveloped(format_trust_list(entries, date), signer.key_pem, signer.cert_pem)
    (folder / "part").write_bytes(signed)
    (folder / "part").replace(folder / "incoming.xml")


def open_watch(folder, authority, now, *, keeps=True, name="alb.demo.example"):
    pinned = PinnedSigner(issuer_der=authority.certificate_der, common_name=name)
    store = TrustStore(folder / "data", folder / "incoming.xml", pinned, keeps=keeps)
    store.load(now)
    watch = TrustWatch(store)
    watch.tell(store.opening, now)
    return watch


def said(caplog):
    found = [
        (
            record.levelname,
            record.__dict__.get("code") or record.__dict__.get("change") or record.getMessage(),
        )
        for record in caplog.records
    ]
    caplog.clear()
    return found


NOBODY = ("CRITICAL", "trust-list-empty")


def test_a_list_refused_at_start_is_told_once(folder, signer, authority, now, caplog):
    caplog.set_level(logging.INFO)
    write(folder, signer, now, NORTH)
    watch = open_watch(folder, authority, now, name="somebody.demo.example")
    assert [level for level, _code in said(caplog)] == ["ERROR", "CRITICAL"]
    watch.round(now)
    assert said(caplog) == []


def test_no_file_is_told_once(folder, authority, now, caplog):
    watch = open_watch(folder, authority, now)
    assert said(caplog) == [("ERROR", "trust-list-unreadable"), NOBODY]
    for _ in range(3):
        watch.round(now)
    assert said(caplog) == []


def test_changes_while_running_and_while_away(folder, signer, authority, now, caplog):
    caplog.set_level(logging.INFO)
    write(folder, signer, now, NORTH)
    watch = open_watch(folder, authority, now)
    north, south = (f"+ {name}.demo.example CN=mx.demo.example,O=A,C=FR" for name in ("north", "south"))
    assert said(caplog) == [("INFO", north)]
    write(folder, signer, now + timedelta(hours=1), NORTH, SOUTH)
    watch.round(now + timedelta(hours=1))
    assert said(caplog) == [("INFO", south)]
    write(folder, signer, now + timedelta(hours=2), NORTH)
    # a command or another worker reads the list meanwhile: it neither keeps it nor speaks
    open_watch(folder, authority, now + timedelta(hours=2), keeps=False)
    assert said(caplog) == []
    open_watch(folder, authority, now + timedelta(hours=2))
    assert said(caplog) == [("INFO", "-" + south[1:])]


def test_a_stale_list_is_told_and_so_is_its_end(folder, signer, authority, now, caplog):
    caplog.set_level(logging.INFO)
    write(folder, signer, now, NORTH)
    watch = open_watch(folder, authority, now)
    caplog.clear()
    later = now + timedelta(hours=80)
    watch.round(later)
    watch.round(later)
    assert said(caplog) == [("CRITICAL", "trust-list-stale")]
    write(folder, signer, later, NORTH)
    watch.round(later)
    assert said(caplog) == [("INFO", "the trust list is in force again")]
