"""Password, then a code: what opens, what does not, and what parallel replays win (S10, K21, K22)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
import pytest
from harness.log_reading import read_log
from harness.node import make_node
from harness.web_node import ORIGIN, PASSWORD, WebNode

from mailserver.audit.events import EventKind
from mailserver.crypto.custodian_rates import Standing
from mailserver.model.address import parse_address
from mailserver.model.errors import Denied, OverLimit
from mailserver.service.web_codes import Factor, find_step
from mailserver.store.jobs import Lane

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebNode]:
    node = make_node(tmp_path_factory.mktemp("web"))
    yield WebNode.over(node)
    node.close()


@pytest.fixture
def login(web: WebNode, request: pytest.FixtureRequest) -> str:
    """A fresh account with codes by e-mail."""
    name = f"p{abs(hash(request.node.name)) % 10**10}"
    web.node.add(f"{name}@a.localhost", password=PASSWORD, contact="lea.fictive@example.org")
    return name


@pytest.fixture
def with_application(web: WebNode, request: pytest.FixtureRequest) -> str:
    name = f"t{abs(hash(request.node.name)) % 10**10}"
    web.node.add(f"{name}@a.localhost", password=PASSWORD, second_factor=SECRET)
    return name


def now() -> datetime:
    return datetime.now(UTC)


def refused(code: str) -> pytest.RaisesExc[Denied]:
    return pytest.raises(Denied, match=f"^{code}$")


def test_password_then_code_opens_and_is_logged(web: WebNode, login: str) -> None:
    at = now()
    value = web.sign_in(login, at)
    session = web.sessions.load(value, at)
    assert str(session.account.addresses[0]) == f"{login}@a.localhost"
    account = session.account
    events = [each.event for each in read_log(web.node.services.store, account.account, account.space_root())]
    assert [event.kind for event in events][-1] is EventKind.LOGIN
    assert events[-1].origin == ORIGIN


def test_address_or_identifier(web: WebNode, login: str) -> None:
    assert web.login.full_login(f" {login} ") == f"{login}@a.localhost"
    assert web.login.full_login(f"{login}@a.localhost") == f"{login}@a.localhost"


def test_the_password_alone_opens_nothing(web: WebNode, login: str) -> None:
    at = now()
    pending, _code = web.start(login, at)
    with refused("session"):
        web.sessions.load(pending, at)


def test_a_full_session_is_no_pending_one(web: WebNode, login: str) -> None:
    at = now()
    value = web.sign_in(login, at)
    with refused("session"):
        web.sessions.load_pending(value, at)


def test_twenty_parallel_replays_have_one_winner(web: WebNode, login: str) -> None:
    at = now()
    pending, code = web.start(login, at)

    def replay(_turn: int) -> str:
        try:
            return web.login.finish(pending, code, ORIGIN, at).cookie.format_value()
        except Denied as error:
            return error.code

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(replay, range(20)))
    winners = [each for each in outcomes if each not in {"code", "session"}]
    assert len(winners) == 1
    web.sessions.load(winners[0], at)


def test_five_wrong_codes_spend_the_right_one(web: WebNode, login: str) -> None:
    at = now()
    pending, code = web.start(login, at)
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    for _turn in range(5):
        with refused("code"):
            web.login.finish(pending, wrong, ORIGIN, at)
    with refused("code"):
        web.login.finish(pending, code, ORIGIN, at)


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦", "x" * 10_000])
def test_what_is_no_code(web: WebNode, typed: str) -> None:
    name = f"n{abs(hash(typed)) % 10**10}"
    web.node.add(f"{name}@a.localhost", password=PASSWORD, contact="x@example.org")
    at = now()
    pending, _code = web.start(name, at)
    with refused("code"):
        web.login.finish(pending, typed, ORIGIN, at)


def test_spaces_in_a_code_are_no_mistake(web: WebNode, login: str) -> None:
    at = now()
    pending, code = web.start(login, at)
    assert web.login.finish(pending, f" {code[:3]} {code[3:]}", ORIGIN, at)


def test_a_code_lives_ten_minutes(web: WebNode, login: str) -> None:
    at = now()
    pending, code = web.start(login, at)
    with refused("session"):
        web.login.finish(pending, code, ORIGIN, at + timedelta(minutes=10))


def test_a_code_belongs_to_its_own_login(web: WebNode, login: str) -> None:
    at = now()
    first, first_code = web.start(login, at)
    second, second_code = web.start(login, at)
    with refused("code"):
        web.login.finish(first, second_code, ORIGIN, at)
    with refused("code"):
        web.login.finish(second, first_code if first_code != second_code else "", ORIGIN, at)
    assert web.login.finish(second, second_code, ORIGIN, at)


def test_five_codes_an_hour(web: WebNode, login: str) -> None:
    at = now()
    for _turn in range(5):
        web.start(login, at)
    with pytest.raises(OverLimit, match="codes"):
        web.login.begin(login, PASSWORD, at + timedelta(minutes=59))
    assert web.login.begin(login, PASSWORD, at + timedelta(minutes=60))


def test_application_codes_are_used_once(web: WebNode, with_application: str) -> None:
    at = now()
    code = pyotp.TOTP(SECRET).at(at)
    started = web.login.begin(with_application, PASSWORD, at)
    assert started.sent.factor is Factor.APPLICATION
    web.login.finish(started.cookie.format_value(), code, ORIGIN, at)
    again = web.login.begin(with_application, PASSWORD, at).cookie.format_value()
    with refused("code"):
        web.login.finish(again, code, ORIGIN, at)
    later = at + timedelta(seconds=30)
    assert web.login.finish(again, pyotp.TOTP(SECRET).at(later), ORIGIN, later)


def guess_wrong(web: WebNode, name: str, at: datetime, count: int) -> None:
    """Logins with the right password and ``count`` wrong codes, as many in each as it takes."""
    pending = web.login.begin(name, PASSWORD, at).cookie.format_value()
    for _guess in range(count):
        with refused("code"):
            web.login.finish(pending, "", ORIGIN, at)


def right_code(web: WebNode, name: str, at: datetime) -> None:
    pending = web.login.begin(name, PASSWORD, at).cookie.format_value()
    assert web.login.finish(pending, pyotp.TOTP(SECRET).at(at), ORIGIN, at)


def guesses_told(web: WebNode, name: str) -> list[str]:
    """The notices that wait for one account, which say that its codes are guessed."""
    services = web.node.services
    with services.store.database.read() as connection:
        account = services.directory.find_account(connection, parse_address(f"{name}@a.localhost"))
        rows = [row for row in services.store.jobs.list_jobs(connection) if row.lane is Lane.NOTICE]
    orders = [services.outbound.open_notice(row) for row in rows if row.account_id == account.account_id]
    return [order.text for order in orders if "codes faux" in order.text]


def test_the_tries_of_an_application_are_those_of_an_hour(web: WebNode, with_application: str) -> None:
    """Whoever has the password begins as many logins as they like, and gets ten tries."""
    at = now()
    guess_wrong(web, with_application, at, 4)
    guess_wrong(web, with_application, at, 4)
    pending = web.login.begin(with_application, PASSWORD, at).cookie.format_value()
    for _guess in range(2):
        with refused("code"):
            web.login.finish(pending, "000000", ORIGIN, at)
    with refused("code"):
        web.login.finish(pending, pyotp.TOTP(SECRET).at(at), ORIGIN, at)
    with pytest.raises(OverLimit, match=r"^tries$"):
        web.login.begin(with_application, PASSWORD, at + timedelta(minutes=59))
    right_code(web, with_application, at + timedelta(minutes=60))


def test_a_right_code_costs_no_try_and_gives_none_back(web: WebNode, with_application: str) -> None:
    at = now()
    guess_wrong(web, with_application, at, 9)
    for turn in range(3):
        right_code(web, with_application, at + timedelta(minutes=turn))
    guess_wrong(web, with_application, at, 1)
    with pytest.raises(OverLimit, match=r"^tries$"):
        web.login.begin(with_application, PASSWORD, at)


def test_who_logs_in_often_waits_too(web: WebNode, with_application: str) -> None:
    at = now()
    for _turn in range(20):
        web.login.begin(with_application, PASSWORD, at)
    with pytest.raises(OverLimit, match=r"^tries$"):
        web.login.begin(with_application, PASSWORD, at)


def test_the_person_is_told_of_slow_guesses_once_a_day(tmp_path: Path) -> None:
    """Never so many in an hour that anything is refused."""
    node, start, name = make_node(tmp_path), now(), "devine"
    node.add(f"{name}@a.localhost", password=PASSWORD, second_factor=SECRET, contact="d@example.org")
    web = WebNode.over(node)

    def guess(hours: int, count: int) -> list[str]:
        """What waits for the person after ``count`` wrong codes, so many hours later."""
        at = start + timedelta(hours=hours)
        node.custodian._now = lambda: at
        guess_wrong(web, name, at, count)
        return guesses_told(web, name)

    assert [guess(hours, 3) for hours in range(3)] == [[], [], []]
    (text,) = guess(3, 3)
    assert "Si ce n'était pas vous" in text
    assert "call support" in text
    assert len(guess(4, 9)) == 1, "once a day"
    assert len(guess(28, 1)) == 2
    right_code(web, name, start + timedelta(hours=28))
    assert len(guess(60, 9)) == 2, "a right code ends the count"
    node.close()


def test_guesses_on_who_left_no_address_tell_nobody(web: WebNode, with_application: str) -> None:
    guess_wrong(web, with_application, now(), 10)
    assert guesses_told(web, with_application) == []


@pytest.mark.parametrize(("offset", "is_right"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_one_step_before_and_after(offset: int, is_right: bool) -> None:
    at = 1_800_000_015
    digits = pyotp.TOTP(SECRET).at(at + 30 * offset)
    assert (find_step(SECRET, digits, at) is not None) is is_right


def test_unknown_wrong_and_disabled_are_told_alike(web: WebNode, login: str) -> None:
    at = now()
    for name, password in ((login, "faux"), ("personne", PASSWORD), ("@", PASSWORD), ("", ""), (login, "")):
        with refused("login"):
            web.login.begin(name, password, at)
    pending, code = web.start(login, at)
    web.node.services.administration.disable_account(parse_address(f"{login}@a.localhost"), at)
    with refused("login"):
        web.login.begin(login, PASSWORD, at)
    with refused("session"):
        web.login.finish(pending, code, ORIGIN, at)


def test_no_second_factor_no_login(web: WebNode) -> None:
    web.node.add("sansadresse@a.localhost", password=PASSWORD)
    with refused("no-second-factor"):
        web.login.begin("sansadresse", PASSWORD, now())


def test_failures_are_folded_and_written_later(web: WebNode, login: str) -> None:
    at = now()
    full = web.login.full_login(login)
    for _turn in range(3):
        web.failures.note(full, "192.0.2.0/24", at)
    web.failures.note("personne@a.localhost", "192.0.2.0/24", at)
    assert web.failures.flush(at) == 0
    assert web.failures.flush(at + timedelta(hours=1)) == 1
    account = web.sessions.load(web.sign_in(login, at), at).account
    events = [each.event for each in read_log(web.node.services.store, account.account, account.space_root())]
    failed = [event for event in events if event.kind is EventKind.LOGIN_FAILED]
    assert [dict(event.what.parameters) for event in failed] == [{"count": "3"}]


def test_a_browser_is_known_after_both_factors_and_to_its_own_account(web: WebNode, login: str) -> None:
    at = now()
    pending, code = web.start(login, at)
    device = web.login.finish(pending, code, ORIGIN, at).device
    assert web.login.standing_of(login, device, at) is Standing.KNOWN
    assert web.login.standing_of(f" {login.upper()}@A.localhost", device, at) is Standing.KNOWN
    assert web.login.standing_of("personne", device, at) is Standing.STRANGER
    assert web.login.standing_of(login, "", at) is Standing.STRANGER
