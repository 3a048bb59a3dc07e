"""Nobody holds the pages' port: connections of one place are counted, and each has a deadline (S4)."""

import asyncio
import contextlib
import http.client
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from harness.node import Node, make_node
from harness.web_server import Client, running

from mailserver.tls.crowd import Caps, Crowd
from webmail.connection import REQUEST_SECONDS, STALL_SECONDS, WebConnection

CAPS = Caps(1000, 5)
HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Node]:
    node = make_node(tmp_path)
    yield node
    node.close()


def test_one_place_cannot_shut_the_port(ours: Node, caplog: pytest.LogCaptureFixture) -> None:
    with running(ours, CAPS) as server, contextlib.ExitStack() as held, caplog.at_level(logging.INFO):
        for _connection in range(CAPS.of_place):
            sock = socket.create_connection(("127.0.0.1", server.port))
            held.enter_context(Client.context().wrap_socket(sock))
        refused = held.enter_context(
            Client.context().wrap_socket(socket.create_connection(("127.0.0.1", server.port)))
        )
        answer = http.client.HTTPResponse(refused)
        answer.begin()
        assert (answer.status, answer.getheader("connection")) == (503, "close")
        words = answer.read().decode()
        assert "attendez une minute" in words
        assert "wait a minute" in words
        assert refused.recv(1) == b""
        elsewhere = http.client.HTTPSConnection(
            "127.0.0.1", server.port, context=Client.context(), timeout=30, source_address=("127.0.0.2", 0)
        )
        for path in ("/login", "/health"):
            elsewhere.request("GET", path)
            got = elsewhere.getresponse()
            got.read()
            assert got.status == 200
        elsewhere.close()
    (line,) = [each for each in caplog.records if "too many connections" in each.getMessage()]
    assert (line.listener, line.network, line.count) == ("web", "127.0.0.0/24", 1)


def test_who_is_refused_gets_in_once_others_leave(ours: Node) -> None:
    with running(ours, Caps(1000, 1)) as server:
        client = Client(server.port)
        sock = Client.context().wrap_socket(socket.create_connection(("127.0.0.1", server.port)))
        assert client.get("/login").status == 503
        sock.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        while sock.recv(65536):
            pass
        sock.close()
        statuses = {client.get("/health/live").status for _turn in range(20)}
        assert 200 in statuses


class Transport(asyncio.Transport):
    """What a connection does to its wire."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.7", 5), "sockname": ("127.0.0.1", 443)})
        self.ends: list[str] = []
        self.written = b""

    def write(self, data) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.ends.append("close")

    def abort(self) -> None:
        self.ends.append("abort")

    def is_closing(self) -> bool:
        return bool(self.ends)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Loop:
    """Timers that ring when a test says so; tasks run on the real loop."""

    def __init__(self) -> None:
        self.timers: list[tuple[float, Callable[[], None], asyncio.TimerHandle]] = []
        self._real = asyncio.get_running_loop()

    def call_later(self, seconds: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(0.0, call, (), self._real)
        self.timers.append((seconds, call, handle))
        return handle

    def create_task(self, work):
        return self._real.create_task(work)

    def deadlines(self) -> list[float]:
        """Those that are still set; uvicorn's own, which never rings, apart."""
        return [
            seconds for seconds, _call, handle in self.timers if not handle.cancelled() and seconds < 3600
        ]

    def ring(self) -> None:
        (call,) = [call for seconds, call, handle in self.timers if not handle.cancelled() and seconds < 3600]
        call()


class Scene:
    """One connection whose application answers when ``may_answer`` is set."""

    def __init__(self, caps: Caps = CAPS) -> None:
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        config = uvicorn.Config(
            self.answer,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            interface="asgi3",
        )
        config.timeout_keep_alive = 86400
        config.load()
        self.crowd = Crowd(caps, "web", logging.getLogger("pli.test"))
        self.connection = WebConnection(config, uvicorn.server.ServerState(), self.crowd, {})
        self.loop = Loop()
        self.connection.loop = self.loop
        self.transport = Transport()
        self.connection.connection_made(self.transport)

    async def answer(self, scope, receive, send) -> None:
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def answered(self, count: int = 1) -> None:
        for _turn in range(1000):
            if self.transport.written.count(b"HTTP/1.1 200") == count and not self.connection._is_answering():
                return
            await asyncio.sleep(0)
        raise AssertionError(self.transport.written)


