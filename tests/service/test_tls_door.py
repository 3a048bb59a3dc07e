"""Handshakes are counted from the moment a connection is accepted, and have their time (S4). On both event loops."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning, Variant
from mailserver.crypto.custodian import utc_now
from mailserver.tls.contexts import client_facing_context
from mailserver.tls.crowd import Caps
from mailserver.tls.door import Door, Handshakes

Scene = Callable[[Door, int], Awaitable[None]]
GREETING = b"hello"


class Greeter(asyncio.Protocol):
    def connection_made(self, transport) -> None:
        transport.write(GREETING)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder: Path = tmp_path_factory.mktemp("door")
    with pytest.warns(DemoAuthorityWarning):
        authority = DemoAuthority.create(folder / "ca", utc_now(), key_bits=2048)
    issued = authority.issue_operator("localhost", ["127.0.0.1"], "A", now=utc_now(), variant=Variant.SOUND)
    (folder / "key.pem").write_bytes(issued.key_pem)
    (folder / "cert.pem").write_bytes(issued.cert_pem)
    return client_facing_context(folder / "cert.pem", folder / "key.pem")


@pytest.fixture(params=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest, context: ssl.SSLContext) -> Callable[[Scene, Handshakes], None]:
    factory = asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop

    async def staged(scene: Scene, handshakes: Handshakes) -> None:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        door = Door(listener, context, Greeter, "test", handshakes)
        door.open()
        try:
            await asyncio.wait_for(scene(door, port), 30)
        finally:
            door.close()
        await until(lambda: listener.fileno() == -1 and not door._greeting)

    def run(scene: Scene, handshakes: Handshakes) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(staged(scene, handshakes))

    return run


async def until(is_so: Callable[[], bool]) -> None:
    for _turn in range(100_000):
        if is_so():
            return
        await asyncio.sleep(0)
    raise AssertionError


async def knock(port: int) -> socket.socket:
    """A connection that says nothing."""
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return sock


async def is_closed(sock: socket.socket) -> bool:
    try:
        return await asyncio.get_running_loop().sock_recv(sock, 1) == b""
    except ConnectionResetError:
        return True
    finally:
        sock.close()


async def shake_hands(sock: socket.socket) -> asyncio.StreamWriter:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname="localhost")
    assert await reader.readexactly(len(GREETING)) == GREETING
    return writer


def test_silent_handshakes_are_counted_and_others_get_in(play) -> None:
    async def scene(door: Door, port: int) -> None:
        first, second, third = [await knock(port) for _ in range(3)]
        assert await is_closed(third), "one more than a place may hold at the door"
        writer = await shake_hands(first)
        await until(lambda: len(door._crowd) == 1)
        fourth = await shake_hands(await knock(port))
        for each in (writer, fourth):
            each.transport.abort()
        second.close()
        await until(lambda: not len(door._crowd))

    play(scene, Handshakes(Caps(10, 2)))


def test_a_handshake_has_its_time(play) -> None:
    async def scene(door: Door, port: int) -> None:
        assert await is_closed(await knock(port))
        await until(lambda: not len(door._crowd))

    play(scene, Handshakes(Caps(10, 2), seconds=0.05))


def test_what_is_no_tls_ends_and_is_forgotten(play) -> None:
    async def scene(door: Door, port: int) -> None:
        sock = await knock(port)
        await asyncio.get_running_loop().sock_sendall(sock, b"GET / HTTP/1.0\r\n\r\n")
        while await asyncio.get_running_loop().sock_recv(sock, 100):
            pass  # an alert, then the end
        sock.close()
        await until(lambda: not len(door._crowd))

    play(scene, Handshakes(Caps(10, 2)))


def test_closing_drops_handshakes_and_keeps_connections(play) -> None:
    async def scene(door: Door, port: int) -> None:
        writer = await shake_hands(await knock(port))
        silent = await knock(port)
        await until(lambda: len(door._crowd) == 1)
        door.close()
        assert await is_closed(silent)
        assert not writer.transport.is_closing()
        writer.transport.abort()

    play(scene, Handshakes(Caps(10, 2)))
