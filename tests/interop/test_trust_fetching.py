"""``pli serve`` with two workers that fetches its trust list: one asks, both take it, and it is told once."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from harness.list_server import ListServer, answer, served, server_context
from harness.trust_lists import signed_list

from mailserver.cli import main as command
from mailserver.cli.demo_stage import Operator, reserve_ports
from mailserver.cli.operator_folder import OperatorPlan, make_operator, parse_domains
from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning, IssuedCertificate

AWAIT_SECONDS = 30
NOW = datetime.now(UTC)


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    (block,) = reserve_ports(1)
    domains = parse_domains(["a.localhost"])
    make_operator(OperatorPlan(tmp_path / "a", domains, block.base, tmp_path / "ca", key_bits=2048), NOW)
    made = Operator("a", tmp_path / "a", block)
    yield made
    made.stop()
    block.release()


@contextlib.contextmanager
def in_a_thread(server: ListServer, authority: DemoAuthority, folder: Path) -> Iterator[None]:
    """The list's server, beside the test."""
    listening, done = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with served(server, server_context(authority, folder)):
            listening.set()
            await done.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert listening.wait(AWAIT_SECONDS)
        yield
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


def lines(operator: Operator) -> list[dict[str, object]]:
    return [json.loads(line) for line in (operator.folder / "serve.log").read_text().splitlines()]


def await_lines(operator: Operator, domain: str) -> list[dict[str, object]]:
    deadline = time.monotonic() + AWAIT_SECONDS
    while time.monotonic() < deadline:
        found = [line for line in lines(operator) if domain in str(line.get("change"))]
        if found:
            return found
        threading.Event().wait(0.05)
    return []


def test_fetched_by_one_worker_taken_by_all(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.warns(DemoAuthorityWarning):
        authority = DemoAuthority.open(tmp_path / "ca")
    signer = IssuedCertificate(
        (tmp_path / "ca/signer.key").read_bytes(), (tmp_path / "ca/signer.pem").read_bytes()
    )
    published = signed_list(signer, NOW + timedelta(minutes=1), "a.localhost", "fetched.example")
    server = ListServer(answer("200 OK", published, ETag='"one"'))
    with in_a_thread(server, authority, tmp_path):
        monkeypatch.setenv("PLI_TRUST_URL", server.url())
        monkeypatch.setenv("PLI_TRUST_AUTHORITY", str(authority.certificate_path))
        monkeypatch.setenv("PLI_TRUST_FILE", "lists/main.xml")
        operator.start(workers=2)
        (told,) = await_lines(operator, "fetched.example")
        assert (told["what"], told["list"]) == ("trust list changed", "main")
        assert operator.stop() == 0
    assert len(server.requests) == 1
    assert (operator.folder / "lists/main.xml").read_bytes() == published
    capsys.readouterr()
    assert command.run(["trust", "status", "-c", str(operator.config), "--json"]) == 0
    (main,) = json.loads(capsys.readouterr().out)["lists"]
    assert (main["in_force"], main["fetch_error"]) == (True, "")
    assert main["fetched_at"] > NOW.isoformat()
