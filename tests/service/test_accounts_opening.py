"""Opening accounts: scopes, ends, and one answer for everything that is wrong (K2–K4, K22)."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.log_reading import read_log
from harness.node import Node, make_node
from sqlalchemy import update

from mailserver.app import build_services
from mailserver.crypto.custodian import Custodian
from mailserver.crypto.slots import ARGON2_FLOOR, SlotKind, SlotScope, parse_slot_header
from mailserver.model.account import AccountKind, Role
from mailserver.model.address import parse_address
from mailserver.model.errors import Conflict, Corrupt, Denied, Malformed, NotFound, Unavailable
from mailserver.model.patient import Ins
from mailserver.store import schema
from mailserver.store.writer import Unit

PASSWORD = "un mot de passe long"
MAIL = [SlotScope.IMAP, SlotScope.IMAP_SMTP]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("accounts"))
    yield node
    node.close()


@pytest.fixture
def address(request: pytest.FixtureRequest) -> str:
    return f"p{abs(hash(request.node.nodeid))}@a.localhost"


def _refusal(call) -> tuple[str, str, str]:
    with pytest.raises(Denied) as refused:
        call()
    return refused.value.code, refused.value.detail, str(refused.value)


def _app(node: Node, login: str, secret: str, scopes=MAIL, now: int = 0):
    return node.services.keys.open_with_app_password(login, secret, scopes, now)


def test_an_app_password_opens_the_mail_and_no_space(node: Node, address: str) -> None:
    made = node.add(address)
    account = _app(node, address, made.app_password)
    assert account.addresses == (parse_address(address),)
    assert account.profile.name == "Camille FICTIF"
    assert node.services.mailboxes.load_mailbox(account, "INBOX").role is Role.INBOX
    assert _refusal(account.space_root)[0] == "scope"
    assert (repr(account), account.account_id) == ("OpenAccount(…)", made.account_id)


@pytest.mark.parametrize(
    ("scope", "asked", "opens_mail"),
    [
        (SlotScope.IMAP, [SlotScope.IMAP], True),
        (SlotScope.IMAP_SMTP, [SlotScope.IMAP_SMTP], True),
        (SlotScope.SMTP, [SlotScope.SMTP], False),
    ],
)
def test_a_scope_opens_what_it_says(node: Node, address: str, scope, asked, opens_mail: bool) -> None:
    node.add(address, has_app_password=False)
    secret, _made = node.services.app_passwords.add_app_password(
        parse_address(address), scope, datetime.now(UTC)
    )
    account = _app(node, address, secret, asked)
    assert account.scope is scope
    if opens_mail:
        assert node.services.mailboxes.list_mailboxes(account)
    else:
        assert _refusal(account.mail_keys)[0] == "scope", "sending needs no key at all"
    for other in set(SlotScope) - {scope}:
        assert _refusal(lambda o=other: _app(node, address, secret, [o]))[0] == "login"


def test_everything_wrong_gets_the_same_words(node: Node, address: str) -> None:
    made = node.add(address)
    other = node.add(f"other-{address}")
    disabled = node.add(f"off-{address}")
    node.services.administration.disable_account(parse_address(f"off-{address}"), datetime.now(UTC))
    secret = made.app_password
    attempts = [
        (address, other.app_password),
        (address, secret[:-1] + ("a" if secret[-1] != "a" else "b")),
        (address, "nothing like one"),
        (address, ""),
        (f"nobody-{address}", secret),
        ("not an address", secret),
        ("", secret),
        (f"off-{address}", disabled.app_password),
    ]
    refusals = {_refusal(lambda a=attempt: _app(node, *a)) for attempt in attempts}
    assert refusals == {("login", "", "login")}
    assert _app(node, address, secret).account_id == made.account_id


def test_an_app_password_ends(node: Node, address: str) -> None:
    made = node.add(address)
    store = node.services.store
    with store.database.read() as connection:
        (slot,) = store.accounts.find_slots(connection, made.account_id, kind=SlotKind.APP_PASSWORD.value)

    def end_at(connection) -> None:
        store.accounts.delete_slot(connection, made.account_id, slot.slot_id)
        store.accounts.add_slot(connection, replace(slot, expires_at=1000))

    store.writer.commit(Unit(made.account_id, end_at))
    assert _app(node, address, made.app_password, now=999).account_id == made.account_id
    assert _refusal(lambda: _app(node, address, made.app_password, now=1000))[0] == "login"


def test_a_planted_end_or_scope_is_refused(node: Node, address: str) -> None:
    made = node.add(address)
    for values in ({"expires_at": 10**10}, {"scope": SlotScope.WEB.value}):
        with node.services.store.database.write() as connection:
            here = schema.slot.c.account_id == made.account_id
            connection.execute(
                update(schema.slot).where(here, schema.slot.c.kind == "app-password").values(values)
            )
        with pytest.raises(Corrupt) as refused:
            _app(node, address, made.app_password, [*SlotScope])
        assert refused.value.code == "row-mac"


def test_a_deleted_app_password_moves_the_revocation_counter(node: Node, address: str) -> None:
    made = node.add(address)
    account, store = _app(node, address, made.app_password), node.services.store
    store.writer.commit(
        Unit(made.account_id, lambda c: store.accounts.delete_slot(c, made.account_id, account.slot_id))
    )
    with store.database.read() as connection:
        assert store.accounts.list_revocations(connection, [made.account_id]) == {
            made.account_id: account.revocation + 1
        }
    assert _refusal(lambda: _app(node, address, made.app_password))[0] == "login"


def test_a_password_opens_everything(node: Node, address: str) -> None:
    made = node.add(address, password=PASSWORD, has_app_password=False)
    assert made.app_password is None
    account, keys = node.services.keys.open_with_password(address, PASSWORD)
    assert account.scope is SlotScope.WEB
    assert account.mail_keys()
    assert account.space_root().secret == keys.space.secret
    with node.services.store.database.read() as connection:
        (slot,) = node.services.store.accounts.find_slots(connection, made.account_id, kind="password")
    assert parse_slot_header(slot.header).argon2 == ARGON2_FLOOR


def test_a_wrong_password_and_an_unknown_person_get_the_same_words(node: Node, address: str) -> None:
    node.add(address, password=PASSWORD)
    node.add(f"off-{address}", password=PASSWORD)
    node.add(f"app-{address}")
    node.services.administration.disable_account(parse_address(f"off-{address}"), datetime.now(UTC))
    logins = [address, f"nobody-{address}", "not an address", f"off-{address}", f"app-{address}"]
    secrets = [PASSWORD + "!", PASSWORD, PASSWORD, PASSWORD, PASSWORD]
    open_account = node.services.keys.open_with_password
    refusals = {
        _refusal(lambda n=login, s=secret: open_account(n, s))
        for login, secret in zip(logins, secrets, strict=True)
    }
    assert refusals == {("login", "", "login")}


def test_every_password_attempt_asks_the_custodian_once(node: Node, address: str, monkeypatch) -> None:
    """K22: an unknown account costs the same Argon2 and the same call as a known one."""
    node.add(address, password=PASSWORD)
    asked = []
    harden = Custodian.harden
    monkeypatch.setattr(
        Custodian, "harden", lambda self, *given: (asked.append(len(given)), harden(self, *given))[1]
    )
    for login in (address, f"nobody-{address}", "not an address"):
        _refusal(lambda n=login: node.services.keys.open_with_password(n, "wrong"))
    assert asked == [4, 4, 4]


def test_without_the_custodian_app_passwords_go_on(tmp_path: Path) -> None:
    """K3: no password login; mail clients and what runs already do not notice."""
    node = make_node(tmp_path)
    made = node.add("one@a.localhost", password=PASSWORD)
    assert _app(node, "one@a.localhost", made.app_password)
    node.custodian.close()
    with pytest.raises(Unavailable):
        node.services.keys.open_with_password("one@a.localhost", PASSWORD)
    with pytest.raises(Unavailable):
        node.services.keys.open_with_password("nobody@a.localhost", PASSWORD)
    assert _app(node, "one@a.localhost", made.app_password).account_id == made.account_id
    node.services.close()


def test_another_custodian_opens_no_password(tmp_path: Path) -> None:
    """With the database alone no password can be tried: the harden key is elsewhere."""
    node = make_node(tmp_path)
    node.add("one@a.localhost", password=PASSWORD)
    foreign = Custodian.create(tmp_path / "other-keys")
    monkey = node.services.keys
    monkey._custody = foreign
    assert _refusal(lambda: monkey.open_with_password("one@a.localhost", PASSWORD))[0] == "login"
    foreign.close()
    node.close()


def test_a_restart_finds_everything(tmp_path: Path) -> None:
    node = make_node(tmp_path)
    made = node.add("one@a.localhost", password=PASSWORD)
    config = node.services.config
    node.close()
    custodian = Custodian.open(config.keys_folder)
    again = Node(node.folder, custodian, build_services(config, custodian, argon2=ARGON2_FLOOR))
    assert _app(again, "one@a.localhost", made.app_password).profile.name == "Camille FICTIF"
    assert (
        again.services.keys.open_with_password("one@a.localhost", PASSWORD)[0].account_id == made.account_id
    )
    again.close()


def test_an_account_is_born_with_its_mailboxes_and_its_log(node: Node, address: str) -> None:
    made = node.add(address, password=PASSWORD)
    account = node.services.keys.open_with_password(address, PASSWORD)[0]
    names = [info.name for info in node.services.mailboxes.list_mailboxes(account)]
    assert names == ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"]
    (event,) = read_log(node.services.store, account.account, account.space_root())
    assert (event.sequence, event.event.kind.value) == (0, "administrator-act")
    node.services.app_passwords.add_app_password(parse_address(address), SlotScope.IMAP, datetime.now(UTC))
    events = read_log(node.services.store, account.account, account.space_root())
    assert [each.event.kind.value for each in events] == ["administrator-act", "slot-added"]
    assert made.account_id == account.account_id


REFUSED = [
    (AccountKind.PER, "x@elsewhere.localhost", {}, Malformed, "domain-not-ours"),
    (AccountKind.PATIENT, "x@a.localhost", {}, Malformed, "ins-needed"),
    (
        AccountKind.PER,
        "x@a.localhost",
        {"ins": Ins("1.2.250.1.213.1.4.10", "279035121518989")},
        Malformed,
        "ins-unexpected",
    ),
    (
        AccountKind.PER,
        "x@a.localhost",
        {"members": (parse_address("y@a.localhost"),)},
        Malformed,
        "members-unexpected",
    ),
    (
        AccountKind.ORG,
        "x@a.localhost",
        {"members": (parse_address("nobody@a.localhost"),)},
        NotFound,
        "member",
    ),
]


@pytest.mark.parametrize(("kind", "asked", "more", "error", "code"), REFUSED)
def test_what_is_refused_leaves_nothing(node: Node, kind, asked: str, more: dict, error, code: str) -> None:
    with pytest.raises(error) as refused:
        node.add(asked, kind, **more)
    assert refused.value.code == code
    with node.services.store.database.read() as connection:
        assert node.services.directory.find_account(connection, parse_address(asked)) is None


def test_an_address_and_a_person_are_taken_once(node: Node, address: str) -> None:
    node.add(address)
    with pytest.raises(Conflict) as refused:
        node.add(address.upper().replace("A.LOCALHOST", "a.localhost"))
    assert refused.value.code == "address-taken"
    node.add_patient(f"first-{address}")
    with pytest.raises(Conflict) as refused:
        node.add_patient(f"second-{address}")
    assert refused.value.code == "ins-taken"


def test_a_shared_box_has_its_members_slots(node: Node, address: str) -> None:
    member, box = f"m-{address}", f"box-{address}"
    node.add(member)
    made = node.add(box, AccountKind.ORG, members=(parse_address(member),))
    assert made.app_password is None
    with node.services.store.database.read() as connection:
        slots = node.services.store.accounts.find_slots(
            connection, made.account_id, kind=SlotKind.MEMBER.value
        )
    assert {slot.scope for slot in slots} == {"imap+smtp", "log"}  # the first member is responsible
    with pytest.raises(Denied) as refused:
        node.services.app_passwords.add_app_password(parse_address(box), SlotScope.IMAP, datetime.now(UTC))
    assert refused.value.code == "shared-box-has-members"
    with pytest.raises(NotFound):
        node.services.administration.disable_account(parse_address(f"nobody-{address}"), datetime.now(UTC))
