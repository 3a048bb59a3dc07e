"""Notices that come back late: a Postfix that takes everything, a Dovecot where the reports arrive, and Pli that reads them."""

import asyncio
import json
import os
import ssl
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
import uvloop
from cli.test_bounce_command import sent_notice
from harness.dsn_words import dsn, qmail_words
from harness.list_server import server_context
from harness.ordinary_mail import KNOWN, NOTICES, PASSWORD, running_ordinary_mail
from harness.processes import wait_for
from service.gateway_node import JsonLines, make_gateway
from service.test_bounces import change, hear, named, profile_of, queue, row_of

from mailserver.app.bounce_watch import BounceWatch, load_record
from mailserver.app.notice_ways import open_bounces
from mailserver.cli.demo_stage import Operator, add_account, reserve_ports
from mailserver.cli.operator_folder import OperatorPlan, make_operator, parse_domains
from mailserver.config import load_config
from mailserver.crypto.authority import CERTIFICATE_FILE, DemoAuthority, DemoAuthorityWarning
from mailserver.crypto.secret import Secret
from mailserver.model.errors import Unavailable
from mailserver.service.bounces import BOUNCE_BYTES, Bounces, Heard
from mailserver.store import schema
from mailserver.store.jobs import JobState
from mailserver.sync import bounce_mailbox
from mailserver.sync.bounce_mailbox import BounceMailbox, MailboxAccess
from mailserver.tls.contexts import web_client_context

pytestmark = pytest.mark.xdist_group("ordinary-mail")
PATIENT = "279035121518989@a.localhost"
GONE = "dominique@ordinaire.example"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    folder = tmp_path_factory.mktemp("authority")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DemoAuthorityWarning)
        DemoAuthority.create(folder / "authority", datetime.now(UTC), key_bits=2048)
        made = DemoAuthority.open(folder / "authority")
        DemoAuthority.create(folder / "autre", datetime.now(UTC), key_bits=2048)
    issued = made.issue_operator("localhost", ["localhost"], "BOITES", now=datetime.now(UTC))
    (folder / "cert.pem").write_bytes(issued.cert_pem)
    (folder / "key.pem").write_bytes(issued.key_pem)
    return folder


@pytest.fixture(scope="module")
def ordinary(authority, require_tool, do_without):
    if os.geteuid() != 0:
        do_without("Postfix and Dovecot change users, which takes root")
    require_tool("postfix")
    require_tool("dovecot")
    shown = authority / "cert.pem", authority / "key.pem"
    with running_ordinary_mail(shown, authority / "authority" / CERTIFICATE_FILE) as running:
        yield running


@pytest.fixture
def box(ordinary):
    ordinary.clear()
    return ordinary


@pytest.fixture
def reading(tmp_path, authority, ordinary, monkeypatch):
    """The settings by which an operator reads the box of the notices."""
    (tmp_path / "secret").write_text(PASSWORD)
    settings = {
        "HOST": "localhost",
        "PORT": ordinary.imaps,
        "AUTHORITY": authority / "authority" / CERTIFICATE_FILE,
        "USER": NOTICES,
        "PASSWORD_FILE": tmp_path / "secret",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"PLI_BOUNCES_{name}", str(value))


@pytest.fixture
def gateway(tmp_path, authority, ordinary, reading):
    gateway = make_gateway(tmp_path / "operators", authority / "authority")
    gateway.node.add_patient(PATIENT, contact=GONE)
    gateway.relay_port = ordinary.relay_port
    gateway.tags_sender = True
    yield gateway
    gateway.close()


def send(gateway, **notice):
    token = queue(gateway, **notice)
    asyncio.run(gateway.worker().run_due())
    assert gateway.rows(schema.job)[-1].state == JobState.DONE.value
    return token


def read(gateway, now=None, run=uvloop.run):
    """One round of a fresh watch, whose record is what the last one left."""
    watch = BounceWatch(gateway.services, lambda: 0.5)

    async def look():
        with ThreadPoolExecutor(2) as pool:
            await watch.round(open_bounces(gateway.services.config), pool, now or datetime.now(UTC))

    run(look())
    return watch.record.error


def later(minutes=10):
    return datetime.now(UTC) + timedelta(minutes=minutes)


@pytest.mark.parametrize("is_tagged", [True, False], ids=["tagged", "untagged"])
def test_a_notice_that_comes_back_marks_its_address(gateway, box, is_tagged, caplog):
    gateway.tags_sender = is_tagged
    token = send(gateway, recipient=GONE)
    assert not profile_of(gateway).is_email_dead  # the relay took it
    report = box.wait_for_mail()
    assert (f"+{token}@" in report.read_text()) is is_tagged
    with caplog.at_level("INFO"):
        assert read(gateway) == ""
    assert profile_of(gateway).is_email_dead
    assert gateway.services.notices.waiting_job(row_of(gateway), gateway.clock.now) is None
    assert box.box() == []
    lines = [json.loads(line) for line in JsonLines(caplog).text().splitlines()]
    (line,) = [line for line in lines if line["what"] == "a notice came back"]
    assert (line["job"], line["code"]) == (gateway.job().job_id.hex(), "5.1.1")
    assert not [
        each for each in (GONE, NOTICES, PATIENT, token, PASSWORD) if each in JsonLines(caplog).text()
    ]


