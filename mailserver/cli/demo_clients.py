"""The demonstration's clients: a mail client (IMAP, SMTP) and a browser without script, from the standard library."""

import html
import imaplib
import re
import smtplib
import ssl
import time
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from urllib.parse import urlencode

from mailserver.cli.demo_stage import Operator, Person
from mailserver.model.errors import Unavailable

HOST = "127.0.0.1"
CLIENT_NAME = "client.localhost"
WAIT_SECONDS = 20
_POLL_SECONDS = 0.1


def send_mail(
    operator: Operator, person: Person, recipients: list[str], message: bytes, context: ssl.SSLContext
) -> None:
    """Submit one message on port 465, as a mail client does."""
    with smtplib.SMTP_SSL(HOST, operator.port("submissions"), CLIENT_NAME, context=context) as client:
        client.login(person.address, person.app_password)
        client.sendmail(person.address, recipients, message)


def ask_mx(operator: Operator, sender: str, context: ssl.SSLContext) -> tuple[int, bytes]:
    """What the MX port answers to MAIL from ``sender`` over TLS, with the client certificate of ``context`` if any."""
    with smtplib.SMTP(HOST, operator.port("mx"), CLIENT_NAME) as client:
        client.starttls(context=context)
        client.ehlo()
        return client.mail(sender)


def read_newest(operator: Operator, person: Person, words: str, context: ssl.SSLContext) -> bytes:
    """Wait until a message whose subject holds ``words`` is in INBOX; its octets. Raises Unavailable after 20 s."""
    deadline = time.monotonic() + WAIT_SECONDS
    with imaplib.IMAP4_SSL(HOST, operator.port("imaps"), ssl_context=context) as client:
        client.login(person.address, person.app_password)
        while time.monotonic() < deadline:
            octets = _newest(client, words)
            if octets is not None:
                return octets
            time.sleep(_POLL_SECONDS)
    raise Unavailable("demo-mail", "the message did not arrive in 20 s")


def _newest(client: imaplib.IMAP4_SSL, words: str) -> bytes | None:
    client.select("INBOX")
    _status, found = client.search(None, "SUBJECT", f'"{words}"')
    numbers = found[0].split() if found and found[0] else []
    if not numbers:
        return None
    _status, parts = client.fetch(numbers[-1].decode(), "(BODY.PEEK[])")
    body = parts[0]
    return body[1] if isinstance(body, tuple) else None


@dataclass(frozen=True, slots=True)
class Page:
    """A page as the browser holds it."""

    path: str
    status: int
    text: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def words(self) -> str:
        """The visible text, roughly: tags out, entities in."""
        return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", self.text)))

    def link_like(self, pattern: str) -> str:
        """The first link that matches. Raises Unavailable("demo-page")."""
        links = [html.unescape(link) for link in re.findall(r'href="([^"]+)"', self.text)]
        for link in links:
            if re.search(pattern, link):
                return link
        raise Unavailable("demo-page", f"{self.path} has no link like {pattern}")

    def form_like(self, pattern: str) -> tuple[str, dict[str, str]]:
        """Action and hidden fields of the first form whose action matches. Raises Unavailable("demo-page")."""
        for form in re.findall(r"<form\b.*?</form>", self.text, re.DOTALL):
            action = re.search(r'action="([^"]*)"', form)
            target = html.unescape(action[1]) if action else self.path
            if re.search(pattern, target):
                return target, _hidden_fields(form)
        raise Unavailable("demo-page", f"{self.path} has no form like {pattern}")


def _hidden_fields(form: str) -> dict[str, str]:
    fields = {}
    for tag in re.findall(r"<input\b[^>]*>", form):
        if 'type="hidden"' in tag:
            name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
            if name:
                fields[html.unescape(name[1])] = html.unescape(value[1]) if value else ""
    return fields


@dataclass(slots=True)
class Browser:
    """Follows redirects, keeps cookies, sends forms; nothing else."""

    host: str
    port: int
    context: ssl.SSLContext
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str) -> Page:
        return self._go("GET", path, b"", {})

    def post(self, path: str, fields: dict[str, str]) -> Page:
        body = urlencode(fields).encode()
        return self._go("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})

    def post_file(self, path: str, fields: dict[str, str], file: tuple[str, str, str, bytes]) -> Page:
        """A multipart form with one file: (field, file name, type, octets)."""
        boundary = "----pli-demo-boundary"
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        ]
        name, file_name, kind, data = file
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file_name}"\r\n'
        parts.append(f"{head}Content-Type: {kind}\r\n\r\n".encode() + data + b"\r\n")
        parts.append(f"--{boundary}--\r\n".encode())
        kind_header = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return self._go("POST", path, b"".join(parts), kind_header)

    def _go(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Page:
        for _hop in range(6):
            page = self._request(method, path, body, headers)
            if page.status not in {301, 302, 303, 307}:
                return page
            method, body, headers = "GET", b"", {}
            path = page.headers["location"]
        raise Unavailable("demo-page", f"{path} redirects without end")

    def _request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Page:
        origin = f"https://{self.host}:{self.port}"
        path = path.removeprefix(origin)
        sent = headers | {"Accept-Language": "fr", "Origin": origin, "Sec-Fetch-Site": "same-origin"}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection = HTTPSConnection(self.host, self.port, context=self.context, timeout=30)
        try:
            connection.request(method, path, body or None, sent)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = cookie.split(";", 1)[0].partition("=")
            if value and "Max-Age=0" not in cookie:
                self.cookies[name] = value
            else:
                self.cookies.pop(name, None)
        lowered = {name.lower(): value for name, value in answer.headers.items()}
        return Page(path, answer.status, data.decode("utf-8", "replace"), lowered, data)
