"""DATA on the wire: smuggling, pipelining, size, memory, a full disk, slow peers and the server's end."""

import contextlib
import hashlib
import threading
import time

import pytest
from harness.smtp_harness import Wire, inbox, letter, open_mail, operator_context, running_smtp
from harness.web_node import make_peers

from mailserver.model.errors import Unavailable
from mailserver.service.entrance import Entrance
from mailserver.smtp.server import Timing
from mailserver.store.blob_folder import Spool

OURS, PEER = "camille@a.localhost", "noa@b.localhost"


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    ours, peer = make_peers(tmp_path_factory.mktemp("operators"))
    yield ours, peer
    ours.close()
    peer.close()


@pytest.fixture(scope="module")
def password(operators):
    return operators[0].add(OURS).app_password


@pytest.fixture(scope="module")
def as_peer(operators):
    return operator_context(operators[1])


@pytest.fixture
def smtp(operators, password):
    with running_smtp(operators[0]) as running:
        yield running


def dial(smtp, as_peer):
    wire = Wire(smtp.mx_port)
    wire.ask(b"EHLO mx.b.localhost")
    wire.start_tls(as_peer)
    wire.ask(b"EHLO mx.b.localhost")
    return wire


def open_letter(wire):
    open_mail(wire, PEER.encode(), OURS.encode())


@pytest.mark.parametrize(
    "end",
    [
        b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r",
        b"\r\n.\0\r\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n", b"\0", b"x\ry", b"x\ny",
    ],
)  # fmt: skip
def test_smuggling(smtp, as_peer, end):
    """S1: the message is refused, the commands hidden in it never run, and the connection ends."""
    before = smtp.counts()
    wire = dial(smtp, as_peer)
    open_letter(wire)
    hidden = b"MAIL FROM:<%b>\r\nRCPT TO:<%b>\r\nDATA\r\n" % (PEER.encode(), OURS.encode())
    wire.send(letter(PEER, OURS, "outer") + end + hidden + letter(PEER, OURS, "inner") + b"\r\n.\r\n")
    assert wire.reply().startswith(b"554-5.6.0 ")
    assert wire.is_closed()
    wire.close()
    assert smtp.counts() == before


def dialogue(number):
    """A whole session after TLS in one piece: good, refused and unreadable commands, two messages."""
    first, second = letter(PEER, OURS, f"{number}-1", b"..stuffed\r\n"), letter(PEER, OURS, f"{number}-2")
    mail = b"MAIL FROM:<%b>\r\nRCPT TO:<nobody@a.localhost>\r\nRCPT TO:<%b>\r\n" % (
        PEER.encode(),
        OURS.encode(),
    )
    return (
        b"EHLO mx.b.localhost\r\nNOOP\r\nFROB\r\n" + mail + b"DATA\r\n" + first + b".\r\n"
        b"RCPT TO:<x@a.localhost>\r\n" + mail + b"RSET\r\nDATA\r\n" + mail + b"DATA\r\n" + second + b".\r\nQUIT\r\n"
    )  # fmt: skip


CODES = b"250 250 500 250 550 250 354 250 503 250 550 250 250 503 250 550 250 354 250 221".split()


@pytest.mark.parametrize("step", [1, 2, 7, 100_000])
def test_any_cut_gives_the_same_replies(smtp, as_peer, step):
    """Pipelined in one piece or octet by octet (RFC 2920)."""
    wire = Wire(smtp.mx_port)
    wire.ask(b"EHLO mx.b.localhost")
    wire.start_tls(as_peer)
    before = smtp.counts()["item"]
    octets = dialogue(step)
    for start in range(0, len(octets), step):
        wire.send(octets[start : start + step])
    replies = []
    while reply := wire.reply():
        replies.append(reply[:3])
    assert replies == CODES
    assert smtp.counts()["item"] == before + 2
    wire.close()


def test_dots_are_stored_once(smtp, as_peer, password):
    wire = dial(smtp, as_peer)
    open_letter(wire)
    wire.send(letter(PEER, OURS, "dots", b"..\r\n...a\r\n.b\r\n") + b".\r\n")
    assert wire.reply()[:3] == b"250"
    wire.close()
    assert any(each.endswith(b"\r\n.\r\n..a\r\nb\r\n") for each in inbox(smtp.node, OURS, password))


def test_a_bare_line_feed_in_a_command_ends_the_connection(smtp):
    wire = Wire(smtp.mx_port)
    wire.send(b"EHLO mx.b.localhost\nMAIL FROM:<x@b.localhost>\n")
    assert wire.reply().startswith(b"500-5.5.2 ")
    assert wire.is_closed()
    wire.close()