def test_a_notice_that_arrives_brings_nothing_back(gateway, box):
    change(gateway, contact_email=KNOWN)
    send(gateway, recipient=KNOWN)
    box.wait_for_mail(KNOWN)
    assert read(gateway) == ""
    assert not profile_of(gateway).is_email_dead


def test_all_kinds_of_mail_and_the_one_that_counts(gateway, box, caplog):
    """Forged, strange, huge and late mail stays, marked as seen; what is about a notice goes; all in one reading."""
    token = send(gateway, recipient=KNOWN)
    strange = [
        dsn(GONE, **named("a" * 42)),
        qmail_words(GONE, token),
        b"From: lou@ordinaire.example\r\nSubject: Re: Pli\r\n\r\nMerci !\r\n",
        dsn(GONE, **named(token)) + b"x" * (BOUNCE_BYTES + 1),
        bytes(range(1, 256)) * 50,
        b"",
    ]
    ours = [
        dsn(GONE, action="delayed", **named(token)),
        dsn(KNOWN, **named(token)),
        dsn(GONE, **named(token)),
    ]
    for octets in [*strange, *ours, ours[-1]]:
        box.put(octets)
    with caplog.at_level("INFO"):
        assert read(gateway) == ""
    assert profile_of(gateway).is_email_dead
    assert [path.name.rpartition(",")[2] for path in box.box()] == ["S"] * len(strange)
    lines = [json.loads(line) for line in JsonLines(caplog).text().splitlines()]
    assert [line["count"] for line in lines if line["what"] == "bounces read"] == [10]
    assert GONE not in JsonLines(caplog).text()
    caplog.clear()
    change(gateway, is_email_dead=False, is_email_returned=False)
    box.put(ours[-1])
    assert read(gateway, later()) == ""  # a replay
    assert not profile_of(gateway).is_email_dead


def test_nothing_is_deleted_where_the_operator_wants_to_keep_it(gateway, box, monkeypatch):
    monkeypatch.setenv("PLI_BOUNCES_DELETE", "false")
    config = load_config(gateway.node.folder / "pli.toml")
    token = send(gateway, recipient=GONE)
    box.wait_for_mail()
    heard = []

    async def note(octets):
        heard.append(hear(gateway, octets))
        return heard[-1]

    assert asyncio.run(open_bounces(config).read(note)) == 1
    assert heard == [Heard.MARKED]
    assert token in box.box()[0].read_text()
    assert asyncio.run(open_bounces(config).read(note)) == 0


def test_a_report_that_comes_too_early_is_looked_at_again(gateway, box):
    token = queue(gateway, recipient=GONE)
    box.put(dsn(GONE, **named(token)))
    assert read(gateway) == ""
    assert len(box.box()) == 1
    asyncio.run(gateway.worker().run_due())
    assert read(gateway, later()) == ""
    assert profile_of(gateway).is_email_dead


def test_a_mail_that_breaks_the_reader_stays_and_stops_nothing(gateway, box, monkeypatch, caplog):
    token = send(gateway, recipient=KNOWN)
    box.put(b"Subject: poison\r\n\r\nx\r\n")
    box.put(dsn(GONE, **named(token)))
    sound = Bounces.hear

    def hear_or_break(bounces, octets, now):
        if b"poison" in octets:
            raise RecursionError(GONE)
        return sound(bounces, octets, now)

    monkeypatch.setattr(Bounces, "hear", hear_or_break)
    assert read(gateway) == ""
    assert profile_of(gateway).is_email_dead
    assert len(box.box()) == 1
    lines = [json.loads(line) for line in JsonLines(caplog).text().splitlines()]
    (line,) = [line for line in lines if line["what"] == "a bounce was not judged"]
    assert (line["error"], len(line["incident"])) == ("RecursionError", 8)
    assert GONE not in JsonLines(caplog).text()


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        ("AUTHORITY", "autre", "bounces-tls-authority"),
        ("HOST", "127.0.0.1", "bounces-tls-host"),
        ("PORT", "1", "bounces-connection"),
        ("HOST", "boites.invalid", "bounces-name"),
        ("USER", "personne@a.localhost", "bounces-login"),
        ("PASSWORD_FILE", "wrong", "bounces-login"),
        ("MAILBOX", "Nulle part", "bounces-mailbox"),
    ],
)
def test_a_mailbox_that_cannot_be_read(
    gateway, box, authority, tmp_path, monkeypatch, caplog, setting, value, code
):
    """Told once, and kept for ``pli check``; the password goes to nobody who did not show the right name."""
    (tmp_path / "wrong").write_text("wrong")
    paths = {"autre": authority / "autre" / CERTIFICATE_FILE, "wrong": tmp_path / "wrong"}
    monkeypatch.setenv(f"PLI_BOUNCES_{setting}", str(paths.get(value, value)))
    services = gateway.services
    path = gateway.node.folder / "pli.toml"
    object.__setattr__(services, "config", load_config(path))
    box.put(b"Subject: x\r\n\r\nx\r\n")
    with caplog.at_level("INFO"):
        assert read(gateway) == code
        assert read(gateway, later()) == code
    lines = [json.loads(line) for line in JsonLines(caplog).text().splitlines()]
    assert [(line["level"], line["code"]) for line in lines if line["what"] == "bounces are not read"] == [
        ("error", code)
    ]
    assert not [each for each in (PASSWORD, NOTICES) if each in JsonLines(caplog).text()]
    assert load_record(services.config).error == code
    monkeypatch.undo()


