"""IMAP with access tokens on the wire: who gets in, what is said to the others, what is in the logs and what is not."""

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from harness.imap_harness import Account, RunningImap, TlsFiles, make_node, make_tls, running_imap
from harness.imap_transcript import Client, message
from harness.smtp_harness import log_lines
from harness.tokens import (
    AUDIENCE,
    CLAIM,
    ISSUER,
    OTHER_RPPS,
    RPPS,
    claims,
    jwk_set,
    oauthbearer,
    token,
    xoauth2,
)

from mailserver.audit.events import EventKind, Origin
from mailserver.audit.wording import Language
from mailserver.crypto.custodian import JOURNAL_NAME
from mailserver.crypto.custodian_logins import LoginKind, token_subject
from mailserver.crypto.slots import SlotScope
from mailserver.crypto.tokens import JwtCheck, KeySource, TokenPolicy
from mailserver.imap.replies import BYE_OVER
from mailserver.model.address import parse_address
from mailserver.model.errors import Unavailable
from mailserver.service.mail_logins import LoginPolicy
from mailserver.service.sasl import TokenAdvice, TokenLogin
from mailserver.service.throttle import Throttle

POLICY = TokenPolicy(ISSUER, frozenset({AUDIENCE}), CLAIM, timedelta(minutes=5))
ADVICE = TokenAdvice("openid", "https://login.example/.well-known/openid-configuration")
REFUSED = "Connexion refusee : ce jeton n'ouvre pas cette adresse."


class Keys:
    """The issuer's keys; it can be away."""

    is_away = False

    def __call__(self) -> bytes:
        if self.is_away:
            raise Unavailable("token-issuer")
        return jwk_set()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def running(tmp_path, tls: TlsFiles, keys: Keys) -> Iterator[RunningImap]:
    check = JwtCheck(POLICY, KeySource(keys))
    node = make_node(tmp_path / "node", tokens=check, policy=LoginPolicy(takes_tokens=True, advice=ADVICE))
    ann, ben = node.add("ann", has_password=True), node.add("ben", has_password=True)
    bind(node, ann, RPPS)
    bind(node, ben, OTHER_RPPS)
    with running_imap(node, tls) as server:
        yield server
    node.close()
    node.custodian.close()


def bind(node, account: Account, subject: str) -> None:
    address = parse_address(account.address)
    node.bindings.bind(address, LoginKind.TOKEN, token_subject(ISSUER, subject), datetime.now(UTC))


@pytest.fixture
def client(running: RunningImap, tls: TlsFiles) -> Iterator[Client]:
    client = dial(running, tls)
    yield client
    client.close()


def dial(running: RunningImap, tls: TlsFiles) -> Client:
    client = Client(running.tls_port, tls.client)
    greeting = client.line()
    assert greeting is not None
    assert greeting.startswith("* OK [CAPABILITY ")
    assert " AUTH=PLAIN AUTH=OAUTHBEARER AUTH=XOAUTH2]" in greeting
    return client


