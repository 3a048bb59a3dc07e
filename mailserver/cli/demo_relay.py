"""The demonstration's ordinary mail relay: a sink on loopback that keeps the notices it is given, nothing else.

It stands for the Internet provider of the patient; the demonstration reads the one-time code from it.
"""

import socketserver
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage

LINE_BYTES = 4096
MESSAGE_BYTES = 1 << 20


class _Session(socketserver.StreamRequestHandler):
    """One SMTP session (RFC 5321), with the few commands a relay's client needs."""

    server: "DemoRelay"

    def handle(self) -> None:
        self._say("220 relay.demo.localhost ESMTP")
        while line := self.rfile.readline(LINE_BYTES):
            verb = line[:4].upper().strip()
            if verb == b"EHLO":
                self._say("250-relay.demo.localhost\r\n250 8BITMIME")
            elif verb == b"DATA":
                self._say("354 go on")
                self.server.keep(self._read_message())
                self._say("250 2.0.0 kept")
            elif verb == b"QUIT":
                self._say("221 2.0.0 bye")
                return
            else:
                self._say("250 2.0.0 ok")

    def _read_message(self) -> bytes:
        lines: list[bytes] = []
        size = 0
        while (line := self.rfile.readline(LINE_BYTES)) not in {b".\r\n", b""} and size < MESSAGE_BYTES:
            lines.append(line.removeprefix(b"."))
            size += len(line)
        return b"".join(lines)

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


class DemoRelay(socketserver.ThreadingTCPServer):
    """Listens on a free port of 127.0.0.1; ``wait_for`` gives the text of the next notice."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self._notices: list[EmailMessage] = []
        self._news = threading.Condition()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def keep(self, raw: bytes) -> None:
        with self._news:
            self._notices.append(message_from_bytes(raw, policy=policy.default))
            self._news.notify_all()

    def wait_for(self, subject_part: str, seconds: float = 15) -> str | None:
        """The text of the newest notice whose subject holds ``subject_part``; taken out. None when none comes."""
        with self._news:
            self._news.wait_for(lambda: self._find(subject_part) is not None, timeout=seconds)
            found = self._find(subject_part)
            if found is None:
                return None
            self._notices.remove(found)
        body = found.get_body(("plain",))
        return None if body is None else str(body.get_content())

    def _find(self, subject_part: str) -> EmailMessage | None:
        return next((each for each in reversed(self._notices) if subject_part in str(each["Subject"])), None)
