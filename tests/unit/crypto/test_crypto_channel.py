"""The custodian's verbs over a socket pair."""

import socket
import struct
import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from mailserver.crypto.ctx import ctx
from mailserver.crypto.custodian import HOURS_KEPT, Custodian
from mailserver.crypto.custodian_channel import CustodianClient, CustodianServer
from mailserver.crypto.seal import KeyPair
from mailserver.crypto.secret import Secret
from mailserver.model.errors import Conflict, Corrupt, Denied, Malformed, NotFound, OverLimit, Unavailable

ACCOUNT = b"\x11" * 16
SLOT = b"\x22" * 16
START = datetime(2030, 1, 1, 12, 30, tzinfo=UTC)
HOUR = int(START.timestamp()) // 3600
SESSION = KeyPair.from_seed(Secret(bytes(32)))


@pytest.fixture
def custodian(tmp_path):
    made = Custodian.create(tmp_path / "keys", lambda: START)
    yield made
    made.close()


@contextmanager
def connection(custodian, extra=None, *, administrator=False):
    ours, theirs = socket.socketpair()
    server = CustodianServer(custodian, extra)
    thread = threading.Thread(
        target=server.serve_connection, args=(theirs,), kwargs={"administrator": administrator}
    )
    thread.start()
    try:
        yield ours
    finally:
        ours.close()
        thread.join(10)
        assert not thread.is_alive()


def message(*fields):
    body = b"".join(struct.pack(">I", len(field)) + field for field in fields)
    return struct.pack(">I", len(body)) + body


def answer_with(raw):
    """A client whose server answers ``raw`` to the first request, then leaves."""
    ours, theirs = socket.socketpair()

    def answer():
        with theirs:
            theirs.recv(4096)
            theirs.sendall(raw)

    thread = threading.Thread(target=answer)
    thread.start()
    return CustodianClient(ours, timeout_seconds=5), thread


def test_same_answers_as_the_custodian(custodian):
    with connection(custodian) as sock:
        client = CustodianClient(sock)
        assert client.harden(ACCOUNT, SLOT, b"v") == custodian.harden(ACCOUNT, SLOT, b"v")
        assert client.row_key() == client.row_key() == custodian.row_key()
        assert client.hourly_key(HOUR) == custodian.hourly_key(HOUR)
        key = client.service_key("queue", 3)
        assert key == custodian.service_key("queue", 3)
        client.drop_service_key("queue", 3)
        assert client.service_key("queue", 3) != key
        client.close()


def test_administrator(custodian):
    with connection(custodian, administrator=True) as sock:
        client = CustodianClient(sock)
        made = client.provision(ACCOUNT)
        sealed = client.release(ACCOUNT, made.custody_header, made.custody_body, SESSION.public, "enrôlement")
        assert len(SESSION.open(sealed, ctx("release", ACCOUNT))) == 32
        before = custodian.journal_head.count
        client.note_act("account list")
        assert custodian.journal_head.count == before + 1
        for wrong in ("", "x" * 201):
            with pytest.raises(Malformed):
                client.note_act(wrong)
        assert custodian.journal_head.count == before + 1


def test_a_worker_neither_provisions_nor_releases(custodian):
    with connection(custodian) as sock:
        client = CustodianClient(sock)
        for call in (
            lambda: client.provision(ACCOUNT),
            lambda: client.release(ACCOUNT, b"", b"", b"", "x"),
            lambda: client.note_act("account list"),
        ):
            with pytest.raises(Denied) as caught:
                call()
            assert caught.value.code == "custodian-verb"
    assert custodian.journal_head.count == 0


def test_errors_keep_their_class_code_and_detail(custodian):
    def refuse(payload):
        raise OverLimit("leaves", payload.decode())

    with connection(
        custodian, {"sign": refuse, "echo": bytes, "fail": lambda payload: payload.missing}
    ) as sock:
        client = CustodianClient(sock)
        assert client.call("echo", b"payload") == b"payload"
        with pytest.raises(OverLimit) as caught:
            client.call("sign", b"1000")
        assert (caught.value.code, caught.value.detail) == ("leaves", "1000")
        with pytest.raises(NotFound) as unknown:
            client.call("none", b"")
        assert unknown.value.code == "custodian-verb"
        with pytest.raises(Unavailable) as failed:
            client.call("fail", b"")
        assert (failed.value.code, failed.value.detail) == ("custodian", "")
        with pytest.raises(NotFound) as hour:
            client.hourly_key(1)
        assert hour.value.code == "hourly-key"
        with pytest.raises(Malformed) as size:
            client.harden(b"short", SLOT, b"v")
        assert size.value.code == "custodian-request"
        assert client.call("echo", b"still here") == b"still here"


def test_requests_that_are_none(custodian):
    with connection(custodian) as sock:
        requests = [message(), message(b"hourly_key", b"\1"), message(b"service_key", b"\xff", bytes(8))]
        for request in requests:
            sock.sendall(request)
            assert b"Malformed" in sock.recv(4096)
        sock.sendall(message(b"harden"))
        assert b"NotFound" in sock.recv(4096)


@pytest.mark.parametrize("raw", [b"\xff\xff\xff\xff", b"\0\0\0\x05\0\0\0\x02x", b"\0\0\0\x03abc"])
def test_nonsense_ends_the_connection(custodian, raw):
    with connection(custodian) as sock:
        sock.sendall(raw)
        assert sock.recv(10) == b""


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0\0",
        message(),
        message(b"ok"),
        message(b"huh", b"x"),
        message(b"error"),
        message(b"error", b"Odd", b"a", b"b"),
        b"\xff" * 4,
    ],
)
def test_a_server_that_answers_nonsense(raw):
    client, thread = answer_with(raw)
    for _again in range(2):
        with pytest.raises(Unavailable) as caught:
            client.harden(ACCOUNT, SLOT, b"v")
        assert caught.value.code == "custodian"
    thread.join(10)
    client.close()


def test_a_dead_server_leaves_the_keys_in_memory(custodian):
    with connection(custodian) as sock:
        client = CustodianClient(sock)
        row, hour = client.row_key(), client.hourly_key(HOUR)
        sock.shutdown(socket.SHUT_RDWR)
        with pytest.raises(Unavailable) as caught:
            client.service_key("queue", 1)
        assert caught.value.code == "custodian"
        assert (client.row_key(), client.hourly_key(HOUR)) == (row, hour)


def test_hours_in_memory_are_bounded():
    class Hours:
        def hourly_key(self, hour):
            return Secret(hour.to_bytes(32, "big"))

    with connection(Hours()) as sock:
        client = CustodianClient(sock)
        for hour in range(HOURS_KEPT + 5):
            client.hourly_key(hour)
        assert len(client._hourly_keys) == HOURS_KEPT
        assert min(client._hourly_keys) == 5


def test_threads_share_one_client(custodian):
    results = []
    with connection(custodian, {"echo": bytes}) as sock:
        client = CustodianClient(sock)

        def work(number):
            payload = bytes([number]) * 1000
            results.extend(client.call("echo", payload) == payload for _again in range(50))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert results == [True] * 200


def test_every_error_class_crosses():
    for kind in (Conflict, Corrupt, Denied, Malformed, NotFound, OverLimit, Unavailable):

        class Refusing:
            def row_key(self, kind=kind):
                raise kind("code")

        with connection(Refusing()) as sock:
            with pytest.raises(kind) as caught:
                CustodianClient(sock).row_key()
            assert caught.value.code == "code"
