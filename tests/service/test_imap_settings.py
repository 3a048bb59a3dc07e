"""What an administrator sets for one account's mail clients: hidden capabilities, and a trace without content."""

import imaplib
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.imap_harness import HOST, RunningImap, TlsFiles, make_node, make_tls, running_imap

from mailserver.audit.events import EventKind
from mailserver.model.address import parse_address
from mailserver.service.directory import Profile

MAIL = b"Subject: Secret\r\nFrom: x@b.localhost\r\n\r\nSecret\r\n"


@pytest.fixture
def tls(tmp_path: Path) -> TlsFiles:
    (tmp_path / "tls").mkdir()
    return make_tls(tmp_path / "tls")


@pytest.fixture
def running(tmp_path: Path, tls: TlsFiles) -> Iterator[RunningImap]:
    (tmp_path / "node").mkdir()
    node = make_node(tmp_path / "node")
    with running_imap(node, tls) as server:
        yield server
    node.close()


def client(running: RunningImap, tls: TlsFiles, name: str) -> imaplib.IMAP4_SSL:
    account = running.node.accounts[name]
    made = imaplib.IMAP4_SSL(HOST, running.tls_port, ssl_context=tls.client)
    made.login(account.address, account.app_password)
    return made


def test_what_an_account_hides_is_not_told_to_it(running: RunningImap, tls: TlsFiles) -> None:
    node = running.node
    for name in ("ann", "ben"):
        node.add(name, has_password=True)

    def hide(profile: Profile) -> Profile:
        return replace(profile, hidden_capabilities=("CONDSTORE", "QRESYNC"))

    address = parse_address(node.accounts["ann"].address)
    node.administration.mark_client_settings(address, hide, datetime.now(UTC))
    with client(running, tls, "ann") as ann, client(running, tls, "ben") as ben:
        told = [set(each.capability()[1][0].split()) for each in (ann, ben)]
        assert told[1] - told[0] == {b"CONDSTORE", b"QRESYNC"}
        assert ann.enable("QRESYNC")[0] == "OK"
        assert ann.response("ENABLED")[1] == [b""]
        assert ben.enable("QRESYNC")[0] == "OK"
        assert ben.response("ENABLED")[1] == [b"QRESYNC"]
    assert EventKind.ADMINISTRATOR_ACT in {event.kind for event in node.read_log("ann")}


def test_a_trace_names_the_account_by_its_id_and_holds_no_content(
    running: RunningImap, tls: TlsFiles, caplog: pytest.LogCaptureFixture
) -> None:
    node = running.node
    for name in ("ann", "ben"):
        node.add(name, has_password=True)
    until = int(datetime.now(UTC).timestamp()) + 600
    node.administration.mark_client_settings(
        parse_address(node.accounts["ann"].address),
        lambda profile: replace(profile, traced_until=until),
        datetime.now(UTC),
    )
    caplog.set_level(logging.INFO, "pli.imap.trace")
    for name in ("ann", "ben"):
        with client(running, tls, name) as each:
            each.append('"Secret"', None, None, MAIL)
            each.create("Secret")
            each.append("Secret", None, None, MAIL)
            each.select("Secret")
            each.search(None, "SUBJECT", "Secret")
            each.fetch("1", "(ENVELOPE BODY[])")
    records = [record for record in caplog.records if record.name == "pli.imap.trace"]
    assert {record.__dict__["account"] for record in records} == {node.accounts["ann"].account_id.hex()}
    said = [record.getMessage() for record in records]
    assert not any("ecret" in line or node.accounts["ann"].app_password in line for line in said)
    assert any("FETCH 1 (ENVELOPE BODY[])" in line for line in said)
    assert {record.__dict__["from"] for record in records} == {"client", "server"}
