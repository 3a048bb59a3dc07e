"""App passwords have an end, can be listed and revoked, and every such act is in the person's own log (K4)."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from harness.log_reading import read_log
from harness.node import Node, make_node

from mailserver.app.housekeeping import Housekeeping
from mailserver.audit.events import ActorKind, AuditEvent, EventKind, ParameterName
from mailserver.audit.wording import Language, describe
from mailserver.crypto.slots import SlotScope
from mailserver.model.account import AccountKind
from mailserver.model.address import Address, parse_address
from mailserver.model.errors import Denied, NotFound
from mailserver.service.account_slots import APP_PASSWORD_DAYS
from mailserver.service.app_passwords import KEPT_DAYS
from mailserver.service.keys import OpenAccount

ADDRESS, PASSWORD = "camille@a.localhost", "un mot de passe long"
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def node(tmp_path) -> Iterator[Node]:
    node = make_node(tmp_path)
    yield node
    node.close()


@pytest.fixture
def address(node: Node) -> Address:
    node.add(ADDRESS, password=PASSWORD)
    return parse_address(ADDRESS)


def opens(node: Node, secret: str, when: datetime) -> bool:
    try:
        account = node.services.keys.open_with_app_password(
            ADDRESS, secret, [SlotScope.IMAP_SMTP, SlotScope.IMAP], int(when.timestamp())
        )
    except Denied:
        return False
    return account.account_id is not None


def events(node: Node) -> list[tuple[EventKind, dict[ParameterName, str]]]:
    account: OpenAccount = node.services.keys.open_with_password(ADDRESS, PASSWORD)[0]
    logged = read_log(node.services.store, account.account, account.space_root())
    assert {each.event.who.kind for each in logged} == {ActorKind.ADMINISTRATOR}
    return [(each.event.kind, dict(each.event.what.parameters)) for each in logged]


def test_the_first_one_ends_after_a_year(node: Node) -> None:
    made = node.add(ADDRESS)
    assert made.app_password is not None
    now = datetime.now(UTC)
    assert opens(node, made.app_password, now + timedelta(days=APP_PASSWORD_DAYS - 1))
    assert not opens(node, made.app_password, now + timedelta(days=APP_PASSWORD_DAYS, minutes=1))


def test_the_first_one_may_end_sooner(node: Node) -> None:
    made = node.add(ADDRESS, days=2)
    assert made.app_password is not None
    assert opens(node, made.app_password, datetime.now(UTC) + timedelta(days=1))
    assert not opens(node, made.app_password, datetime.now(UTC) + timedelta(days=2, minutes=1))


def test_a_further_one_ends_to_the_second(node: Node, address: Address) -> None:
    secret, made = node.services.app_passwords.add_app_password(address, SlotScope.IMAP, NOW, 30)
    end = NOW + timedelta(days=30)
    assert (made.made_at, made.ends_at, made.scope) == (NOW, end, SlotScope.IMAP)
    assert opens(node, secret, end - timedelta(seconds=1))
    assert not opens(node, secret, end)
    assert (made.is_over(end - timedelta(seconds=1)), made.is_over(end)) == (False, True)
    account = node.services.keys.open_with_app_password(
        ADDRESS, secret, [SlotScope.IMAP], int(NOW.timestamp())
    )
    at = int(end.timestamp())
    assert (account.is_over(at - 1), account.is_over(at)) == (False, True), "what it opened ends with it"
    kind, parameters = events(node)[-1]
    assert kind is EventKind.SLOT_ADDED
    assert parameters == {
        ParameterName.ACT: "app-password-made",
        ParameterName.FINGERPRINT: made.slot_id.hex(),
        ParameterName.UNTIL: "2026-05-31",
    }


def test_the_log_tells_one_for_programs_apart(node: Node, address: Address) -> None:
    node.services.app_passwords.add_app_password(address, SlotScope.API, NOW)
    assert events(node)[-1][1][ParameterName.ACT] == "api-password-made"


def test_all_of_an_account_are_listed_and_the_log_says_so(node: Node, address: Address) -> None:
    app_passwords = node.services.app_passwords
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    _text, made = app_passwords.add_app_password(address, SlotScope.SMTP, later, 1)
    listed = app_passwords.list_app_passwords(address, datetime.now(UTC))
    assert [each.scope for each in listed] == [SlotScope.IMAP_SMTP, SlotScope.SMTP]
    assert listed[1] == made
    assert events(node)[-1] == (
        EventKind.ADMINISTRATOR_ACT,
        {ParameterName.ACT: "app-passwords-listed"},
    )


def test_a_revoked_one_opens_nothing_and_its_connections_end(node: Node, address: Address) -> None:
    app_passwords, now = node.services.app_passwords, datetime.now(UTC)
    kept, _ = app_passwords.add_app_password(address, SlotScope.IMAP, now)
    secret, made = app_passwords.add_app_password(address, SlotScope.IMAP, now)
    account = node.services.keys.open_with_app_password(ADDRESS, secret, [SlotScope.IMAP], 0)
    app_passwords.revoke_app_password(address, made.slot_id, now)
    assert not opens(node, secret, now)
    assert opens(node, kept, now)
    assert node.services.list_revocations([account.account_id]) == {
        account.account_id: account.revocation + 1
    }
    kind, parameters = events(node)[-1]
    assert kind is EventKind.SLOT_REMOVED
    assert parameters[ParameterName.FINGERPRINT] == made.slot_id.hex()
    with pytest.raises(NotFound, match="app-password"):
        app_passwords.revoke_app_password(address, made.slot_id, now)


def test_only_app_passwords_of_this_account_are_revoked(node: Node, address: Address) -> None:
    """Neither another's, nor the slot of the web password or of custody."""
    app_passwords, now = node.services.app_passwords, datetime.now(UTC)
    node.add("lou@a.localhost")
    (theirs,) = app_passwords.list_app_passwords(parse_address("lou@a.localhost"), now)
    account = node.services.keys.open_with_password(ADDRESS, PASSWORD)[0]
    before = len(events(node))
    for slot_id in (theirs.slot_id, account.slot_id):
        with pytest.raises(NotFound):
            app_passwords.revoke_app_password(address, slot_id, now)
    assert len(events(node)) == before
    assert node.services.keys.open_with_password(ADDRESS, PASSWORD)[0].slot_id == account.slot_id


