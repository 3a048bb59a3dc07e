"""A session opens for its cookie alone, in any worker, until it is idle, old or ended (K21)."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from harness.node import make_node
from harness.web_node import PASSWORD, WebNode
from sqlalchemy import update

from mailserver.model.errors import Denied
from mailserver.service.web_sessions import WebSessions, parse_cookie
from mailserver.store import schema


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    node = make_node(tmp_path_factory.mktemp("web"))
    yield WebNode.over(node)
    node.close()


@pytest.fixture
def at() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def value(web: WebNode, request: pytest.FixtureRequest, at: datetime) -> str:
    name = f"s{abs(hash(request.node.name)) % 10**10}"
    web.node.add(f"{name}@a.localhost", password=PASSWORD, contact="x@example.org")
    return web.sign_in(name, at)


def assert_closed(web: WebNode, value: str, at: datetime) -> None:
    with pytest.raises(Denied, match=r"^session$"):
        web.sessions.load(value, at)


def test_another_worker_opens_it(web: WebNode, value: str, at: datetime) -> None:
    services = web.node.services
    other = WebSessions(services.store, services.keys, services.custody)
    assert other.load(value, at).account.mail is not None


def test_idle_fifteen_minutes(web: WebNode, value: str, at: datetime) -> None:
    web.sessions.load(value, at + timedelta(minutes=14))
    web.node.services.store.writer.commit(_nothing(value))
    web.sessions.load(value, at + timedelta(minutes=28))
    assert_closed(web, value, at + timedelta(minutes=45))


def test_twelve_hours_at_most(web: WebNode, value: str, at: datetime) -> None:
    moment = at
    while moment < at + timedelta(hours=12) - timedelta(minutes=10):
        session = web.sessions.load(value, moment)
        web.node.services.store.writer.commit(_nothing(value))
        assert session.ends_at <= at + timedelta(hours=12)
        moment += timedelta(minutes=10)
    assert_closed(web, value, at + timedelta(hours=12))


def test_it_says_when_it_ends(web: WebNode, value: str, at: datetime) -> None:
    assert web.sessions.load(value, at).ends_at == at.replace(microsecond=0) + timedelta(minutes=15)


def test_any_altered_octet_closes_it(web: WebNode, value: str, at: datetime) -> None:
    raw = base64.urlsafe_b64decode(value + "==")
    for place in range(len(raw)):
        altered = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        assert_closed(web, base64.urlsafe_b64encode(altered).rstrip(b"=").decode(), at)


@pytest.mark.parametrize("text", ["", "=", "é", "AAAA", "A" * 86, "A" * 5000, "a b"])
def test_what_is_no_cookie(web: WebNode, text: str) -> None:
    assert_closed(web, text, datetime.now(UTC))


@pytest.mark.parametrize(
    "values", [{"expires_at": 2**40}, {"factor": "password"}, {"hour": 1}, {"keys": bytes(120)}]
)
def test_an_altered_row_is_no_session(web: WebNode, at: datetime, values: dict[str, object]) -> None:
    name = f"r{abs(hash(str(values))) % 10**10}"
    web.node.add(f"{name}@a.localhost", password=PASSWORD, contact="x@example.org")
    value = web.sign_in(name, at)
    cookie = parse_cookie(value)
    with web.node.services.store.database.write() as connection:
        here = schema.session.c.session_id == cookie.session_id
        connection.execute(update(schema.session).where(here).values(**values))
    assert_closed(web, value, at)


def test_logging_out_ends_it(web: WebNode, value: str, at: datetime) -> None:
    web.sessions.end(value)
    assert_closed(web, value, at)
    web.sessions.end(value)
    web.sessions.end("no cookie")


def test_form_tokens_belong_to_a_session(web: WebNode, value: str, at: datetime) -> None:
    web.node.add("autre@a.localhost", password=PASSWORD, contact="x@example.org")
    mine, other = web.sessions.load(value, at), web.sessions.load(web.sign_in("autre", at), at)
    assert mine.is_form_token(mine.form_token())
    assert not mine.is_form_token(other.form_token())
    assert not mine.is_form_token("")
    assert not mine.is_form_token("\ud800")


def _nothing(value: str):
    """A Unit that waits for what was submitted before it."""
    from mailserver.store.writer import Unit

    return Unit(parse_cookie(value).account_id, lambda _connection: None)
