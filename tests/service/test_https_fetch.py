"""Fetching over HTTPS from real servers on this machine: what is taken, and every way in which it is refused."""

import asyncio
import socket
import ssl
from datetime import UTC, datetime

import pytest
import uvloop
from harness.list_server import HANG, ListServer, answer, served, server_context

from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning, Variant
from mailserver.model.errors import Malformed, Unavailable
from mailserver.sync.https_fetch import NO_VALIDATORS, FetchLimits, Validators, fetch
from mailserver.tls.contexts import web_client_context

BODY = b"<list>" + b"x" * 200_000 + b"</list>"
LIMITS = FetchLimits(octets=250_000, seconds=10)
QUICK = FetchLimits(octets=250_000, seconds=0.3)
SEEN = Validators('"one"', "Mon, 02 Mar 2026 09:00:00 GMT")


def chunked(*pieces):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TAKEN = {
    "with its length": answer("200 OK", BODY),
    "in chunks": [CHUNKED, chunked(BODY[:1000], BODY[1000:], b"")],
    "up to the end of the connection": [b"HTTP/1.1 200 OK\r\n\r\n" + BODY],
    "of an old server": [b"HTTP/1.0 200 OK\r\n\r\n" + BODY],
    "after an interim answer": [b"HTTP/1.1 103 Early Hints\r\n\r\n", *answer("200 OK", BODY)],
    "octet by octet in its head": [bytes([octet]) for octet in answer("200 OK", b"")[0][:-4]] + [b"\r\n\r\n"],
    "from a server that stays": [*answer("200 OK", BODY), HANG],
}
REFUSED = {
    "fault": (answer("500 Internal Server Error", b"oops"), "fetch-status"),
    "not there": (answer("404 Not Found"), "fetch-status"),
    "no content": (answer("204 No Content"), "fetch-status"),
    "a part": (answer("206 Partial Content", BODY), "fetch-status"),
    "unasked: not modified": (answer("304 Not Modified"), "fetch-status"),
    "redirect": (answer("301 Moved", Location="https://localhost/other"), "fetch-redirect"),
    "other redirect": (answer("308 Permanent Redirect", Location="/other"), "fetch-redirect"),
    "too large, said": (answer("200 OK", Content_Length="250001"), "fetch-length"),
    "too large, unsaid": ([b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 50_000] * 6], "fetch-length"),
    "endless": ([CHUNKED, *[chunked(b"x" * 50_000)] * 6, HANG], "fetch-length"),
    "cut": (answer("200 OK", BODY[:-1], Content_Length=str(len(BODY))), "fetch-truncated"),
    "cut in its chunks": ([CHUNKED, chunked(BODY)], "fetch-truncated"),
    "cut in its head": ([b"HTTP/1.1 200 OK\r\nContent-Le"], "fetch-truncated"),
    "nothing": ([], "fetch-truncated"),
    "no HTTP": ([b"220 mail.example ESMTP\r\n\r\n"], "fetch-answer"),
    "compressed": (answer("200 OK", BODY, Content_Encoding="gzip"), "fetch-answer"),
    "two lengths": ([b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"], "fetch-answer"),
    "no length": (answer("200 OK", BODY, Content_Length="-1"), "fetch-answer"),
    "long head": (answer("200 OK", BODY, X="x" * 200_000), "fetch-answer"),
    "silent": ([HANG], "fetch-timeout"),
    "slow in its head": ([b"HTTP/1.1 200 OK\r\n", HANG], "fetch-timeout"),
    "slow in its body": ([*answer("200 OK", BODY, Content_Length="249999"), HANG], "fetch-timeout"),
    "always about to answer": ([b"HTTP/1.1 103 Early Hints\r\n\r\n"] * 1000 + [HANG], "fetch-timeout"),
}
BOTH_LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run])


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    with pytest.warns(DemoAuthorityWarning):
        return DemoAuthority.create(tmp_path_factory.mktemp("ca"), datetime.now(UTC), key_bits=2048)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """Another authority of the same name."""
    with pytest.warns(DemoAuthorityWarning):
        return DemoAuthority.create(tmp_path_factory.mktemp("ca"), datetime.now(UTC), key_bits=2048)


