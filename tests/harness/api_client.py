"""A program that asks the API over HTTPS with its credentials in each request."""

import base64
import json
from dataclasses import dataclass

from harness.web_server import Answer, Client


def basic(login: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{login}:{secret}".encode()).decode()


@dataclass
class ApiClient:
    port: int
    login: str
    secret: str
    language: str = "en"

    def get(self, path: str, **headers: str) -> tuple[Answer, dict]:
        return self.ask("GET", path, None, headers)

    def search(self, message_id: object) -> tuple[Answer, dict]:
        body = json.dumps({"message_id": message_id}).encode()
        return self.ask("POST", "/api/v1/sent/search", body, {"Content-Type": "application/json"})

    def ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[Answer, dict]:
        """The answer and its JSON."""
        sent = {"Authorization": basic(self.login, self.secret)} | headers
        answer = Client(self.port, language=self.language).ask(method, path, body, sent)
        return answer, json.loads(answer.body)
