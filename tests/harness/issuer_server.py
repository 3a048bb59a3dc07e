"""An issuer's HTTPS server in this process: its keys, and answers about tokens. What it is asked is kept."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from harness.tokens import claims, jwk_set

ACTIVE = "opaque-token-of-camille"


def give(path: str, body: bytes) -> tuple[int, bytes]:
    match path:
        case "/certs":
            return 200, jwk_set()
        case "/introspect":
            is_active = parse_qs(body.decode()).get("token") == [ACTIVE]
            told = {"active": True, **claims(client_id="mail-client")} if is_active else {"active": False}
            return 200, json.dumps(told).encode()
        case _:
            return 404, b""


@dataclass
class Issuer:
    """``answer`` may be replaced: path and body in, status and octets out."""

    port: int = 0
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)
    answer: Callable[[str, bytes], tuple[int, bytes]] = give

    def url(self, path: str) -> str:
        return f"https://localhost:{self.port}{path}"


@contextmanager
def running_issuer(context: ssl.SSLContext) -> Iterator[Issuer]:
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(b"")

        def do_POST(self) -> None:
            self.reply(self.rfile.read(int(self.headers["Content-Length"])))

        def reply(self, body: bytes) -> None:
            issuer.asked.append((self.path, self.headers.get("Authorization", ""), body))
            status, octets = issuer.answer(self.path, body)
            self.send_response(status)
            self.send_header("Location", issuer.url("/certs"))
            self.end_headers()
            self.wfile.write(octets)

        def log_message(self, *_words: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_request: object) -> None:
            pass  # a client that does not trust us

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    issuer.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