def on_a_loop(play: Callable[[], object]) -> Callable[[], None]:
    def test() -> None:
        asyncio.run(play())

    test.__doc__, test.__name__ = play.__doc__, play.__name__
    return test


@on_a_loop
async def test_silence_has_a_deadline() -> None:
    scene = Scene()
    assert scene.loop.deadlines() == [REQUEST_SECONDS]
    scene.loop.ring()
    assert scene.transport.ends == ["close"]


@on_a_loop
async def test_a_head_that_drips_does_not_move_it() -> None:
    scene = Scene()
    for octet in HEAD[:-1]:
        scene.connection.data_received(bytes([octet]))
    assert len(scene.loop.timers) == 1
    scene.loop.ring()
    assert scene.transport.ends == ["close"]


@on_a_loop
async def test_a_whole_head_stops_it_until_the_answer_is_out() -> None:
    scene = Scene()
    scene.may_answer.clear()
    scene.connection.data_received(HEAD)
    assert scene.loop.deadlines() == []
    scene.may_answer.set()
    await scene.answered()
    assert scene.loop.deadlines() == [REQUEST_SECONDS]
    scene.connection.data_received(HEAD + HEAD)
    await scene.answered(3)
    assert scene.loop.deadlines() == [REQUEST_SECONDS]


@on_a_loop
async def test_a_body_that_drips_after_its_answer_does_not_move_it() -> None:
    scene = Scene()
    scene.connection.data_received(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
    await scene.answered()
    count = len(scene.loop.timers)
    for _octet in range(50):
        scene.connection.data_received(b"x")
    assert (scene.loop.deadlines(), len(scene.loop.timers)) == ([REQUEST_SECONDS], count)


@on_a_loop
async def test_an_answer_that_is_not_taken_has_a_deadline() -> None:
    scene = Scene()
    scene.may_answer.clear()
    scene.connection.data_received(HEAD)
    scene.connection.pause_writing()
    assert scene.loop.deadlines() == [STALL_SECONDS]
    scene.connection.resume_writing()
    assert scene.loop.deadlines() == []
    scene.connection.pause_writing()
    scene.loop.ring()
    assert scene.transport.ends == ["abort"]
    scene.connection.connection_lost(None)
    scene.may_answer.set()
    await asyncio.gather(*scene.connection.tasks)


@on_a_loop
async def test_an_end_not_taken_keeps_its_longer_deadline() -> None:
    scene = Scene()
    scene.may_answer.clear()
    scene.connection.data_received(HEAD)
    scene.may_answer.set()
    write, paused = scene.transport.write, scene.connection.pause_writing
    scene.transport.write = lambda data: (write(data), data == b"ok" and paused())
    await scene.answered()
    assert scene.loop.deadlines() == [STALL_SECONDS]
    scene.connection.resume_writing()
    assert scene.loop.deadlines() == [REQUEST_SECONDS]


@on_a_loop
async def test_who_leaves_is_forgotten() -> None:
    scene = Scene()
    assert len(scene.crowd) == 1
    scene.connection.connection_lost(None)
    assert (len(scene.crowd), scene.loop.deadlines()) == (0, [])


@on_a_loop
async def test_who_was_refused_is_never_counted_or_heard() -> None:
    scene = Scene(Caps(1, 0))
    assert scene.transport.written.startswith(b"HTTP/1.1 503 ")
    scene.connection.data_received(HEAD)
    scene.connection.connection_lost(None)
    assert (len(scene.crowd), scene.transport.ends[0]) == (0, "close")
    assert scene.transport.written.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "octets",
    [
        b"\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
)
def test_bad_requests_do_not_fill_the_log(octets: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        scene = Scene()
        scene.connection.data_received(octets)
        await asyncio.gather(*scene.connection.tasks)
        assert scene.transport.written.startswith((b"HTTP/1.1 400", b"HTTP/1.1 200"))

    with caplog.at_level(logging.DEBUG):
        asyncio.run(play())
    assert [each for each in caplog.records if each.name != "asyncio"] == []
