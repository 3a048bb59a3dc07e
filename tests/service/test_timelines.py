"""What became of a message, for who sent it: each recipient with its attempts, long after the queue forgot the address."""

import pytest
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

from mailserver.app.housekeeping import TIMELINE_SECONDS, Housekeeping
from mailserver.model.errors import Corrupt, Denied
from mailserver.policy.decision import Reason
from mailserver.service.delivery_reports import Cause, explain_attempt
from mailserver.service.timelines import DeliveryState, Timelines
from mailserver.store import schema

PASSWORD = "un mot de passe long"
MESSAGE_ID = "<un@a.localhost>"
LATER = b"451 4.3.0 come back later\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("operators"))


@pytest.fixture
def gateway(tmp_path, authority):
    gateway = make_gateway(tmp_path, authority, PASSWORD)
    yield gateway
    gateway.close()


@pytest.fixture
def timelines(gateway):
    return Timelines(gateway.services.store)


@pytest.fixture
def sender(gateway):
    """As the web opens it."""
    return gateway.services.keys.open_with_password(SENDER, PASSWORD)[0]


def states(timeline):
    return {str(each.recipient): each.state for each in timeline.recipients}


def test_each_recipient_with_each_attempt(gateway, timelines, sender, authority):
    gateway.node.add("lou@a.localhost")
    gateway.submit(recipients=(RECIPIENT, "lou@a.localhost", "li@b.localhost"))
    peer = Peer(
        Script(rcpt=[b"250 ok\r\n", b"550 5.1.1 unknown\r\n"], end=[LATER]),
        context_of(authority, "b.localhost"),
    )
    deliver(gateway, peer)
    (found,) = timelines.find_sent(sender, MESSAGE_ID)
    assert found.message_id == MESSAGE_ID
    assert found.sent_at == int(gateway.clock.now.timestamp())
    by_result = {each.attempts[0].result: each for each in found.recipients if each.attempts}
    assert {(each.attempts[0].reply_code, each.state) for each in by_result.values()} | {
        (attempt.reply_code, each.state) for each in found.recipients for attempt in each.attempts
    } == {(451, DeliveryState.WAITING), (550, DeliveryState.RETURNED)}
    assert states(found)["lou@a.localhost"] is DeliveryState.HERE
    (waiting,) = [each for each in found.recipients if each.state is DeliveryState.WAITING]
    assert waiting.next_try_at == found.sent_at + 300
    gateway.clock.pass_by(minutes=5)
    deliver(gateway, peer)
    (found,) = timelines.list_sent(sender)
    (done,) = [each for each in found.recipients if each.state is DeliveryState.HANDED_OVER]
    assert [(each.number, each.result) for each in done.attempts] == [(1, "peer-reply"), (2, "delivered")]
    assert done.next_try_at is None
    assert {row.order for row in gateway.rows(schema.job)} == {b""}, "the queue has forgotten"
    assert "noa" not in repr(found) + repr(done)


def test_a_retry_leaves_one_record_and_a_second_sending_another(gateway, timelines, sender):
    gateway.submit()
    gateway.submit()
    assert len(timelines.find_sent(sender, MESSAGE_ID)) == 1
    gateway.clock.pass_by(seconds=1)
    gateway.submit(recipients=("li@b.localhost",))
    assert [list(states(each)) for each in timelines.find_sent(sender, MESSAGE_ID)] == [
        [RECIPIENT],
        ["li@b.localhost"],
    ]
    assert timelines.find_sent(sender, "<autre@a.localhost>") == []


def test_a_notice_leaves_no_record(gateway, timelines, sender):
    gateway.submit(b"Auto-Submitted: auto-replied\r\n" + MESSAGE)
    assert len(gateway.rows(schema.job)) == 1
    assert timelines.list_sent(sender) == []


def test_only_the_senders_space_opens_it(gateway, timelines):
    gateway.submit()
    with pytest.raises(Denied, match="scope"):
        timelines.list_sent(gateway.account)  # an app password for mail clients
    data = b"".join(path.read_bytes() for path in (gateway.node.folder / "data").glob("*.sqlite*"))
    assert b"noa.secret" not in data
    assert b"un@a.localhost" not in data


def test_a_notice_finds_the_sending_without_the_senders_key(gateway):
    gateway.submit()
    other = gateway.node.add("lou@a.localhost")
    sent, me = gateway.services.store.sent, gateway.account.account_id
    with gateway.services.store.database.read() as connection:
        find = lambda account_id, message_id: sent.list_sent(
            connection, account_id, sent.index_of(account_id, message_id)
        )
        assert len(find(me, MESSAGE_ID)) == 1
        assert find(other.account_id, MESSAGE_ID) == []
        assert find(me, "<deux@a.localhost>") == []
    assert sent.index_of(me, MESSAGE_ID) != sent.index_of(other.account_id, MESSAGE_ID)


def test_an_altered_or_moved_record_does_not_open(gateway, timelines, sender):
    gateway.submit()
    gateway.submit(MESSAGE.replace(b"<un@", b"<deux@"))
    table = schema.sent
    with gateway.services.store.database.write() as connection:
        records = connection.execute(table.select()).all()
        update = table.update().where(table.c.sent_id == records[0].sent_id)
        connection.execute(update.values(record=records[1].record))
    with pytest.raises(Corrupt, match="row-mac"):
        timelines.list_sent(sender)


def test_it_is_forgotten_with_the_queues_own(gateway, timelines, sender, authority):
    gateway.submit()
    deliver(gateway, Peer(Script(), context_of(authority, "b.localhost")))
    gateway.clock.pass_by(seconds=TIMELINE_SECONDS - 5)
    Housekeeping(gateway.services).sweep_once(gateway.clock.now)
    assert len(timelines.list_sent(sender)) == 1
    with gateway.services.store.database.write() as connection:
        connection.execute(schema.job.delete())
    (found,) = timelines.list_sent(sender)
    assert states(found) == {RECIPIENT: DeliveryState.FORGOTTEN}
    gateway.clock.pass_by(seconds=10)
    Housekeeping(gateway.services).sweep_once(gateway.clock.now)
    assert timelines.list_sent(sender) == []


def test_the_check_opens_it(gateway, sender):
    from mailserver.service.check import check_account

    gateway.submit()
    report = check_account(gateway.services.store, sender)
    assert report.problems == ()
    assert report.counted["sent_records_opened"] == 1


@pytest.mark.parametrize(
    "result", [*Cause, *(each for each in Reason if each is not Reason.ACCEPTED), "unknown"]
)
def test_every_result_has_words(result):
    why = explain_attempt(str(result))
    assert (why is None) == (result in {Cause.DELIVERED, Cause.PEER_REPLY})
    assert why is None or why.why_fr.endswith(".")