def test_it_is_said_when_it_works_again(gateway, box, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(bounce_mailbox, "ROUND_SECONDS", 0.0)
        assert read(gateway) == "bounces-timeout"
    with caplog.at_level("INFO"):
        assert read(gateway) == "bounces-timeout"  # a minute has not passed: not tried
        assert read(gateway, later()) == ""
    assert "bounces are read again" in JsonLines(caplog).text()


GREETING = b"* OK ready\r\n"
HOSTILE = {
    "not IMAP": ([b"220 relais.example ESMTP\r\n"], "bounces-timeout"),
    "goodbye": ([b"* BYE full\r\n"], "bounces-timeout"),
    "nothing": ([], "bounces-connection"),
    "a line without end": ([GREETING, *[b"x" * 65536] * 80], "bounces-connection"),
    "a reply to nobody": ([GREETING, b"XX99 OK done\r\n"], "bounces-timeout"),
    "a literal without end": (
        [GREETING, b"* CAPABILITY {99999999999}\r\n", *[b"x" * 65536] * 80],
        "bounces-connection",
    ),
    "lines": ([GREETING, b"* CAPABILITY IMAP4rev1\r\n" * 5000], "bounces-connection"),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_server_that_makes_no_sense_is_left(authority, tmp_path, monkeypatch, kind, run):
    """Within the bounds of time and octets, whatever it says."""
    monkeypatch.setattr(bounce_mailbox, "STEP_SECONDS", 0.3)
    monkeypatch.setattr(bounce_mailbox, "ROUND_SECONDS", 1.0)
    monkeypatch.setattr(bounce_mailbox, "ANSWER_BYTES", 1 << 20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DemoAuthorityWarning)
        context = server_context(DemoAuthority.open(authority / "authority"), tmp_path)
    assert context.verify_mode is ssl.CERT_NONE
    said, code = HOSTILE[kind]
    assert run(talk(context, authority, tmp_path, said)) == code


async def talk(context, authority, folder, said):
    """The code of a reading from a server that says this to whoever comes, then waits; with nothing to say it goes."""
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            for piece in said:
                writer.write(piece)
                await writer.drain()
            while said and await reader.read(65536):
                pass
        except OSError:
            pass
        writer.transport.abort()

    async def hear_nothing(octets):
        raise AssertionError(octets)

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = listener.sockets[0].getsockname()[1]
    client = web_client_context(authority / "authority" / CERTIFICATE_FILE)
    access = MailboxAccess("localhost", port, client, NOTICES, Secret(PASSWORD.encode()))
    try:
        await BounceMailbox(access, deletes=True).read(hear_nothing)
    except Unavailable as error:
        return error.code
    finally:
        listener.close()
        await asyncio.gather(*tasks)
    return ""


@pytest.mark.slow
def test_a_server_reads_the_box_from_its_start(box, reading, tmp_path):
    """``pli serve`` with two workers: one of them reads."""
    (block,) = reserve_ports(1)
    folder = tmp_path / "a"
    plan = OperatorPlan(
        folder, parse_domains(["a.localhost"]), block.base, tmp_path / "authority", key_bits=2048
    )
    make_operator(plan, datetime.now(UTC))
    server = Operator("a", folder, block)
    add_account(server, "PER", "camille@a.localhost", "Camille FICTIF", "--contact-email", GONE)
    box.put(dsn(GONE, original=f"<{sent_notice(folder / 'pli.toml', 'camille@a.localhost')}@a.localhost>"))
    log = folder / "serve.log"
    with ExitStack() as at_end:
        at_end.callback(block.release)
        at_end.callback(server.stop)
        server.start(workers=2)
        wait_for(lambda: True if "a contact address is dead" in log.read_text() else None)
        wait_for(lambda: True if box.box() == [] else None)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len([line for line in lines if line["what"] == "bounces read"]) == 1
    assert not [each for each in (GONE, NOTICES, PASSWORD) if each in log.read_text()]