def encoded(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def ask(client: Client, line: str) -> list[str]:
    client.send(line.encode() + b"\r\n")
    return client.until_tagged(line.split(maxsplit=1)[0])


def log_in(client: Client, said: bytes, mechanism: str = "OAUTHBEARER") -> tuple[dict[str, str] | None, str]:
    """What a refused client is told before, and the tagged answer."""
    client.send(f"t AUTHENTICATE {mechanism} {encoded(said)}\r\n".encode())
    line = client.line()
    assert line is not None
    if not line.startswith("+ "):
        return None, line
    told = json.loads(base64.b64decode(line[2:]))
    client.send(b"AQ==\r\n")
    return told, client.line()


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_a_good_token_reads_mail(running: RunningImap, client: Client, mechanism: str, alg: str) -> None:
    running.node.deliver("ann", message(1))
    ann = running.node.accounts["ann"].address
    form = oauthbearer if mechanism == "OAUTHBEARER" else xoauth2
    told, answer = log_in(client, form(ann, token(alg=alg)), mechanism)
    assert told is None
    assert answer.startswith("t OK [CAPABILITY ")
    assert "AUTH=" not in answer
    assert "* 1 EXISTS" in ask(client, "s SELECT INBOX")
    assert any("Ligne 1" in line for line in ask(client, "f FETCH 1 BODY[]"))


def test_without_an_initial_response(running: RunningImap, client: Client) -> None:
    client.send(b"a AUTHENTICATE OAUTHBEARER\r\n")
    assert client.line() == "+ "
    client.send(encoded(oauthbearer(running.node.accounts["ann"].address, token())).encode() + b"\r\n")
    assert client.line().startswith("a OK ")


def test_on_the_port_that_begins_in_the_clear(running: RunningImap, tls: TlsFiles) -> None:
    client = Client(running.clear_port, None)
    assert "AUTH=" not in client.line()
    said = encoded(oauthbearer(running.node.accounts["ann"].address, token()))
    assert ask(client, f"a AUTHENTICATE OAUTHBEARER {said}")[-1].startswith("a NO [PRIVACYREQUIRED]")
    ask(client, "b STARTTLS")
    client.start_tls(tls.client)
    assert any("AUTH=OAUTHBEARER" in line for line in ask(client, "c CAPABILITY"))
    assert ask(client, f"d AUTHENTICATE OAUTHBEARER {said}")[-1].startswith("d OK ")
    client.close()


BAD = {
    "forged": ("ann", lambda: token(claims(iss="https://evil.example"))),
    "over": ("ann", lambda: token(claims(time.time() - 400))),
    "made for another by our client": ("ann", lambda: token(claims(aud="other", azp=AUDIENCE))),
    "no token at all": ("ann", lambda: b"garbage"),
    "another person's box": ("ben", token),
    "somebody who is bound to nothing": ("ann", lambda: token(claims(**{CLAIM: "899700000009"}))),
    "an address that nobody has": ("nobody", token),
    "no address": ("\u00a0", token),
    "a disabled account": ("off", lambda: token(claims(**{CLAIM: "899700000003"}))),
}


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
def test_the_others_are_told_one_thing(
    running: RunningImap, tls: TlsFiles, mechanism: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K22: same words whatever was wrong; nothing private in the operator's log."""
    monkeypatch.setattr(Throttle, "delay_seconds", lambda *_names: 0.0)
    node = running.node
    bind(node, node.add("off"), "899700000003")
    node.administration.disable_account(parse_address(node.accounts["off"].address), datetime.now(UTC))
    answers, form = set(), oauthbearer if mechanism == "OAUTHBEARER" else xoauth2
    made = {name: (login, make()) for name, (login, make) in BAD.items()}
    with log_lines() as log:
        for login, raw in made.values():
            client = dial(running, tls)
            address = node.accounts[login].address if login in node.accounts else f"{login}@a.localhost"
            told, answer = log_in(client, form(address, raw), mechanism)
            assert told is not None
            answers.add((json.dumps(told, sort_keys=True), answer))
            client.close()
    (only,) = answers
    assert only[1].startswith(f"t NO [AUTHENTICATIONFAILED] {REFUSED}")
    told = json.loads(only[0])
    assert told["scope"] == "openid"
    assert told["openid-configuration"] == ADVICE.configuration_url
    assert told["status"] == ("invalid_token" if mechanism == "OAUTHBEARER" else "401")
    for word in ("token-issuer", "token-audience", "token-time", "token-form", "login-unbound"):
        assert word in log.text, "the operator reads why"
    for private in ("a.localhost", RPPS, "899700000009", token()[:60].decode()):
        assert private not in log.text


def test_what_cannot_be_read(running: RunningImap, client: Client) -> None:
    answer = "BAD The OAUTHBEARER response cannot be understood"
    assert ask(client, f"a AUTHENTICATE OAUTHBEARER {encoded(b'n,,')}") == [f"a {answer}"]
    assert ask(client, "b AUTHENTICATE OAUTHBEARER =") == [f"b {answer}"]


def test_a_refused_client_may_cancel(running: RunningImap, client: Client) -> None:
    ann = running.node.accounts["ann"].address
    client.send(f"a AUTHENTICATE XOAUTH2 {encoded(xoauth2(ann, b'bad'))}\r\n".encode())
    assert client.line().startswith("+ ")
    client.send(b"*\r\n")
    assert client.line() == "a BAD AUTHENTICATE cancelled"
    client.send(f"b AUTHENTICATE XOAUTH2 {encoded(xoauth2(ann, b'bad'))}\r\n".encode())
    assert client.line().startswith("+ ")
    client.send(b"\r\n")  # what some clients of Google's form send
    assert client.line().startswith("b NO [AUTHENTICATIONFAILED]")
    assert ask(client, f"c AUTHENTICATE XOAUTH2 {encoded(xoauth2(ann, token()))}")[-1].startswith("c OK ")


def test_guesses_wait_like_those_of_passwords(running: RunningImap, client: Client) -> None:
    slow: list[str] = []
    throttle = Throttle(time.monotonic, lambda login, _network: slow.append(login))
    services = running.server._hub.services
    running.server._hub.services = replace(services, throttle=throttle)
    fresh = Client(running.tls_port, client._socket.context)
    fresh.line()
    ann = running.node.accounts["ann"].address
    for _each in range(2):
        log_in(fresh, oauthbearer(ann, b"bad"))
    assert slow == [ann, ann]
    for _each in range(3):
        throttle.note_failure("127.0.0.1", ann)
    assert throttle.delay_seconds("127.0.0.1", ann) > 0
    begun = time.monotonic()
    log_in(fresh, oauthbearer(ann, b"bad"))
    assert time.monotonic() - begun > 0.3
    fresh.close()


def test_the_login_is_in_the_log_and_the_token_nowhere(running: RunningImap, tls: TlsFiles) -> None:
    node, raw = running.node, token()
    with log_lines() as log:
        for _each in range(3):  # one token, several connections
            client = dial(running, tls)
            ask(client, 'i ID ("name" "Thunderbird" "version" "140")')
            assert log_in(client, oauthbearer(node.accounts["ann"].address, raw))[1].startswith("t OK ")
            client.close()
    events = [event for event in node.read_log("ann") if event.kind is EventKind.LOGIN]
    (event,) = events  # one for each client, network and day
    assert (event.origin.client, event.origin.network) == ("Thunderbird 140", "127.0.0.0/24")
    assert [value for _name, value in event.what.parameters] == ["by-token"]
    assert event.who.name == "Camille FICTIF"
    written = (node.keys_folder / JOURNAL_NAME).read_text()
    assert written.count('"release-mail"') == 3
    for text in (log.text, written):
        for private in ("ann@", RPPS, raw[:60].decode(), raw[-60:].decode()):
            assert private not in text


def test_a_token_ends_with_its_login_not_with_its_life(running: RunningImap, client: Client) -> None:
    """Tokens live some minutes; a connection lasts until the server's own limit."""
    assert log_in(client, oauthbearer(running.node.accounts["ann"].address, token()))[1].startswith("t OK ")
    (connection,) = running.server._hub.connections
    session = connection._session
    assert 11 * 3600 < session.account.ends_at - time.time() <= 12 * 3600

    async def expire() -> None:
        connection.expire(running.loop.time())

    running.on_loop(expire())
    assert ask(client, "n NOOP") == ["n OK NOOP completed"]
    session.account = replace(session.account, ends_at=int(time.time()))
    running.on_loop(expire())
    assert client.line() == f"* BYE {BYE_OVER.words(Language.FRENCH)}"
    assert client.line() is None


def test_what_is_unbound_ends(running: RunningImap, client: Client) -> None:
    ann = running.node.accounts["ann"]
    assert log_in(client, oauthbearer(ann.address, token()))[1].startswith("t OK ")
    address, subject = parse_address(ann.address), token_subject(ISSUER, RPPS)
    running.node.bindings.unbind(address, LoginKind.TOKEN, subject, datetime.now(UTC))
    running.poll_revocations()
    assert client.line() == "* BYE The access was withdrawn"
    assert client.line() is None


def test_a_disabled_account_ends(running: RunningImap, client: Client) -> None:
    ann = running.node.accounts["ann"].address
    assert log_in(client, oauthbearer(ann, token()))[1].startswith("t OK ")
    running.node.administration.disable_account(parse_address(ann), datetime.now(UTC))
    running.poll_revocations()
    assert client.line() == "* BYE The access was withdrawn"


def test_while_the_log_is_late(running: RunningImap, client: Client) -> None:
    ann = running.node.accounts["ann"].address
    running.node.custodian.mark_log(is_late=True)
    with log_lines() as log:
        told, answer = log_in(client, oauthbearer(ann, token()))
        assert (told, answer.split(" ")[:3]) == (None, ["t", "NO", "[UNAVAILABLE]"])
        assert log_in(client, oauthbearer(ann, b"bad"))[1].startswith("t NO [AUTHENTICATIONFAILED]")
    assert "log-late" in log.text
    running.node.custodian.mark_log(is_late=False)
    assert log_in(client, oauthbearer(ann, token()))[1].startswith("t OK ")


def test_while_the_issuer_is_away(running: RunningImap, client: Client, keys: Keys) -> None:
    keys.is_away = True
    for login in ("ann", "nobody"):
        _told, answer = log_in(client, oauthbearer(f"{login}@a.localhost", token()))
        assert answer.startswith("t NO [UNAVAILABLE]")
    ann = running.node.accounts["ann"]
    assert ask(client, f"p LOGIN {ann.address} {ann.app_password}")[-1].startswith("p OK ")


def test_shared_boxes_open_by_token(running: RunningImap, client: Client) -> None:
    """Each member as themselves: the mail root opens their slot of the box (K11)."""
    running.node.add_box("desk", "ann")
    running.node.deliver("desk", message(1))
    assert log_in(client, oauthbearer(running.node.accounts["ann"].address, token()))[1].startswith("t OK ")
    assert "* 1 EXISTS" in ask(client, "s SELECT Shared/desk@a.localhost/INBOX")
    assert any("Ligne 1" in line for line in ask(client, "f FETCH 1 BODY[]"))
    (opened,) = [each for each in running.node.read_log("desk") if each.kind is EventKind.MESSAGE_OPENED]
    assert opened.who.handle == "ann@a.localhost"


def test_a_long_token(running: RunningImap, client: Client) -> None:
    """As long as a line before login lets it be (S3)."""
    ann = running.node.accounts["ann"].address
    assert log_in(client, oauthbearer(ann, token(claims(filling="x" * 3500))))[1].startswith("t OK ")


def test_a_token_is_not_a_password(running: RunningImap, client: Client) -> None:
    ann = running.node.accounts["ann"].address
    plain = encoded(b"\0%b\0%b" % (ann.encode(), token()))
    assert ask(client, f"a AUTHENTICATE PLAIN {plain}")[-1].startswith("a NO [AUTHENTICATIONFAILED]")
    assert ask(client, "b AUTHENTICATE EXTERNAL =") == ["b NO Use AUTHENTICATE PLAIN or LOGIN"]


def test_a_login_opens_no_log(running: RunningImap) -> None:
    """The mail root alone: neither the space nor the key itself."""
    said = TokenLogin(running.node.accounts["ann"].address, token())
    opened = running.node.services.logins.open_with_token(
        said, SlotScope.IMAP, Origin("192.0.2.0/24", "test")
    )
    assert (opened.space, opened.scope) == (None, SlotScope.IMAP)
    assert opened.mail is not None
