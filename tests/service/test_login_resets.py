"""Who lost a password or a telephone gets another: told, logged, and nothing of before opens any more."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from harness.log_reading import read_log
from harness.node import Node, make_node
from harness.smtp_harness import row_counts
from harness.web_node import ORIGIN, PASSWORD, PATIENT, WebNode

from mailserver.audit.events import ActorKind, EventKind, ParameterName
from mailserver.audit.wording import Language, describe
from mailserver.crypto.custodian_rates import Standing
from mailserver.crypto.secret import Secret
from mailserver.model.account import AccountKind
from mailserver.model.address import parse_address
from mailserver.model.errors import Denied, Malformed, NotFound
from mailserver.service.one_time import new_totp_secret
from mailserver.store.jobs import Lane

NEW = "un autre mot de passe"
ADDRESS = parse_address(PATIENT)
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def web(tmp_path) -> Iterator[WebNode]:
    node = make_node(tmp_path)
    node.add_patient(PATIENT, contact="dominique@ordinaire.example")
    yield WebNode.over(node)
    node.close()


def opens(node: Node, password: str) -> bool:
    try:
        node.services.keys.open_with_password(PATIENT, password)
    except Denied:
        return False
    return True


def notices(node: Node) -> list:
    services = node.services
    with services.store.database.read() as connection:
        rows = [row for row in services.store.jobs.list_jobs(connection) if row.lane is Lane.NOTICE]
    return [services.outbound.open_notice(row) for row in rows]


def last_entry(node: Node, password: str) -> tuple[EventKind, ActorKind, str, str]:
    account, _keys = node.services.keys.open_with_password(PATIENT, password)
    event = read_log(node.services.store, account.account, account.space_root())[-1].event
    act = dict(event.what.parameters)[ParameterName.ACT]
    return event.kind, event.who.kind, act, describe(event, Language.FRENCH)


def test_a_new_password_opens_and_the_old_one_no_longer_does(web: WebNode) -> None:
    node = web.node
    session, (pending, code) = web.sign_in(PATIENT, NOW), web.start(PATIENT, NOW)
    node.services.resets.reset_password(ADDRESS, Secret(NEW.encode()), NOW)
    assert (opens(node, NEW), opens(node, PASSWORD)) == (True, False)
    with pytest.raises(Denied, match="session"):
        web.sessions.load(session, NOW)
    with pytest.raises(Denied, match="session"):
        web.login.finish(pending, code, ORIGIN, NOW)
    assert last_entry(node, NEW) == (
        EventKind.KEY_CHANGED,
        ActorKind.ADMINISTRATOR,
        "web-password",
        "Un administrateur a changé le moyen de connexion (mot de passe du site).",
    )
    told = notices(node)[-1]
    assert (str(told.recipient), NEW in told.text) == ("dominique@ordinaire.example", False)
    assert "mot de passe a changé" in told.subject


def test_a_password_replaced_while_it_is_judged_starts_no_session(web: WebNode, monkeypatch) -> None:
    keys, resets = web.node.services.keys, web.node.services.resets
    judge = keys.open_with_password

    def slow(*asked: object):
        found = judge(*asked)
        resets.reset_password(ADDRESS, Secret(NEW.encode()), NOW)
        return found

    monkeypatch.setattr(keys, "open_with_password", slow)
    with pytest.raises(Denied, match="login"):
        web.login.begin(PATIENT, PASSWORD, NOW)
    assert web.codes_sent() == []


def test_a_first_password_is_given_the_same_way(tmp_path) -> None:
    node = make_node(tmp_path)
    made = node.add("camille@a.localhost")
    node.services.resets.reset_password(parse_address("camille@a.localhost"), Secret(NEW.encode()), NOW)
    assert node.services.keys.open_with_password("camille@a.localhost", NEW)
    assert node.open("camille@a.localhost", made.app_password), "mail clients keep what they have"
    node.close()


def test_codes_of_another_application(web: WebNode) -> None:
    node, secret = web.node, new_totp_secret()
    session = web.sign_in(PATIENT, NOW)
    node.services.resets.reset_second_factor(ADDRESS, secret, NOW)
    with pytest.raises(Denied, match="session"):
        web.sessions.load(session, NOW)
    pending = web.login.begin(PATIENT, PASSWORD, NOW).cookie.format_value()
    assert web.login.finish(pending, pyotp.TOTP(secret).at(NOW), ORIGIN, NOW)
    told = notices(node)[-1]
    assert "codes de connexion ont changé" in told.subject
    assert secret not in told.text

    node.services.resets.reset_second_factor(ADDRESS, None, NOW)
    assert last_entry(node, PASSWORD)[2:] == (
        "second-factor-codes",
        "Un administrateur a changé le moyen de connexion (codes par courriel ou SMS).",
    )
    assert web.sign_in(PATIENT, NOW + timedelta(minutes=1))


def test_an_application_whose_tries_are_spent_is_replaced(web: WebNode) -> None:
    """A new one starts with tries of its own: who calls for help is let in at once."""
    node = web.node
    node.services.resets.reset_second_factor(ADDRESS, new_totp_secret(), NOW)
    pending = web.login.begin(PATIENT, PASSWORD, NOW).cookie.format_value()
    for _ in range(10):
        with pytest.raises(Denied, match="code"):
            web.login.finish(pending, "", ORIGIN, NOW)
    secret = new_totp_secret()
    node.services.resets.reset_second_factor(ADDRESS, secret, NOW)
    pending = web.login.begin(PATIENT, PASSWORD, NOW).cookie.format_value()
    assert web.login.finish(pending, pyotp.TOTP(secret).at(NOW), ORIGIN, NOW)


def test_refusals_change_nothing_and_tell_nobody(web: WebNode) -> None:
    node = web.node
    resets = node.services.resets
    node.add("camille@a.localhost", password=PASSWORD)
    node.add("service@a.localhost", AccountKind.ORG)
    node.add("fini@a.localhost", password=PASSWORD)
    node.services.administration.disable_account(parse_address("fini@a.localhost"), NOW)
    before = last_entry(node, PASSWORD)
    for address, password, refusal in (
        (PATIENT, "court", Malformed("password-short")),
        (PATIENT, "x" * 2000, Malformed("password-long")),
        ("service@a.localhost", NEW, Denied("shared-box-has-members")),
        ("fini@a.localhost", NEW, Denied("account-disabled")),
        ("nobody@a.localhost", NEW, NotFound("account")),
    ):
        with pytest.raises(type(refusal), match=re.escape(refusal.code)):
            resets.reset_password(parse_address(address), Secret(password.encode()), NOW)
    with pytest.raises(Denied, match="no-second-factor"):
        resets.reset_second_factor(parse_address("camille@a.localhost"), None, NOW)
    assert opens(node, PASSWORD)
    assert last_entry(node, PASSWORD) == before
    assert notices(node) == []


def test_a_change_on_its_way_does_not_undo_a_reset(web: WebNode) -> None:
    """Whoever has the old password and a session is not quicker than the administrator's Unit."""
    node = web.node
    account = web.sessions.load(web.sign_in(PATIENT, NOW), NOW).account
    keys = web.login.find_keys(account, PASSWORD, Standing.KNOWN)
    assert keys is not None
    node.services.resets.reset_password(ADDRESS, Secret(NEW.encode()), NOW)
    before = row_counts(node)
    with pytest.raises(Denied) as refused:
        node.services.resets.change_password(account, (keys, Secret(b"un autre mot de passe")), ORIGIN, NOW)
    assert refused.value.code == "login"
    assert row_counts(node) == before, "no entry, no notice"
    assert opens(node, NEW)
    assert not opens(node, "celui du voleur, enfin")
