"""Where a person is told, of what, how often; and an address that does not exist any more."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from harness.node import make_node
from harness.web_node import ORIGIN, PASSWORD, PATIENT, WebNode, health_mail
from service.delivery_peers import make_bench, message
from service.gateway_node import JsonLines, Peer, Script, deliver, make_authority, make_gateway

from mailserver.model.address import parse_address
from mailserver.model.errors import Malformed
from mailserver.service.contacts import says_dead
from mailserver.service.delivery_reports import Cause, answered, passing, refused
from mailserver.service.directory import Profile
from mailserver.service.notices import Contact, News, Notices, SmsReach, Way
from mailserver.service.outbound import NoticeOrder, SmsOrder
from mailserver.service.web_codes import Factor
from mailserver.store.jobs import Lane
from mailserver.store.writer import Unit

MAIL, PHONE = "dominique@ordinaire.example", "+33600000078"
BOTH = Profile("Dominique", MAIL, contact_phone=PHONE)
NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("profile", "has_sms", "told", "code"),
    [
        (BOTH, True, Way.MAIL, Way.MAIL),
        (replace(BOTH, prefers_sms=True), True, Way.SMS, Way.SMS),
        (replace(BOTH, prefers_sms=True), False, Way.MAIL, Way.MAIL),
        (replace(BOTH, is_email_dead=True), True, Way.SMS, Way.SMS),
        (replace(BOTH, is_email_dead=True), False, None, Way.MAIL),
        (replace(BOTH, contact_phone="", is_email_dead=True), True, None, Way.MAIL),
        (replace(BOTH, contact_email=""), True, Way.SMS, Way.SMS),
        (replace(BOTH, contact_email=""), False, None, None),
        (Profile("Dominique"), True, None, None),
        (replace(BOTH, contact_phone="+37120000078", prefers_sms=True), True, Way.MAIL, Way.MAIL),
        (replace(BOTH, contact_phone="+37120000078", is_email_dead=True), True, None, Way.MAIL),
    ],
)
def test_the_way_to_a_person(profile, has_sms, told, code):
    notices = Notices(None, None, "Pli", "https://pli.example", SmsReach(has_sms, ("+33",)))
    found = notices.find_contact(profile), notices.find_contact(profile, is_code=True)
    assert [each and each.way for each in found] == [told, code]


def test_no_code_goes_to_a_number_of_another_country():
    """Not even one that was taken before the setting was narrowed."""
    notices = Notices(
        None, None, "Pli", "https://pli.example", SmsReach(is_on=True, prefixes=("+33", "+262"))
    )
    assert notices.contact_code_job(None, Contact(Way.SMS, "+37120000078"), "123456", NOW) is None
    notices.demand_prefix("")
    notices.demand_prefix("+262692000078")
    with pytest.raises(Malformed, match="phone-country"):
        notices.demand_prefix("+37120000078")


def test_masks_tell_where_to_look_only():
    assert Contact(Way.MAIL, MAIL).mask() == "d•••@ordinaire.example"
    assert Contact(Way.SMS, PHONE).mask() == "••••• 78"
    assert MAIL not in repr(Contact(Way.MAIL, MAIL))


@pytest.fixture
def bench(tmp_path):
    bench = make_bench(tmp_path)
    bench.node.add_patient(PATIENT, password=PASSWORD, contact=MAIL)
    yield bench
    bench.node.close()


def change(node, address=PATIENT, **fields):
    services = node.services
    with services.store.database.read() as connection:
        row = services.directory.find_account(connection, parse_address(address))
    profile = replace(services.directory.open_profile(row), **fields)
    changed = replace(row, profile=services.directory.seal_profile(row.account_id, profile))

    def run(connection):
        services.store.accounts.replace_account(connection, changed)

    services.store.writer.commit(Unit(row.account_id, run))


def notices_sent(node):
    services = node.services
    with services.store.database.read() as connection:
        rows = [row for row in services.store.jobs.list_jobs(connection) if row.lane is Lane.NOTICE]
    return [services.outbound.open_notice(row) for row in rows]


PLANTED = ("cardiologue", "Camille FICTIF", "camille@b.localhost", "Résultat grave", "279035121518989")


def test_a_notice_holds_nothing_of_the_message(bench):
    change(bench.node, contact_phone=PHONE)
    bench.deliver([PATIENT], message("Résultat grave", body=b"du cardiologue\r\n"))
    (order,) = notices_sent(bench.node)
    said = f"{order.subject} {order.text}"
    assert [each for each in PLANTED if each.lower() in said.lower()] == []


def test_once_a_day_or_once_an_hour(bench):
    for rank, (hours, is_told_hourly, sent) in enumerate(
        [
            (0, False, 1),
            (2, False, 1),
            (23, False, 1),
            (25, False, 2),
            (26, False, 2),
            (27, True, 3),
            (27.5, True, 3),
        ]
    ):
        change(bench.node, is_told_hourly=is_told_hourly)
        bench.deliver([PATIENT], message(rank), now=NOW + timedelta(hours=hours))
        assert len(notices_sent(bench.node)) == sent, hours


@pytest.mark.parametrize("muted", [News.MESSAGE, News.DOCUMENT])
def test_what_is_switched_off_is_not_told(bench, muted):
    change(bench.node, muted=(muted.value,))
    bench.deliver([PATIENT], message("simple"))
    assert len(notices_sent(bench.node)) == (0 if muted is News.MESSAGE else 1)


@pytest.mark.parametrize("muted", [News.MESSAGE, News.DOCUMENT])
def test_a_letter_with_documents_is_a_document(bench, muted):
    change(bench.node, muted=(muted.value,))
    bench.deliver([PATIENT], health_mail("letter"))
    assert len(notices_sent(bench.node)) == (0 if muted is News.DOCUMENT else 1)


def test_old_profiles_open(bench):
    """Sealed before there were preferences, or with none chosen: the same bytes, the same size class."""
    directory = bench.services.directory
    with bench.store.database.read() as connection:
        row = directory.find_account(connection, parse_address(PATIENT))
    assert directory.open_profile(row).muted == ()
    assert len(directory.seal_profile(row.account_id, Profile("Dominique PAT-TROIS", MAIL))) == len(
        row.profile
    )


def test_a_code_by_sms(tmp_path, monkeypatch):
    monkeypatch.setenv("PLI_SMS_URL", "https://sms.example/send")
    node = make_node(tmp_path)
    node.add_patient(PATIENT, password=PASSWORD, contact=MAIL)
    change(node, contact_phone=PHONE, prefers_sms=True)
    web = WebNode.over(node)
    started = web.login.begin(PATIENT, PASSWORD, NOW)
    (order,) = notices_sent(node)
    assert isinstance(order, SmsOrder)
    assert order.number == PHONE
    assert (started.sent.factor, started.sent.where) == (Factor.SMS, "••••• 78")
    pending = started.cookie.format_value()
    assert web.login.find_awaited(pending, NOW).sent == started.sent
    code = order.text.split("code ")[1][:6]
    finished = web.login.finish(pending, code, ORIGIN, NOW)
    assert finished.cookie
    node.close()


# --- dead addresses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "is_dead"),
    [
        (answered(550, "5.1.1 unknown user"), True),
        (answered(550, "5.1.10 null MX"), True),
        (answered(550, "5.2.1 disabled"), True),
        (answered(550, "no such user"), False),
        (answered(553, "5.1.7 your sender address"), False),
        (answered(550, "5.1.8 your sender's domain"), False),
        (answered(550, "5.7.1 we think this is spam"), False),
        (answered(552, "5.2.2 over quota"), False),
        (answered(554, "no"), False),
        (answered(450, "4.1.1 later"), False),
        (answered(250, "2.1.5 fine"), False),
        (passing(Cause.UNREACHABLE), False),
        (refused(Cause.EXPIRED), False),
        (refused(Cause.NEEDS_UTF8), False),
    ],
)
def test_what_is_said_of_an_address(result, is_dead):
    assert says_dead(result) is is_dead


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("operators"))


@pytest.fixture
def gateway(tmp_path, authority):
    gateway = make_gateway(tmp_path, authority)
    gateway.node.add_patient(PATIENT, contact=MAIL)
    yield gateway
    gateway.close()


def tell(gateway, reply: bytes, recipient: str = MAIL) -> bool:
    """One notice answered so; whether the patient's address counts as dead afterwards."""
    services = gateway.services
    with services.store.database.read() as connection:
        account_id = services.directory.find_account(connection, parse_address(PATIENT)).account_id
    order = NoticeOrder(parse_address(recipient), "Pli", "Un message vous attend.\n")
    job = services.outbound.notice_job(account_id, order, 600, gateway.clock.now)
    services.store.writer.commit(
        Unit(account_id, lambda connection: services.store.jobs.add_jobs(connection, [job]))
    )
    deliver(gateway, Peer(Script(rcpt=[reply], offers_tls=False)))
    with services.store.database.read() as connection:
        row = services.store.accounts.load_account(connection, account_id)
    return services.directory.open_profile(row).is_email_dead


