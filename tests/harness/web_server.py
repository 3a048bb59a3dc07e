"""The web pages on a port of the loopback, served by a thread, and a client that keeps its cookie."""

import asyncio
import html
import http.client
import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlencode

from harness.node import Node
from harness.web_node import PASSWORD, WebNode
from mailserver.app.web_site import build_api, join_site
from mailserver.service.throttle import Throttle
from mailserver.tls.contexts import client_facing_context
from mailserver.tls.crowd import Caps
from webmail.application import WebServices, create_app
from webmail.server import WebServer, serve_web

BOUNDARY = "----pliTestBoundary"


def web_services(node: Node) -> WebServices:
    services = node.services
    names = [name for name in WebServices.__dataclass_fields__ if name not in {"throttle", "clock"}]

    def note(login: str, network: str) -> None:
        services.login_failures.note(login, network, datetime.now(UTC))

    throttle = Throttle(time.monotonic, note)
    return WebServices(**{name: getattr(services, name) for name in names}, throttle=throttle)


@contextmanager
def running(node: Node, caps: Caps = Caps(1000, 1000)) -> Iterator[WebServer]:
    config = node.services.config
    services = web_services(node)
    site = join_site(create_app(services), build_api(node.services, services.throttle))
    context = client_facing_context(config.path(config.tls.certificate), config.path(config.tls.key))
    server = serve_web(site, "127.0.0.1", 0, context, caps)
    ready = threading.Event()

    async def main() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        ready.set()
        await serving

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert ready.wait(20)
    try:
        yield server
    finally:
        server.stop()
        thread.join(30)
        node.services.login_failures.flush(datetime.now(UTC), is_final=True)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def words(self) -> str:
        return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", self.text)))

    def field(self, name: str) -> str:
        found = re.search(rf'name="{name}" value="([^"]*)"', self.text)
        assert found, name
        return html.unescape(found[1])

    def links(self, pattern: str) -> list[str]:
        return [
            html.unescape(link)
            for link in re.findall(r'(?:href|src)="([^"]+)"', self.text)
            if re.search(pattern, link)
        ]


@dataclass
class Client:
    """Sends what it is told, redirects not followed."""

    port: int
    cookie: str = ""
    language: str = "fr"
    device: str = ""
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, None, headers)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Answer:
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.origin}
        return self.ask("POST", path, urlencode(fields).encode(), kind | headers)

    def post_files(
        self, path: str, fields: dict[str, str], files: list[tuple[str, str, bytes]], **headers: str
    ) -> Answer:
        body = b"".join(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        )
        for name, kind, data in files:
            head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'
            body += head.encode() + data + b"\r\n"
        body += f"--{BOUNDARY}--\r\n".encode()
        sent = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Origin": self.origin}
        return self.ask("POST", path, body, sent | headers)

    @staticmethod
    def context() -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        context = self.context()
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=30)
        sent = {"Accept-Language": self.language, "Connection": "close"} | self.extra | headers
        cookies = {"__Host-pli": self.cookie, "__Host-pli-device": self.device}
        if any(cookies.values()):
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items() if value)
        try:
            connection.request(method, path, body, sent)
            got = connection.getresponse()
            pairs = [(name.lower(), value) for name, value in got.getheaders()]
            answer = Answer(got.status, dict(reversed(pairs)), got.read())  # of several, the first
        finally:
            connection.close()
        for name, value in pairs:
            found = re.match(r'__Host-pli(-device)?="?([^";]*)', value) if name == "set-cookie" else None
            if found and found[1]:
                self.device = found[2]
            elif found:
                self.cookie = found[2]
        return answer

    def sign_in(self, web: WebNode, login: str) -> None:
        before = web.codes_sent()
        assert self.post("/login", {"login": login, "password": PASSWORD}).status == 303
        codes = web.codes_sent()
        for code in before:
            codes.remove(code)
        answer = self.post("/login/code", {"code": codes[0]})
        assert (answer.status, answer.headers["location"]) == (303, "/")
