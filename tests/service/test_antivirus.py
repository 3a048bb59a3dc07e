"""The antivirus in front of every mailbox: only "OK" passes, nothing is kept of the rest, the log says it once (S5)."""

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.clamd import EICAR, VERSION, FakeClamd, configured, fake_clamd
from harness.smtp_harness import letter as smtp_letter
from harness.smtp_harness import operator_context, row_counts, running_smtp
from harness.web_node import make_peers
from service.delivery_peers import Bench, make_bench, message

from mailserver.mime.trace import find_scanned, scanned_line_of
from mailserver.policy.decision import Reason
from mailserver.policy.mail_rules import Scan
from mailserver.service import antivirus
from mailserver.service.antivirus import Antivirus
from mailserver.service.intake import Intake
from mailserver.store.blob_folder import BlobFolder

OURS, PEER = "camille@a.localhost", "noa@b.localhost"


class Clock:
    """Monotonic seconds that also pass by hand."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def clamd(tmp_path: Path) -> Iterator[FakeClamd]:
    with fake_clamd(tmp_path / "c") as running:
        yield running


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GREETING_SECONDS", "SCAN_SECONDS", "TURN_SECONDS"):
        monkeypatch.setattr(antivirus, name, 0.1)


@pytest.fixture
def make_intake(tmp_path: Path):
    """Intakes of these octets, closed at the end."""
    made = []

    def make(octets: bytes = b"Subject: x\r\n\r\nBonjour\r\n") -> Intake:
        intake = Intake(BlobFolder(tmp_path), 1 << 30)
        made.append(intake)
        intake.write_trace(b"Return-Path: <>\r\n")
        for start in range(0, len(octets), 65536):
            intake.write(octets[start : start + 65536])
        intake.finish()
        return intake

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("size", [0, 20, 70_000, 1_000_000])
def test_clamd_sees_every_octet(clamd, make_intake, size):
    octets = b"Subject: x\r\n\r\n" + b"y" * size
    assert Antivirus(clamd.path).scan(make_intake(octets)) is Scan.CLEAN
    assert clamd.seen == [b"Return-Path: <>\r\n" + octets]


def test_the_end_of_a_large_message_counts(clamd, make_intake):
    assert Antivirus(clamd.path).scan(make_intake(b"y" * 500_000 + EICAR)) is Scan.INFECTED


@pytest.mark.parametrize(
    ("verdict", "scan"),
    [
        (b"2: stream: OK\0", Scan.CLEAN),
        (b"2: stream: Doc.Macro-7 FOUND\0", Scan.INFECTED),
        (b"2: stream: \xff\xfe\r\nx FOUND\0", Scan.INFECTED),
        (b"2: INSTREAM size limit exceeded. ERROR\0", Scan.TOO_LARGE),
        (b"2: stream: OK\n", Scan.AWAY),
        (b"1: stream: OK\0", Scan.AWAY),
        (b"stream: OK\0", Scan.AWAY),
        (b"2: stream: OK\x003: stream: OK\0", Scan.AWAY),
        (b"2: stream: ok\0", Scan.AWAY),
        (b"2: stream: OK \0", Scan.AWAY),
        (b"2: stream: Can't allocate memory ERROR\0", Scan.AWAY),
        (b"2: UNKNOWN COMMAND\0", Scan.AWAY),
        (b"\0", Scan.AWAY),
        (b"x" * 100_000, Scan.AWAY),
        (b"", Scan.AWAY),
        (None, Scan.AWAY),
    ],
)
def test_verdicts(clamd, make_intake, short_waits, verdict, scan):
    clamd.verdict = lambda _octets: verdict
    assert Antivirus(clamd.path).scan(make_intake()) is scan


@pytest.mark.parametrize(
    "greeting", [b"", None, b"1: stream: OK\0", b"220 mail.example ESMTP\r\n", b"2" + VERSION[1:], b"\0" * 9]
)
def test_what_is_no_clamd_sees_no_mail(clamd, make_intake, short_waits, greeting):
    clamd.greeting = greeting
    assert Antivirus(clamd.path).scan(make_intake()) is Scan.AWAY
    assert clamd.seen == []


def test_the_size_limit_is_heard_though_clamd_stops_reading(clamd, make_intake):
    clamd.stops_after = 100_000
    clamd.verdict = lambda _octets: b"2: INSTREAM size limit exceeded. ERROR\0"
    assert Antivirus(clamd.path).scan(make_intake(b"y" * 5_000_000)) is Scan.TOO_LARGE


def test_absent_then_back(tmp_path, make_intake, caplog):
    """One line at once and one a minute; asked again once in five seconds, by one thread; then as before."""
    caplog.set_level(logging.INFO, "pli.antivirus")
    clock = Clock()
    scanner = Antivirus(tmp_path / "c", clock)
    for ahead in (0, 1, 4, 6, 12, 61, 67):
        clock.ahead = ahead
        assert scanner.scan(make_intake()) is Scan.AWAY
    assert [line.levelname for line in caplog.records] == ["ERROR", "ERROR"]
    assert caplog.records[0].cause == "no connection"
    with fake_clamd(tmp_path / "c") as clamd:
        clock.ahead = 70
        assert scanner.scan(make_intake()) is Scan.AWAY
        assert clamd.connections == 0
        clock.ahead = 73
        assert [scanner.scan(make_intake()) for _each in range(3)] == [Scan.CLEAN] * 3
    assert [line.getMessage() for line in caplog.records][2:] == ["antivirus answers"]
    assert str(tmp_path) not in caplog.text


def test_the_operator_hears_at_the_start(tmp_path, caplog):
    caplog.set_level(logging.INFO, "pli.antivirus")
    Antivirus(tmp_path / "c").greet()
    with fake_clamd(tmp_path / "c") as clamd:
        Antivirus(tmp_path / "c").greet()
    assert [line.levelname for line in caplog.records] == ["ERROR", "INFO"]
    assert clamd.seen == []


def test_one_message_that_takes_too_long_holds_back_no_other(clamd, make_intake, short_waits):
    scanner = Antivirus(clamd.path)
    clamd.verdict = lambda octets: None if b"bomb" in octets else b"2: stream: OK\0"
    assert scanner.scan(make_intake(b"bomb")) is Scan.AWAY
    assert scanner.scan(make_intake()) is Scan.CLEAN


def test_scans_at_once_are_counted(clamd, make_intake, monkeypatch):
    """The ninth waits for its turn, and not for ever."""
    monkeypatch.setattr(antivirus, "TURN_SECONDS", 0.05)
    scanner = Antivirus(clamd.path)
    inside, release = threading.Semaphore(0), threading.Event()

    def verdict(_octets):
        inside.release()
        release.wait(20)
        return b"2: stream: OK\0"

    clamd.verdict = verdict
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(scanner.scan(make_intake())))
        for _each in range(antivirus.TURNS)
    ]
    for each in threads:
        each.start()
    for _each in threads:
        assert inside.acquire(timeout=20)
    assert scanner.scan(make_intake()) is Scan.AWAY
    release.set()
    for each in threads:
        each.join()
    assert found == [Scan.CLEAN] * antivirus.TURNS


def test_a_signature_is_logged_and_nothing_else(clamd, make_intake, caplog):
    caplog.set_level(logging.INFO, "pli.antivirus")
    clamd.verdict = lambda _octets: b"2: stream: Pdf.Exploit\r\n\x1b[31m-1 FOUND\0"
    assert Antivirus(clamd.path).scan(make_intake(b"Subject: secret-subject\r\n\r\n")) is Scan.INFECTED
    (engine, line) = caplog.records
    assert (line.levelname, line.signature) == ("WARNING", "Pdf.Exploit_31m-1")
    assert engine.version.startswith("ClamAV 1.4.6/27500/")
    assert "secret-subject" not in caplog.text


# --- in front of the mailboxes --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def socket_path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("clamd") / "c"


@pytest.fixture(scope="module")
def bench(tmp_path_factory, socket_path) -> Iterator[Bench]:
    with configured(socket_path):
        bench = make_bench(tmp_path_factory.mktemp("reception"))
    yield bench
    bench.node.close()


@pytest.fixture
def asked_each_time(monkeypatch):
    monkeypatch.setattr(antivirus, "RETRY_SECONDS", 0.0)


@pytest.fixture(scope="module")
def person(bench):
    return bench.node.open(OURS, bench.node.add(OURS).app_password)


def test_a_clean_message_says_so_above_what_was_received(bench, person, socket_path, asked_each_time):
    sent = message("propre", X_Pli_Antivirus="clean; b.localhost; Mon, 06 Jul 2026 09:00:00 +0000")
    with fake_clamd(socket_path):
        bench.deliver([OURS], sent)
    stored = bench.read(person, bench.page(person)[-1])
    lines = stored[: -len(sent)].split(b"\r\n")
    assert [line.split(b":")[0] for line in lines if not line.startswith(b"\t")] == [
        b"Return-Path",
        b"X-Pli-Antivirus",
        b"Received",
        b"",
    ]
    assert find_scanned(stored) is not None
    assert scanned_line_of(stored) == lines[1] + b"\r\n"


def test_another_operators_word_is_not_ours():
    """A line under the first Received, or in its own octets, was not written here."""
    line = b"X-Pli-Antivirus: clean; b.localhost; Mon, 06 Jul 2026 09:00:00 +0000\r\n"
    received = b"Received: from b.localhost\r\n\tby a.localhost; x\r\n"
    assert find_scanned(line) is not None
    for stored in (
        b"Return-Path: <>\r\n" + received + line,
        b"Return-Path: <>\r\nSubject: x\r\n" + line,
        b"Return-Path: <a>\r\nReturn-Path: <b>\r\n" + line,
        line.replace(b"clean", b"infected"),
    ):
        assert find_scanned(stored) is None


@pytest.mark.parametrize("size", [0, 200_000])
def test_what_does_not_pass_leaves_nothing(bench, person, socket_path, asked_each_time, size):
    body = b"y" * size + EICAR + b"\r\n"
    before = row_counts(bench.node)
    files = sorted((bench.node.folder / "data" / "blobs").rglob("*"))
    assert bench.accept([OURS], message("absent", body=body)).decision.reason is Reason.ANTIVIRUS_AWAY
    with fake_clamd(socket_path):
        assert bench.accept([OURS], message("infecté", body=body)).decision.reason is Reason.INFECTED
    assert row_counts(bench.node) == before
    assert sorted((bench.node.folder / "data" / "blobs").rglob("*")) == files


@pytest.fixture(scope="module")
def operators(tmp_path_factory, socket_path):
    with configured(socket_path):
        ours, peer = make_peers(tmp_path_factory.mktemp("operators"))
    yield ours, peer, ours.add(OURS).app_password
    ours.close()
    peer.close()


def test_both_ports_put_mail_off_and_take_it_later(operators, socket_path, asked_each_time):
    ours, peer, password = operators
    with running_smtp(ours) as smtp:
        callers = [smtp.call_mx(operator_context(peer)), smtp.call_submissions()]
        callers[1].login(OURS, password)
        for caller, sender in zip(callers, (PEER, OURS), strict=True):
            before = smtp.counts()
            infected = smtp_letter(sender, OURS, "virus").rstrip() + b"\r\n" + EICAR + b"\r\n"
            code, words = attempt(caller, sender, infected)
            assert (code, words.count(b"4.3.0 ")) == (451, 2)
            assert b"The antivirus does not answer" in words
            assert b"L'antivirus ne repond pas" in words
            with fake_clamd(socket_path):
                code, words = attempt(caller, sender, infected)
                assert code == 554
                assert b"send it without that file" in words
                assert smtp.counts() == before
                assert attempt(caller, sender, smtp_letter(sender, OURS, f"propre {sender}"))[0] == 250
            assert smtp.counts() != before
            caller.quit()


def attempt(caller, sender: str, octets: bytes) -> tuple[int, bytes]:
    assert caller.mail(sender)[0] == 250
    assert caller.rcpt(OURS)[0] == 250
    return caller.data(octets)