def test_a_disabled_account_gets_none_and_loses_them(node: Node, address: Address) -> None:
    app_passwords, now = node.services.app_passwords, datetime.now(UTC)
    node.services.administration.disable_account(address, now)
    with pytest.raises(Denied, match="account-disabled"):
        app_passwords.add_app_password(address, SlotScope.IMAP, now)
    (left,) = app_passwords.list_app_passwords(address, now)
    app_passwords.revoke_app_password(address, left.slot_id, now)
    assert app_passwords.list_app_passwords(address, now) == []


def test_no_account_and_a_shared_box(node: Node, address: Address) -> None:
    app_passwords, now = node.services.app_passwords, datetime.now(UTC)
    node.add("equipe@a.localhost", AccountKind.ORG, members=(address,))
    with pytest.raises(Denied, match="shared-box-has-members"):
        app_passwords.add_app_password(parse_address("equipe@a.localhost"), SlotScope.IMAP, now)
    nobody = parse_address("personne@a.localhost")
    for act in (
        lambda: app_passwords.add_app_password(nobody, SlotScope.IMAP, now),
        lambda: app_passwords.list_app_passwords(nobody, now),
        lambda: app_passwords.revoke_app_password(nobody, bytes(16), now),
    ):
        with pytest.raises(NotFound, match="account"):
            act()


def test_nothing_is_listed_that_the_log_does_not_hold(
    node: Node, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("mailserver.service.app_passwords.add_entries", fail)
    with pytest.raises(RuntimeError):
        node.services.app_passwords.list_app_passwords(address, NOW)


def test_one_that_ended_a_month_ago_is_removed_and_its_owner_reads_so(node: Node, address: Address) -> None:
    app_passwords, sweep = node.services.app_passwords, Housekeeping(node.services).sweep_once
    _text, made = app_passwords.add_app_password(address, SlotScope.IMAP, NOW, 10)
    over = NOW + timedelta(days=10 + KEPT_DAYS)
    sweep(over)
    assert made in app_passwords.list_app_passwords(address, over), "to the second, and no earlier"
    before = len(list_of_log(node))
    sweep(over + timedelta(seconds=1))
    assert [each.scope for each in app_passwords.list_app_passwords(address, over)] == [SlotScope.IMAP_SMTP]
    removed = list_of_log(node)[before]
    assert describe(removed, Language.FRENCH) == (
        "Serveur de messagerie a retiré le mot de passe d’application "
        f"(terminé depuis un mois ; empreinte : {made.slot_id.hex()} ; jusqu’au : 2026-05-11)."
    )
    sweep(over + timedelta(seconds=1))
    kinds = [each.kind for each in list_of_log(node)]
    assert kinds.count(EventKind.SLOT_REMOVED) == 1, "a second worker finds nothing"
    assert node.services.keys.open_with_password(ADDRESS, PASSWORD), "other slots have no end"


def list_of_log(node: Node) -> list[AuditEvent]:
    account = node.services.keys.open_with_password(ADDRESS, PASSWORD)[0]
    return [each.event for each in read_log(node.services.store, account.account, account.space_root())]
