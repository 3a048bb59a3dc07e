"""A program follows what its holder sent over HTTPS: every state and attempt, nobody else's, and nothing that the
person's log does not hold."""

import re
from datetime import UTC, datetime

import pytest
from harness.api_client import ApiClient, basic
from harness.log_reading import read_log
from harness.web_server import Client, running
from service.gateway_node import (
    MESSAGE,
    RECIPIENT,
    SENDER,
    Peer,
    Script,
    context_of,
    deliver,
    make_authority,
    make_gateway,
)

from mailserver.api.problems import PROBLEMS
from mailserver.audit.events import EventKind
from mailserver.crypto.slots import SlotScope
from mailserver.model.address import parse_address
from mailserver.service import timelines as timelines_module
from mailserver.store import schema

PASSWORD = "un mot de passe long"
MESSAGE_ID = "<un@a.localhost>"
OTHER = "lou@a.localhost"
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("operators"))


@pytest.fixture
def gateway(tmp_path, authority):
    gateway = make_gateway(tmp_path, authority, PASSWORD)
    yield gateway
    gateway.close()


@pytest.fixture
def port(gateway):
    with running(gateway.node) as server:
        yield server.port


def new_secret(gateway, address=SENDER, scope=SlotScope.API):
    made = gateway.services.app_passwords.add_app_password(parse_address(address), scope, datetime.now(UTC))
    return made[0]


@pytest.fixture
def client(gateway, port):
    return ApiClient(port, SENDER, new_secret(gateway))


def logged(gateway, address=SENDER):
    account = gateway.services.keys.open_with_password(address, PASSWORD)[0]
    found = read_log(gateway.services.store, account.account, account.space_root())
    return [each.event for each in found]


def readings(gateway):
    return [each for each in logged(gateway) if each.kind is EventKind.MAILBOX_READ]


def test_each_recipient_with_each_attempt(gateway, client, authority):
    gateway.node.add(OTHER)
    gateway.submit(recipients=(RECIPIENT, OTHER, "li@b.localhost"))
    script = Script(rcpt=[b"250 ok\r\n", b"550 5.1.1 unknown\r\n"], end=[b"451 4.3.0 come back later\r\n"])
    deliver(gateway, Peer(script, context_of(authority, "b.localhost")))
    answer, found = client.get("/api/v1/sent")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["content-language"] == "en"
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("access-control")]
    (message,) = found["messages"]
    assert found["next"] is None
    assert message["message_id"] == MESSAGE_ID
    assert message["sent_at"] == gateway.clock.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    by_state = {each["state"]: each for each in message["recipients"]}
    assert by_state.keys() == {"here", "waiting", "returned"}
    assert by_state["here"]["address"] == OTHER
    assert by_state["here"]["attempts"] == []
    assert INSTANT.fullmatch(by_state["waiting"]["next_try_at"])
    (attempt,) = by_state["waiting"]["attempts"]
    assert INSTANT.fullmatch(attempt["at"])
    assert attempt == {
        "at": attempt["at"],
        "number": 1,
        "result": "peer-reply",
        "reply_code": 451,
        "text": "The recipient's server asks to try again later.",
    }
    assert by_state["returned"]["attempts"][0]["reply_code"] == 550
    assert by_state["returned"]["next_try_at"] is None
    one = client.get(f"/api/v1/sent/{message['id']}")[1]
    assert one == message
    assert client.search(MESSAGE_ID)[1] == client.search(MESSAGE_ID.strip("<>"))[1] == {"messages": [message]}
    client.language = "fr"
    french = client.get(f"/api/v1/sent/{message['id']}")[1]
    assert {each["text"] for each in french["recipients"]} >= {
        "Remis dans la boîte du destinataire.",
        "En attente d'un nouvel essai.",
    }


def test_pages_from_the_newest(gateway, client, monkeypatch):
    ids = []
    for number in range(5):
        gateway.submit(MESSAGE.replace(b"<un@", f"<m{number}@".encode()))
        gateway.clock.pass_by(seconds=number % 2)  # some within one second
        ids.append(f"<m{number}@a.localhost>")

    def pages(limit):
        place, found = "", []
        while place is not None:
            page = client.get(f"/api/v1/sent?limit={limit}{place and '&before=' + place}")[1]
            found.append([each["message_id"] for each in page["messages"]])
            place = page["next"]
        return found

    assert list(map(len, pages(2))) == [2, 2, 1]
    everything = [each for page in pages(2) for each in page]
    assert sorted(everything) == ids
    assert everything[0] == ids[4] and everything[-1] in ids[:2]
    assert pages(5) == pages(100) == [everything]
    monkeypatch.setattr(timelines_module, "PAGE_BYTES", 1)
    assert list(map(len, pages(3))) == [1] * 5, "however large, one message is shown"


