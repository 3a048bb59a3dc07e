"""``pli serve`` with two workers and a revocation list of the web: one asks, both take it, a revoked caller is told."""

import json
import smtplib
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from harness.processes import wait_for
from harness.smtp_harness import client_context

from mailserver.cli.demo_stage import Operator, reserve_ports
from mailserver.cli.operator_folder import OperatorPlan, make_operator, parse_domains
from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning, IssuedCertificate

NOW = datetime.now(UTC)


class Lists(BaseHTTPRequestHandler):
    body = b""
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_words: object) -> None: ...


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Lists)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/ca.crl"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    (block,) = reserve_ports(1)
    domains = parse_domains(["a.localhost"])
    make_operator(OperatorPlan(tmp_path / "a", domains, block.base, tmp_path / "ca", key_bits=2048), NOW)
    made = Operator("a", tmp_path / "a", block)
    yield made
    made.stop()
    block.release()


def reply_to_mail(port: int, issued: IssuedCertificate, folder: Path) -> tuple[int, bytes]:
    (folder / "b.pem").write_bytes(issued.cert_pem)
    (folder / "b.key").write_bytes(issued.key_pem)
    with smtplib.SMTP("127.0.0.1", port, "mx.b.localhost", timeout=30) as client:
        client.starttls(context=client_context(folder / "b.pem", folder / "b.key"))
        client.ehlo()
        return client.mail("noa@b.localhost")


def test_fetched_by_one_worker_taken_by_all(
    operator: Operator, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DemoAuthorityWarning)
        authority = DemoAuthority.open(tmp_path / "ca")
    good, bad = (authority.issue_operator("b.localhost", ["b.localhost"], "B", now=NOW) for _ in range(2))
    authority.revoke(bad.cert_pem, NOW)
    Lists.body = authority.crl_path.read_bytes()
    monkeypatch.setenv("PLI_TLS_PEER_CRL", url)
    operator.start(workers=2)

    def kept() -> Path | None:
        return next((operator.folder / "data" / "revocation").glob("*.crl"), None)

    assert wait_for(kept).read_bytes() == Lists.body
    port = operator.port("mx")
    for _ in range(4):  # whichever worker answers
        assert reply_to_mail(port, bad, tmp_path)[1].startswith(b"5.7.13")
        code, words = reply_to_mail(port, good, tmp_path)
        assert (code, words[:5]) == (550, b"5.1.8"), "judged by its name, which is not listed"
    assert operator.stop() == 0
    lines = [json.loads(line) for line in (operator.folder / "serve.log").read_text().splitlines()]
    assert Lists.asked == 1
    (taken,) = [line for line in lines if line["what"] == "revocation list taken"]
    assert (taken["source"], taken["revoked"]) == ("127.0.0.1", 1)
    assert {line["reason"] for line in lines if line["what"] == "refused"} == {
        "certificate-revoked",
        "sender-domain-unlisted",
    }