def test_a_refused_address_is_marked_and_comes_back(gateway, caplog):
    with caplog.at_level("DEBUG"):
        assert not tell(gateway, b"550 5.7.1 spam\r\n")
        assert tell(gateway, b"550 5.1.1 unknown\r\n")
        assert tell(gateway, b"550 5.7.1 spam\r\n")
        assert not tell(gateway, b"250 2.1.5 ok\r\n")
    assert MAIL not in JsonLines(caplog).text()


def test_the_refusal_of_an_older_address_marks_nothing(gateway):
    assert not tell(gateway, b"550 5.1.1 unknown\r\n", "ancienne@ordinaire.example")


def test_where_sms_alone_leave_an_address_is_no_way():
    """A code that is announced by mail and dropped would keep the person out."""
    both = Profile("Camille FICTIF", contact_email="camille@ordinaire.example", contact_phone="+33612345678")
    for is_alone, way in ((True, Way.SMS), (False, Way.MAIL)):
        reach = SmsReach(is_on=True, prefixes=("+33",), is_alone=is_alone)
        found = Notices(None, None, "Pli", "https://pli.example", reach).find_contact(both, is_code=True)
        assert found is not None
        assert found.way is way
    alone = Notices(None, None, "Pli", "https://pli.example", SmsReach(True, ("+33",), is_alone=True))
    assert alone.find_contact(replace(both, contact_phone=""), is_code=True) is None
