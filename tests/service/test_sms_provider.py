"""SMS through a real HTTPS server: what it is asked, what its answers mean, and who gets no number."""

import json
import threading
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from service.gateway_node import JsonLines, Peer, Script, deliver, make_authority, make_gateway

from mailserver.app.notice_ways import open_sms
from mailserver.config import load_config
from mailserver.config.sms_body import parse_sms_body
from mailserver.crypto.authority import CERTIFICATE_FILE, DemoAuthority, DemoAuthorityWarning
from mailserver.crypto.secret import Secret
from mailserver.gateway.sms_provider import SmsAccess, SmsProvider
from mailserver.model.errors import Malformed
from mailserver.model.phone import PhoneNumber
from mailserver.service.delivery_reports import Cause, Fate, passing
from mailserver.service.outbound import SmsOrder
from mailserver.store.jobs import JobState
from mailserver.store.writer import Unit
from mailserver.tls.contexts import client_facing_context

NUMBER, TEXT, TOKEN = "+33600000000", 'Pli : code 123456 "à" {number}', "un jeton secret"
BODY = parse_sms_body('{"messages": [{"to": "{number}", "text": "{text}"}], "from": "{sender}", "ttl": 10}')


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("operators"))


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.asked.append(
            (self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"])))
        )
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(b'{"echo": "+33600000000"}')

    do_GET = do_POST

    def log_message(self, *_arguments):
        pass


class Server(HTTPServer):
    def handle_error(self, *_arguments):
        pass  # a caller that does not trust this certificate hangs up


@contextmanager
def provider(authority, status=200, domain="c.localhost"):
    tls = authority.parent / domain / "tls"
    server = Server(("127.0.0.1", 0), Handler)
    server.status, server.asked = status, []
    context = client_facing_context(tls / "operator.pem", tls / "operator.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def client(server, authority, host="127.0.0.1", **more):
    ca = more.pop("ca", authority / CERTIFICATE_FILE)
    url = f"https://{host}:{server.server_address[1]}/v1/sms?shop=3"
    return SmsProvider(SmsAccess(url, BODY, "Pli", Secret(TOKEN.encode()), ca))


def order():
    return SmsOrder(PhoneNumber(NUMBER), TEXT)


def test_the_provider_is_asked_as_configured(authority):
    with provider(authority, 202) as server:
        result = client(server, authority).send(order())
    assert (result.fate, result.reply_code) == (Fate.DELIVERED, 202)
    ((path, headers, body),) = server.asked
    assert path == "/v1/sms?shop=3"
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert json.loads(body) == {"messages": [{"to": NUMBER, "text": TEXT}], "from": "Pli", "ttl": 10}


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (301, Fate.REFUSED),
        (400, Fate.REFUSED),
        (401, Fate.PASSING),
        (404, Fate.REFUSED),
        (429, Fate.PASSING),
        (500, Fate.PASSING),
        (503, Fate.PASSING),
    ],
)
def test_what_an_answer_means(authority, status, fate):
    """No redirect is followed: the number goes to one server."""
    with provider(authority, status) as server:
        result = client(server, authority).send(order())
    assert (result.fate, result.reply_code, result.words) == (fate, status, "")
    assert len(server.asked) == 1


def test_a_provider_that_shows_no_good_certificate_gets_nothing(authority, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DemoAuthorityWarning)
        DemoAuthority.create(tmp_path, datetime.now(UTC), key_bits=2048)
    with provider(authority) as server:
        for asked in (
            client(server, authority, ca=tmp_path / CERTIFICATE_FILE),
            client(
                server, authority, host="127.1"
            ),  # the same machine by a name that is not in the certificate
        ):
            result = asked.send(order())
            assert result.fate is Fate.PASSING
    assert server.asked == []


def test_a_provider_that_is_away(authority):
    with provider(authority) as server:
        asked = client(server, authority)
    result = asked.send(order())
    assert (result.fate, result.detail) == (Fate.PASSING, "the SMS provider does not answer")


@pytest.fixture
def gateway(tmp_path, authority):
    gateway = make_gateway(tmp_path, authority)
    store, account_id = gateway.services.store, gateway.account.account_id
    job = gateway.services.outbound.notice_job(account_id, order(), 600, gateway.clock.now)
    store.writer.commit(Unit(account_id, lambda connection: store.jobs.add_jobs(connection, [job])))
    yield gateway
    gateway.close()


def test_an_sms_waits_in_the_queue_sealed_and_leaves(gateway, authority, caplog):
    assert NUMBER[1:].encode() not in gateway.job().order
    with provider(authority) as server, caplog.at_level("DEBUG"):
        gateway.sms = client(server, authority)
        deliver(gateway, Peer(Script()))
    assert len(server.asked) == 1
    assert (gateway.job().state, gateway.job().order) == (JobState.DONE.value, b"")
    (line,) = JsonLines(caplog).attempts()
    assert (line["result"], line["code"]) == ("delivered", 200)
    for private in (NUMBER, "123456", TOKEN):
        assert private not in JsonLines(caplog).text()


def test_a_slow_provider_holds_none_of_the_threads_that_serve_people(gateway):
    threads = []

    class Slow:
        def send(self, _order):
            threads.append(threading.current_thread())
            return passing(Cause.UNREACHABLE)

    gateway.sms = Slow()
    deliver(gateway, Peer(Script()))
    assert len(threads) == 1
    assert not set(threads) & set(gateway.pool._threads)


def test_without_a_provider_the_log_says_what_to_set(gateway, caplog):
    with caplog.at_level("INFO"):
        deliver(gateway, Peer(Script()))
    (line,) = JsonLines(caplog).attempts()
    assert "set url in [sms]" in line["detail"]
    assert gateway.job().state == JobState.FAILED.value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"to": "{number}"}',
        '{"text": "{text}"}',
        '{"to": "{number}", "text": "{text}", "key": "{secret}"}',
        "[" * 100_000,
    ],
)
def test_bodies_that_say_nothing(text):
    with pytest.raises(Malformed):
        parse_sms_body(text)


def test_from_the_configuration(tmp_path):
    path = tmp_path / "pli.toml"
    path.write_text('[operator]\ndomains = ["sante.example"]\n')
    assert open_sms(load_config(path, {})) is None
    path.write_text(path.read_text() + '[sms]\nurl = "https://sms.example/send"\ntoken_file = "token"\n')
    with pytest.raises(Malformed) as refused:
        open_sms(load_config(path, {}))
    assert refused.value.code == "sms-token"
    (tmp_path / "token").write_text("jeton\n")
    assert open_sms(load_config(path, {})) is not None