def test_the_days_reading_is_logged_once_and_before_anything_is_shown(gateway, client, monkeypatch):
    gateway.submit()

    def fail(*_arguments):
        raise RuntimeError("private words")

    with monkeypatch.context() as patch:
        patch.setattr("mailserver.service.mail_permit.add_entries", fail)
        answer, problem = client.get("/api/v1/sent")
    assert (answer.status, problem["type"]) == (500, "/api/v1/problems/internal")
    assert "private" not in answer.text and "a.localhost" not in answer.text
    assert readings(gateway) == []
    for _turn in range(2):
        assert client.get("/api/v1/sent")[0].status == 200
    (event,) = readings(gateway)
    assert (event.origin.network, event.origin.client) == ("127.0.0.0/24", "API")
    assert event.who.handle == SENDER
    client.secret = new_secret(gateway)
    client.get("/api/v1/sent")
    assert len(readings(gateway)) == 2, "one for each app password"


def test_another_persons_message_is_nowhere(gateway, port, client):
    gateway.submit()
    (message,) = client.get("/api/v1/sent")[1]["messages"]
    gateway.node.add(OTHER, password=PASSWORD)
    other = ApiClient(port, OTHER, new_secret(gateway, OTHER))
    answer, problem = other.get(f"/api/v1/sent/{message['id']}")
    assert (answer.status, problem["type"]) == (404, "/api/v1/problems/absent")
    assert other.search(MESSAGE_ID)[1] == {"messages": []}
    assert other.get("/api/v1/sent")[1] == {"messages": [], "next": None}
    assert other.get(f"/api/v1/sent?before=9999999999-{'f' * 32}")[1]["messages"] == []
    other.login = SENDER
    assert other.get("/api/v1/sent")[0].status == 401, "one's own password opens nobody else's account"


@pytest.mark.parametrize("scope", [SlotScope.IMAP_SMTP, SlotScope.IMAP, SlotScope.SMTP])
def test_a_mail_clients_password_is_told_that_it_does_not_serve(gateway, port, scope):
    gateway.submit()
    answer, problem = ApiClient(port, SENDER, new_secret(gateway, scope=scope)).get("/api/v1/sent")
    assert (answer.status, problem["type"]) == (403, "/api/v1/problems/scope")
    assert "www-authenticate" not in answer.headers
    assert readings(gateway) == []


def test_an_api_password_opens_no_mailbox_and_sends_nothing(gateway):
    secret, keys = new_secret(gateway), gateway.services.keys
    for scopes in ([SlotScope.IMAP, SlotScope.IMAP_SMTP], [SlotScope.SMTP, SlotScope.IMAP_SMTP]):
        with pytest.raises(Exception, match="login"):
            keys.open_with_app_password(SENDER, secret, scopes, 0)
    opened = keys.open_with_app_password(SENDER, secret, [SlotScope.API], 0)
    assert (opened.mail, opened.space is None) == (None, False)


def refusals(gateway):
    good = new_secret(gateway)
    wrong = f"{good[:-1]}{'a' if good[-1] != 'a' else 'b'}"
    return {
        "none": "",
        "wrong": basic(SENDER, wrong),
        "web password": basic(SENDER, PASSWORD),
        "nobody": basic("personne@a.localhost", good),
        "no address": basic("", good),
        "control": basic(SENDER, good + "\0"),
        "no colon": "Basic " + "YWJj",
        "not base64": "Basic ?!",
        "not utf-8": "Basic /////w==",
        "bearer": "Bearer " + good,
        "long": "Basic " + "YWJj" * 1000,
    }


def test_refusals_say_one_thing_and_the_guesses_are_in_the_log(gateway, port):
    tried = {}
    for name, header in refusals(gateway).items():
        sent = {"Authorization": header} if header else {}
        tried[name] = Client(port, language="en").ask("GET", "/api/v1/sent", None, sent)
    assert {each.status for each in tried.values()} == {401}
    assert {each.headers["www-authenticate"] for each in tried.values()} == {
        'Basic realm="Pli", charset="UTF-8"'
    }
    assert len({each.body for each in tried.values()}) == 1
    assert tried["wrong"].headers["content-type"] == "application/problem+json"
    gateway.services.login_failures.flush(datetime.now(UTC), is_final=True)
    events = logged(gateway)
    failed = [each for each in events if each.kind is EventKind.LOGIN_FAILED]
    assert sum(int(dict(each.what.parameters)["count"]) for each in failed) == 2, (
        "wrong, and the web password"
    )
    assert not [each for each in events if each.kind is EventKind.MAILBOX_READ]


