"""Submission with access tokens: the identity alone, since nothing is opened; words, counts and logs as for passwords."""

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from harness.log_reading import read_log
from harness.node import Node, make_node
from harness.smtp_harness import RunningSmtp, Wire, client_context, letter, log_lines, open_mail, running_smtp
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

from mailserver.audit.events import EventKind
from mailserver.crypto.custodian import JOURNAL_NAME
from mailserver.crypto.custodian_logins import LoginKind, token_subject
from mailserver.model.address import parse_address
from mailserver.model.errors import Unavailable
from mailserver.service.throttle import Throttle

OURS, OTHER = "camille@a.localhost", "lou@a.localhost"
PASSWORD = "un mot de passe long"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("node")
    keys = folder / "issuer.jwks"
    keys.write_bytes(jwk_set())
    with pytest.MonkeyPatch.context() as patch:
        for key, value in {
            "ISSUER": ISSUER,
            "AUDIENCES": AUDIENCE,
            "JWKS_FILE": str(keys),
            "SCOPE": "openid",
        }.items():
            patch.setenv(f"PLI_OAUTH_{key}", value)
        node = make_node(folder)
    for address, subject in ((OURS, RPPS), (OTHER, OTHER_RPPS)):
        node.add(address, password=PASSWORD)
        bind(node, address, subject)
    yield node
    node.close()


def bind(node: Node, address: str, subject: str) -> None:
    subject = token_subject(ISSUER, subject)
    node.services.bindings.bind(parse_address(address), LoginKind.TOKEN, subject, datetime.now(UTC))


@pytest.fixture
def smtp(node: Node) -> Iterator[RunningSmtp]:
    with running_smtp(node) as running:
        yield running


def dial(smtp: RunningSmtp) -> Wire:
    wire = Wire(smtp.submissions_port, client_context())
    assert b"AUTH PLAIN LOGIN OAUTHBEARER XOAUTH2\r\n" in wire.ask(b"EHLO poste")
    return wire


def auth(wire: Wire, said: bytes, mechanism: str = "OAUTHBEARER") -> tuple[dict[str, str] | None, bytes]:
    answer = wire.ask(f"AUTH {mechanism} ".encode() + base64.b64encode(said))
    if not answer.startswith(b"334 "):
        return None, answer
    return json.loads(base64.b64decode(answer[4:])), wire.ask(b"AQ==")


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
def test_a_good_token_sends_mail(node: Node, smtp: RunningSmtp, mechanism: str) -> None:
    wire = dial(smtp)
    form = oauthbearer if mechanism == "OAUTHBEARER" else xoauth2
    assert auth(wire, form(OURS, token()), mechanism) == (None, b"235 2.7.0 Logged in\r\n")
    assert wire.ask(b"MAIL FROM:<%b>" % OTHER.encode())[:3] == b"553"
    open_mail(wire, OURS.encode(), OTHER.encode())
    wire.send(letter(OURS, OTHER, f"token {mechanism}") + b".\r\n")
    assert wire.reply()[:3] == b"250"
    assert wire.ask(b"AUTH PLAIN")[:3] == b"503"
    wire.close()


def test_without_an_initial_response(smtp: RunningSmtp) -> None:
    wire = dial(smtp)
    assert wire.ask(b"AUTH XOAUTH2") == b"334 \r\n"
    assert wire.ask(base64.b64encode(xoauth2(OURS, token())))[:3] == b"235"
    wire.close()


def test_not_in_the_clear_and_not_between_operators(smtp: RunningSmtp) -> None:
    wire = Wire(smtp.submission_port)
    assert b"AUTH" not in wire.ask(b"EHLO poste")
    said = base64.b64encode(oauthbearer(OURS, token()))
    assert wire.ask(b"AUTH OAUTHBEARER " + said).startswith(b"530-5.7.10 ")
    wire.start_tls(client_context())
    assert b"OAUTHBEARER" in wire.ask(b"EHLO poste")
    assert wire.ask(b"AUTH OAUTHBEARER " + said)[:3] == b"235"
    wire.close()


