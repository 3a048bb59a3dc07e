"""Slow uploads end, and one account has two at most: nobody stops the answers of all (S4)."""

import http.client
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager

import anyio
import anyio.to_thread
import pytest
from harness.web_server import BOUNDARY, Client
from harness.web_stage import Stage

from mailserver.model.errors import Malformed, OverLimit
from mailserver.model.ids import AccountId
from webmail.form_stream import FormStream
from webmail.pages_answer import (
    DRAIN_BYTES,
    DRAIN_SECONDS,
    LEAST_RATE,
    PATIENCE_SECONDS,
    UPLOADS,
    UPLOADS_OF_ACCOUNT,
    Body,
    read_fields,
)
from webmail.shares import Shares

ONE, OTHER = AccountId(b"\1" * 16), AccountId(b"\2" * 16)


class SlowRequest:
    """A browser that sends ``size_bytes`` every ``seconds`` of a clock that only it moves, ``count`` times."""

    def __init__(self, size_bytes: int, seconds: float, count: int = 10_000) -> None:
        self.now = 1000.0
        self.sent = 0
        self._plan = (size_bytes, seconds, count)

    def clock(self) -> float:
        return self.now

    async def stream(self) -> AsyncIterator[bytes]:
        size, seconds, count = self._plan
        for _piece in range(count):
            self.now += seconds
            self.sent += size
            yield bytes(size)


def on_a_thread(call: Callable[[], object]) -> object:
    async def main() -> object:
        return await anyio.to_thread.run_sync(call)

    return anyio.run(main)


def read_all(request: SlowRequest) -> int:
    body = Body(request, request.clock)
    on_a_thread(lambda: sum(map(len, body.pieces())))
    return request.sent


@pytest.mark.parametrize(("size", "seconds"), [(1, 10.0), (1, 0.1), (400, 1.0)])
def test_a_drip_ends(size: int, seconds: float) -> None:
    request = SlowRequest(size, seconds)
    with pytest.raises(TimeoutError):
        read_all(request)
    assert PATIENCE_SECONDS <= request.now - 1000.0 <= PATIENCE_SECONDS + seconds


def test_a_slow_line_is_served() -> None:
    request = SlowRequest(LEAST_RATE * 2, 1.5, 200)
    assert read_all(request) == LEAST_RATE * 2 * 200
    assert request.now - 1000.0 > 4 * PATIENCE_SECONDS


def test_a_fast_start_does_not_pay_for_a_drip_for_ever() -> None:
    request = SlowRequest(1, 10.0)
    body = Body(request, request.clock)
    body._total_bytes = 100_000
    with pytest.raises(TimeoutError):
        on_a_thread(lambda: sum(map(len, body.pieces())))
    assert request.now - 1000.0 <= 100_000 / LEAST_RATE + 10


@pytest.mark.parametrize("size", [1, 10_000])
def test_the_rest_is_read_for_a_minute_at_most(size: int) -> None:
    request = SlowRequest(size, 1.0)
    body = Body(request, request.clock)
    on_a_thread(body.drain)
    assert request.sent < DRAIN_BYTES
    assert request.now - 1000.0 <= DRAIN_SECONDS + 1


def test_many_fields_are_no_form() -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="%d"\r\n\r\nx\r\n'
    form = FormStream(iter([part % number for number in range(20)]), "b")
    with pytest.raises(Malformed, match="form"):
        read_fields(form.parts())


def test_shares() -> None:
    shares = Shares(2, "many-answers")
    with ExitStack() as stack:
        for _turn in range(2):
            stack.enter_context(shares.take(ONE))
        with pytest.raises(OverLimit, match="many-answers"), shares.take(ONE):
            pass
        with shares.take(OTHER):
            pass
    with shares.take(ONE):
        pass
    assert not shares._taken
    assert UPLOADS >= 8 * UPLOADS_OF_ACCOUNT


@contextmanager
def begun_upload(client: Client, path: str) -> Iterator[None]:
    """An answer whose body the server has asked for (RFC 9110 §10.1.1) and does not get."""
    wire = http.client.HTTPSConnection("127.0.0.1", client.port, context=client.context(), timeout=30)
    wire.putrequest("POST", f"{path}/answer")
    headers = {
        "Origin": client.origin,
        "Cookie": f"__Host-pli={client.cookie}",
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "Content-Length": "1000",
        "Expect": "100-continue",
    }
    for name, value in headers.items():
        wire.putheader(name, value)
    wire.endheaders()
    assert wire.sock.recv(1000).startswith(b"HTTP/1.1 100 ")
    yield
    wire.close()


def test_one_account_has_two_uploads(stage: Stage) -> None:
    stage.write("lent", "Question lente", "Comment allez-vous ?")
    client = stage.patient()
    found = re.search(r'href="(/messages/[^"]+)">Question lente<', client.get("/").text)
    assert found
    path, page = found[1], client.get(found[1])
    fields = {"token": page.field("token"), "mark": page.field("mark"), "text": "Bien, merci."}
    with ExitStack() as held:
        for _upload in range(UPLOADS_OF_ACCOUNT):
            held.enter_context(begun_upload(stage.patient(), path))
        refused = client.post_files(f"{path}/answer", fields, [])
        assert refused.status == 429
        assert "revenez à la page précédente" in refused.words
        assert "Bien, merci." not in client.get("/sent").words
    end = time.monotonic() + 20
    while (answer := client.post_files(f"{path}/answer", fields, [])).status == 429:
        assert time.monotonic() < end
    assert answer.status == 303