@pytest.fixture(scope="module")
def context(authority, tmp_path_factory):
    return server_context(authority, tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def ours(authority):
    return web_client_context(authority.certificate_path)


async def ask(server, theirs, ours, *, validators=NO_VALIDATORS, limits=LIMITS, host="localhost"):
    async with served(server, theirs):
        return await fetch(server.url(host), ours, validators, limits)


def refusal_of(run, *arguments, **options):
    with pytest.raises(Unavailable) as refusal:
        run(ask(*arguments, **options))
    return refusal.value.code


@BOTH_LOOPS
@pytest.mark.parametrize("given", TAKEN.values(), ids=TAKEN.keys())
def test_taken(context, ours, given, run):
    found = run(ask(ListServer(given), context, ours))
    assert found.body in {BODY, b""}
    assert found.validators == NO_VALIDATORS


@BOTH_LOOPS
@pytest.mark.parametrize(("given", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(context, ours, given, code, run):
    server = ListServer(given)
    limits = QUICK if code == "fetch-timeout" else LIMITS
    assert refusal_of(run, server, context, ours, limits=limits) == code
    assert len(server.requests) == 1  # nothing was followed


def test_what_is_asked(context, ours):
    server = ListServer(answer("200 OK", BODY, ETag='"one"', Last_Modified=SEEN.last_modified))
    assert asyncio.run(ask(server, context, ours)).validators == SEEN
    (request,) = server.requests
    assert request == {
        "": "GET /list.xml?v=1 HTTP/1.1",
        "Host": f"localhost:{server.port}",
        "User-Agent": "Pli",
        "Accept": "application/xml, text/xml, */*;q=0.1",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }


@pytest.mark.parametrize(
    ("given", "validators"),
    [(answer("304 Not Modified"), SEEN), (answer("304 Not Modified", ETag='"two"'), Validators('"two"'))],
)
def test_not_modified(context, ours, given, validators):
    server = ListServer(given)
    found = asyncio.run(ask(server, context, ours, validators=SEEN))
    assert (found.body, found.validators) == (None, validators)
    (request,) = server.requests
    assert request["If-None-Match"] == SEEN.etag
    assert request["If-Modified-Since"] == SEEN.last_modified


@pytest.mark.parametrize("etag", ['"' + "x" * 300 + '"', '"caf\xe9"'])
def test_validators_that_are_not_kept(context, ours, etag):
    given = [f"HTTP/1.1 200 OK\r\nETag: {etag}\r\nContent-Length: 0\r\n\r\n".encode("latin-1")]
    assert asyncio.run(ask(ListServer(given), context, ours)).validators == NO_VALIDATORS


@BOTH_LOOPS
def test_certificate_of_another_authority(stranger, tmp_path, ours, run):
    server = ListServer(answer("200 OK", BODY))
    assert refusal_of(run, server, server_context(stranger, tmp_path), ours) == "fetch-tls-authority"
    assert server.requests == []


@BOTH_LOOPS
@pytest.mark.parametrize(("named", "called"), [("lists.example", "localhost"), ("localhost", "127.0.0.1")])
def test_certificate_of_another_host(authority, tmp_path, ours, named, called, run):
    server = ListServer(answer("200 OK", BODY))
    theirs = server_context(authority, tmp_path, named)
    assert refusal_of(run, server, theirs, ours, host=called) == "fetch-tls-host"
    assert server.requests == []


def test_expired_certificate(authority, tmp_path, ours):
    theirs = server_context(authority, tmp_path, variant=Variant.EXPIRED)
    assert refusal_of(asyncio.run, ListServer([]), theirs, ours) == "fetch-tls-authority"


@BOTH_LOOPS
def test_no_tls(ours, run):
    """A port where something else answers in the clear."""

    async def greet(_reader, writer):
        writer.write(b"220 mail.example ESMTP\r\n" * 10)
        writer.close()

    async def ask_it():
        async with await asyncio.start_server(greet, "127.0.0.1", 0) as listener:
            url = f"https://localhost:{listener.sockets[0].getsockname()[1]}/"
            return await fetch(url, ours, NO_VALIDATORS, LIMITS)

    with pytest.raises(Unavailable) as refusal:
        run(ask_it())
    assert refusal.value.code == "fetch-tls"


@BOTH_LOOPS
def test_old_tls(authority, tmp_path, ours, run):
    theirs = server_context(authority, tmp_path)
    theirs.set_ciphers("DHE-RSA-AES128-GCM-SHA256")
    theirs.maximum_version = ssl.TLSVersion.TLSv1_2
    assert refusal_of(run, ListServer(answer("200 OK", BODY)), theirs, ours) in {
        "fetch-tls",
        "fetch-connection",  # a server that goes without a word
    }


@BOTH_LOOPS
def test_nobody_answers(ours, run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        with pytest.raises(Unavailable) as refusal:
            run(fetch(f"https://localhost:{taken.getsockname()[1]}/", ours, NO_VALIDATORS, LIMITS))
    assert refusal.value.code == "fetch-connection"


def test_a_name_that_nobody_knows(ours, monkeypatch):
    async def unknown(*_args, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(asyncio, "open_connection", unknown)
    with pytest.raises(Unavailable) as refusal:
        asyncio.run(fetch("https://lists.example/", ours, NO_VALIDATORS, LIMITS))
    assert refusal.value.code == "fetch-name"


def test_authority_files(tmp_path):
    (tmp_path / "bad.pem").write_text("no certificate")
    for name in ("bad.pem", "absent.pem"):
        with pytest.raises(Malformed) as refusal:
            web_client_context(tmp_path / name)
        assert refusal.value.code == "web-authority"
    system = web_client_context(None)
    assert system.check_hostname
    assert system.verify_mode is ssl.CERT_REQUIRED