def test_octets_after_starttls_end_the_connection(smtp, as_peer):
    """RFC 3207: what was injected before the handshake is neither run nor kept."""
    wire = Wire(smtp.mx_port)
    wire.ask(b"EHLO mx.b.localhost")
    wire.send(b"STARTTLS\r\nNOOP\r\n")
    assert wire.reply().startswith(b"554-5.7.0 ")
    assert wire.is_closed()
    wire.close()


def test_size_is_refused_at_mail(smtp, as_peer):
    limit = smtp.node.services.reception.limit_bytes
    wire = dial(smtp, as_peer)
    assert wire.ask(b"MAIL FROM:<%b> SIZE=%d" % (PEER.encode(), limit + 1)).startswith(b"552-5.3.4 ")
    assert wire.ask(b"MAIL FROM:<%b> SIZE=%d" % (PEER.encode(), limit)).startswith(b"250 ")
    wire.close()


def send_large(wire, size):
    """The digest of a message of this size, sent in pieces, up to its dot."""
    head = letter(PEER, OURS, f"large-{size}", b"")
    line = b"x" * 76 + b"\r\n"
    piece = line * 8192
    digest, left = hashlib.sha256(head), size - len(head)
    wire.send(head)
    while left > 0:
        part = piece if left >= len(piece) else line * max(1, left // len(line))
        wire.send(part)
        digest.update(part)
        left -= len(part)
    wire.send(b".\r\n")
    return digest.digest()


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_memory_stays_flat(smtp, as_peer, password, operators):
    """S4: 25 MiB come in, and the process does not grow with them while they do."""
    wire = dial(smtp, as_peer)
    open_letter(wire)
    send_large(wire, 2_000_000)
    assert wire.reply()[:3] == b"250"
    stop, most = threading.Event(), [0]
    pump_ended = threading.Event()

    def watch():
        while not stop.wait(0.002):
            most[0] = max(most[0], resident_bytes())

    from mailserver.smtp.data import DataSink

    finish = DataSink.finish

    def finished(self, *args):
        stop.set()
        pump_ended.set()
        return finish(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DataSink, "finish", finished)
        open_letter(wire)
        before = resident_bytes()
        watcher = threading.Thread(target=watch)
        watcher.start()
        digest = send_large(wire, 25_000_000)
        assert wire.reply()[:3] == b"250"
        stop.set()
        watcher.join()
    assert pump_ended.is_set()
    assert most[0] - before < 8 * 1024 * 1024, "the server's 4 MiB and the test's own pieces"
    wire.close()
    largest = max(inbox(operators[0], OURS, password), key=len)
    assert hashlib.sha256(largest[largest.index(b"From: ") :]).digest() == digest


def test_too_large_is_read_to_its_end(smtp, as_peer):
    before = smtp.counts()
    wire = dial(smtp, as_peer)
    open_letter(wire)
    send_large(wire, smtp.node.services.reception.limit_bytes + 100_000)
    assert wire.reply().startswith(b"552-5.3.4 ")
    assert wire.ask(b"NOOP")[:3] == b"250"
    wire.close()
    assert smtp.counts() == before


@pytest.mark.parametrize("place", ["spool", "write", "keep"])
@pytest.mark.parametrize(("code", "reply"), [("disk-full", b"452-4.3.1 "), ("disk-io", b"451-4.3.0 ")])
def test_disk_failure(smtp, as_peer, monkeypatch, place, code, reply):
    """R4: refused for now, nothing stored, and the next one is taken."""
    before = smtp.counts()
    wire = dial(smtp, as_peer)

    def fail(*_args):
        raise Unavailable(code)

    with monkeypatch.context() as patch:
        patch.setattr(Spool, {"spool": "__init__"}.get(place, place), fail)
        if place == "spool":
            patch.setattr(Spool, "close", lambda _self: None)
        open_letter(wire)
        send_large(wire, 600_000)
        assert wire.reply().startswith(reply)
    assert smtp.counts() == before
    open_letter(wire)
    wire.send(letter(PEER, OURS, f"after-{place}-{code}", b"x" * 70 + b"\r\n") + b".\r\n")
    assert wire.reply()[:3] == b"250"
    wire.close()
    assert smtp.counts()["item"] == before["item"] + 1


def test_one_failed_commit_is_no_acceptance(smtp, as_peer, monkeypatch, operators):
    """R1: 250 only after every commit."""
    from concurrent.futures import Future

    writer = operators[0].services.store.writer

    def submit(_unit):
        future = Future()
        future.set_exception(Unavailable("database"))
        return future

    wire = dial(smtp, as_peer)
    open_letter(wire)
    with monkeypatch.context() as patch:
        patch.setattr(writer, "submit", submit)
        wire.send(letter(PEER, OURS, "uncommitted") + b".\r\n")
        assert wire.reply().startswith(b"451-4.3.0 ")
    wire.close()


def test_what_nobody_expected_is_an_incident(smtp, as_peer, monkeypatch):
    def fail(*_args):
        raise RuntimeError("a secret of ours")

    wire = dial(smtp, as_peer)
    monkeypatch.setattr(smtp.node.services.reception, "decide_sender", fail)
    reply = wire.ask(b"MAIL FROM:<x@b.localhost>")
    assert reply.startswith(b"451-4.3.0 (incident ")
    assert b"secret" not in reply
    assert wire.is_closed()
    wire.close()


def test_a_peer_that_leaves_in_the_middle(smtp, as_peer):
    before = smtp.counts()
    wire = dial(smtp, as_peer)
    open_letter(wire)
    wire.send(letter(PEER, OURS, "half") + b"x\r\n" * 200_000)
    wire.close()
    smtp.settle()
    assert smtp.counts() == before


def test_a_slow_message_ends(operators, password, as_peer):
    """S4: after the first allowance, the least rate counts, however regularly octets drip."""
    timing = Timing(data_seconds=0.3)
    with running_smtp(operators[0], timing=timing) as smtp:
        wire = dial(smtp, as_peer)
        open_letter(wire)
        started = time.monotonic()
        done = threading.Event()

        def drip():
            while not done.wait(0.02):
                try:
                    wire.send(b"x")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        reply = wire.reply()
        done.set()
        dripping.join()
        assert reply == b"" or reply.startswith(b"421-4.4.2 ")
        assert time.monotonic() - started < 5
        wire.close()
        smtp.settle()


def test_a_silent_peer_is_sent_away(operators, password):
    with running_smtp(operators[0], timing=Timing(command_seconds=0.2)) as smtp:
        wire = Wire(smtp.mx_port)
        assert wire.reply().startswith(b"421-4.4.2 ")
        assert wire.is_closed()
        wire.close()


def test_caps(operators, password):
    with running_smtp(operators[0], connections_per_address=2) as smtp:
        wires = [Wire(smtp.mx_port) for _ in range(3)]
        assert [wire.greeting[:3] for wire in wires] == [b"220", b"220", b"421"]
        wires[0].ask(b"QUIT")
        wires[0].close()
        wires[2].close()
        for _ in range(500):
            again = Wire(smtp.mx_port)
            again.close()
            if again.greeting[:3] == b"220":
                break
        else:
            pytest.fail("a place that was left is not given again")
        wires[1].close()


def test_stop_lets_data_finish_and_then_cuts(operators, password, as_peer):
    """R14: idle connections hear 421, a message that comes in gets its 250 or, after the grace, 421."""
    with running_smtp(operators[0]) as smtp:
        before = smtp.counts()["item"]
        idle, finishing, endless = (dial(smtp, as_peer) for _ in range(3))
        for wire in (finishing, endless):
            open_letter(wire)
            wire.send(letter(PEER, OURS, "in flight"))
        stopping = threading.Thread(target=lambda: smtp.on_loop(smtp.mx.stop(1.0)))
        stopping.start()
        assert idle.reply().startswith(b"421-4.3.2 ")
        finishing.send(b"the end\r\n.\r\n")
        assert finishing.reply()[:3] == b"250"
        assert finishing.reply().startswith(b"421-4.3.2 ")
        assert endless.reply().startswith(b"421-4.3.2 ")
        for wire in (idle, finishing, endless):
            assert wire.is_closed()
            wire.close()
        stopping.join(20)
        assert not stopping.is_alive()
        assert smtp.counts()["item"] == before + 1
        with pytest.raises(OSError):
            Wire(smtp.mx_port)


def test_messages_that_are_judged_slowly_leave_threads_to_the_others(
    operators, password, as_peer, monkeypatch
):
    """As many as the pool has threads, and each waits for the antivirus: another's command is answered all the same."""
    threads, is_over = 8, threading.Event()
    real = Entrance.scan

    def scan(entrance, intake):
        assert is_over.wait(20)
        return real(entrance, intake)

    monkeypatch.setattr(Entrance, "scan", scan)
    with running_smtp(operators[0], threads=threads) as smtp:
        wires = [dial(smtp, as_peer) for _number in range(threads)]
        try:
            for number, wire in enumerate(wires):
                open_letter(wire)
                wire.send(letter(PEER, OURS, f"slow {number}") + b"\r\n.\r\n")
            with contextlib.closing(dial(smtp, as_peer)) as other:
                other.socket.settimeout(5)
                open_letter(other)
            is_over.set()
            assert [wire.reply()[:3] for wire in wires] == [b"250"] * threads
        finally:
            is_over.set()
            for wire in wires:
                wire.close()