def test_the_others_are_told_one_thing(
    node: Node, smtp: RunningSmtp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K22, and the logs hold no address, no person and no token."""
    monkeypatch.setattr(Throttle, "delay_seconds", lambda *_names: 0.0)
    node.add("off@a.localhost")
    bind(node, "off@a.localhost", "899700000003")
    node.services.administration.disable_account(parse_address("off@a.localhost"), datetime.now(UTC))
    tries = [
        (OURS, token(claims(iss="https://evil.example"))),
        (OURS, token(claims(time.time() - 400))),
        (OURS, b"garbage"),
        (OTHER, token()),
        (OURS, token(claims(**{CLAIM: "899700000009"}))),
        ("nobody@a.localhost", token()),
        ("no address", token()),
        ("off@a.localhost", token(claims(**{CLAIM: "899700000003"}))),
    ]
    said = set()
    with log_lines() as log:
        for login, raw in tries:
            wire = dial(smtp)
            told, answer = auth(wire, oauthbearer(login, raw))
            said.add((json.dumps(told), answer))
            wire.close()
    ((told, answer),) = said
    assert json.loads(told) == {"status": "invalid_token", "scope": "openid"}
    assert answer.startswith(b"535-5.7.8 Ce jeton n'ouvre pas cette adresse.")
    assert log.text.count('"token-refused"') == len(tries)
    for private in ("a.localhost", RPPS, "899700000009", token()[:60].decode()):
        assert private not in log.text


def test_the_connection_ends_after_five(smtp: RunningSmtp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Throttle, "delay_seconds", lambda *_names: 0.0)
    wire = dial(smtp)
    answers = [auth(wire, oauthbearer(OURS, b"bad"))[1] for _each in range(5)]
    assert {answer[:3] for answer in answers} == {b"535"}
    assert wire.is_closed()
    wire.close()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"AUTH OAUTHBEARER =", b"501"),
        (b"AUTH OAUTHBEARER AQ==", b"501"),
        (b"AUTH OAUTHBEARER !", b"501"),
        (b"AUTH EXTERNAL =", b"504"),
    ],
)
def test_what_cannot_be_read(smtp: RunningSmtp, line: bytes, code: bytes) -> None:
    wire = dial(smtp)
    assert wire.ask(line)[:3] == code
    wire.close()


def test_a_refused_client_may_cancel(smtp: RunningSmtp) -> None:
    wire = dial(smtp)
    assert wire.ask(b"AUTH XOAUTH2 " + base64.b64encode(xoauth2(OURS, b"bad")))[:3] == b"334"
    assert wire.ask(b"*")[:3] == b"501"
    assert auth(wire, xoauth2(OURS, token()), "XOAUTH2")[1][:3] == b"235"
    wire.close()


def test_what_is_logged(node: Node, smtp: RunningSmtp) -> None:
    raw = token(alg="PS256")
    before = journal(node).count('"verb":"login"')
    with log_lines() as log:
        wire = dial(smtp)
        assert (
            auth(wire, oauthbearer(OTHER, token(claims(**{CLAIM: OTHER_RPPS}), alg="PS256")))[1][:3] == b"235"
        )
        wire.close()
    opened, _keys = node.services.keys.open_with_password(OTHER, PASSWORD)
    log_entries = read_log(node.services.store, opened.account, opened.space_root())
    logins = [each.event for each in log_entries if each.event.kind is EventKind.LOGIN]
    assert [(each.origin.client, dict(each.what.parameters)) for each in logins] == [
        ("SMTP", {"act": "by-token"})
    ]
    assert journal(node).count('"verb":"login"') == before + 1
    assert '"kind": "login"' in log.text or '"kind":"login"' in log.text
    for text in (log.text, journal(node)):
        for private in (OTHER, OTHER_RPPS, raw[:60].decode()):
            assert private not in text


def journal(node: Node) -> str:
    return (node.services.config.keys_folder / JOURNAL_NAME).read_text()


def test_no_key_leaves_so_a_late_log_stops_nothing(node: Node, smtp: RunningSmtp) -> None:
    node.custodian.mark_log(is_late=True)
    wire = dial(smtp)
    assert auth(wire, oauthbearer(OURS, token()))[1][:3] == b"235"
    node.custodian.mark_log(is_late=False)
    wire.close()


def test_the_session_ends(smtp: RunningSmtp) -> None:
    wire = dial(smtp)
    assert auth(wire, oauthbearer(OURS, token()))[1][:3] == b"235"
    (engine,) = smtp.submission._register.engines
    desk = engine._talk._desk
    desk.account = replace(desk.account, ends_at=int(time.time()))
    assert wire.ask(b"MAIL FROM:<%b>" % OURS.encode()).startswith(b"421-4.7.0 Votre session est terminee.")
    assert wire.is_closed()
    wire.close()


def test_the_issuer_is_away(node: Node, smtp: RunningSmtp, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_arguments):
        raise Unavailable("token-issuer")

    monkeypatch.setattr(node.custodian._judge._tokens, "check", away)
    wire = dial(smtp)
    assert auth(wire, oauthbearer(OURS, token()))[1].startswith(b"454-4.7.0 ")
    wire.close()