def test_an_ended_or_revoked_password_and_a_disabled_account(gateway, client):
    passwords, address = gateway.services.app_passwords, parse_address(SENDER)
    assert client.get("/api/v1/sent")[0].status == 200
    made = [each for each in passwords.list_app_passwords(address, datetime.now(UTC)) if each.scope == "api"]
    passwords.revoke_app_password(address, made[0].slot_id, datetime.now(UTC))
    assert client.get("/api/v1/sent")[0].status == 401
    client.secret = passwords.add_app_password(address, SlotScope.API, datetime(2020, 1, 1, tzinfo=UTC), 1)[0]
    assert client.get("/api/v1/sent")[0].status == 401
    client.secret = new_secret(gateway)
    gateway.services.administration.disable_account(address, datetime.now(UTC))
    assert client.get("/api/v1/sent")[0].status == 401


def test_what_is_malformed_is_refused_with_its_reason(client):
    json_type = {"Content-Type": "application/json"}
    post = lambda body, headers=json_type: client.ask("POST", "/api/v1/sent/search", body, headers)
    asked = [
        (client.get("/api/v1/sent?limit=0"), 400, "request"),
        (client.get("/api/v1/sent?limit=101"), 400, "request"),
        (client.get("/api/v1/sent?limit=%C2%B2"), 400, "request"),
        (client.get("/api/v1/sent?before=hier"), 400, "request"),
        (client.get("/api/v1/sent/zz"), 404, "absent"),
        (client.get(f"/api/v1/sent/{'0' * 32}"), 404, "absent"),
        (client.get("/api/v1/sent/"), 404, "absent"),
        (client.get("/api/v2/sent"), 404, "absent"),
        (client.get("/api/v1/sent/search"), 404, "absent"),
        (client.ask("DELETE", "/api/v1/sent", None, {}), 405, "method"),
        (post(b"{}", {"Content-Type": "text/plain"}), 415, "media-type"),
        (post(b"{}"), 400, "request"),
        (post(b"[" * 4000), 400, "request"),
        (post(b'{"message_id": 7}'), 400, "request"),
        (post(b'{"message_id": ""}'), 400, "request"),
        (post(b'{"message_id": "\\ud800"}'), 400, "request"),
        (post(b"\xff"), 400, "request"),
        (post(b"{" + b" " * 4096 + b"}"), 413, "too-large"),
    ]
    for (answer, problem), status, code in asked:
        assert (answer.status, problem["status"]) == (status, status), (code, problem)
        assert problem["type"] == f"/api/v1/problems/{code}"
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["detail"] == PROBLEMS[code].detail_en
    assert sorted(asked[9][0][0].headers["allow"].split(", ")) == ["GET", "HEAD"]


def test_an_altered_record_is_told_by_an_incident_number(gateway, client, caplog):
    gateway.submit()
    with gateway.services.store.database.write() as connection:
        connection.execute(schema.sent.update().values(record=b"other"))
    answer, problem = client.get("/api/v1/sent")
    assert (answer.status, problem["type"]) == (500, "/api/v1/problems/corrupt")
    (line,) = [each for each in caplog.records if each.name == "pli.api"]
    assert (line.incident, line.code) == (problem["incident"], "row-mac")
    assert "localhost" not in line.getMessage()


def test_one_password_asks_so_often_and_no_more(gateway, client, port, monkeypatch):
    monkeypatch.setattr("mailserver.api.rates.BURST", 2)
    monkeypatch.setattr("mailserver.api.rates.SECONDS_EACH", 600.0)
    answers = [client.get("/api/v1/sent") for _turn in range(4)]
    answer, problem = answers[-1]
    assert (answer.status, problem["type"], answer.headers["retry-after"]) == (
        429,
        "/api/v1/problems/rate",
        "15",
    )
    assert answers[0][0].status == 200
    assert ApiClient(port, SENDER, new_secret(gateway)).get("/api/v1/sent")[0].status == 200


def test_the_pages_and_the_api_share_the_port_and_nothing_else(gateway, client, port):
    page = Client(port).get("/login")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert Client(port).get("/api").headers["content-type"].startswith("text/html")
    gateway.submit()
    assert client.get("/api/v1/sent")[0].status == 200
    web = Client(port, extra={"Authorization": basic(client.login, client.secret)})
    assert web.get("/sent").status == 303, "an app password opens no page"
    assert client.search(MESSAGE_ID)[0].status == 200, (
        "no form token, no Origin: there is no cookie to misuse"
    )


def test_every_text_is_in_both_languages():
    for code, problem in PROBLEMS.items():
        texts = (problem.title_fr, problem.detail_fr, problem.title_en, problem.detail_en)
        assert all(texts) and len(set(texts)) == 4, code
        assert problem.detail_fr.endswith(".") and problem.detail_en.endswith("."), code
