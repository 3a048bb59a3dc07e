"""What a sender asked to be told (RFC 3461): kept with the job, passed on to a peer that reports itself, else honoured."""

import json

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
    parse_report,
)

from mailserver.crypto.ctx import ctx
from mailserver.model.dsn import MessageAsk, Notify, RecipientAsk, Returned
from mailserver.model.errors import Unavailable
from mailserver.service.delivery import Delivery, Outcome
from mailserver.service.service_seals import ServiceSeals
from mailserver.store import schema
from mailserver.store.jobs import JobState

PLAIN = (b"SIZE 99999999", b"8BITMIME", b"SMTPUTF8")
REFUSED = [b"550 5.1.1 no such box\r\n"]
LATER = b"451 4.3.0 come back later\r\n"
EVERYTHING = RecipientAsk(frozenset(Notify), "noa+x=1@ailleurs.example")
WHOLE = MessageAsk(Returned.FULL, "dossier 12+3")


def only(*words: Notify) -> RecipientAsk:
    return RecipientAsk(frozenset(words))


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("operators"))


@pytest.fixture
def gateway(tmp_path, authority):
    gateway = make_gateway(tmp_path, authority)
    yield gateway
    gateway.close()


@pytest.fixture
def peer_that(authority):
    """A peer of b.localhost that says these replies."""

    def make(**replies):
        return Peer(Script(**replies), context_of(authority, "b.localhost"))

    return make


def test_a_peer_that_reports_is_told_what_was_asked(gateway, peer_that):
    gateway.submit(ask=EVERYTHING, message_ask=WHOLE)
    peer = peer_that(extensions=(*PLAIN, b"DSN"))
    deliver(gateway, peer)
    mail, rcpt = (line for line in peer.lines if line.startswith((b"MAIL", b"RCPT")))
    assert mail.split(b" ")[-2:] == [b"RET=FULL", b"ENVID=dossier+2012+2B3"]
    assert rcpt == (
        b"RCPT TO:<%b> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;noa+2Bx+3D1@ailleurs.example"
        % RECIPIENT.encode()
    )
    assert gateway.inbox() == []


def test_nothing_is_invented_for_a_peer_that_reports(gateway, peer_that):
    gateway.submit()
    peer = peer_that(extensions=(*PLAIN, b"DSN"))
    deliver(gateway, peer)
    assert b"RCPT TO:<%b>" % RECIPIENT.encode() in peer.lines
    assert not any(b"RET=" in line or b"ENVID=" in line for line in peer.lines)


def test_a_peer_that_does_not_report_hears_nothing_of_it_and_we_say_relayed(gateway, peer_that):
    gateway.submit(ask=EVERYTHING, message_ask=WHOLE)
    peer = peer_that()
    deliver(gateway, peer)
    assert not any(
        word in line for line in peer.lines for word in (b"RET=", b"ENVID=", b"NOTIFY=", b"ORCPT=")
    )
    (octets,) = gateway.inbox()
    text, fields, original = parse_report(octets)
    assert (fields["Action"], fields["Status"]) == ("relayed", "2.0.0")
    assert fields["Original-Envelope-Id"] == "dossier 12+3"
    assert fields["Original-Recipient"] == "rfc822; noa+x=1@ailleurs.example"
    assert fields["Final-Recipient"] == f"rfc822; {RECIPIENT}"
    assert "Bonjour" not in original  # RFC 3461 §4.3: no content with good news
    assert "sauf en cas d'échec" in text
    assert "unless it fails" in text


@pytest.mark.parametrize("is_offered", [True, False])
def test_a_promise_of_tls_is_asked_of_the_peer(gateway, peer_that, is_offered):
    """RFC 8689 §4.2.1: passed on, or the message returned."""
    gateway.submit(message_ask=MessageAsk(requires_tls=True))
    peer = peer_that(extensions=(*PLAIN, b"REQUIRETLS") if is_offered else PLAIN)
    deliver(gateway, peer)
    mail = [line for line in peer.lines if line.startswith(b"MAIL")]
    if is_offered:
        assert mail[0].endswith(b" REQUIRETLS")
        assert gateway.job().state == JobState.DONE.value
        return
    assert mail == []
    assert gateway.job().state == JobState.FAILED.value
    (octets,) = gateway.inbox()
    text, fields, _original = parse_report(octets)
    assert fields["Status"] == "5.7.30"
    assert "REQUIRETLS" in text


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (RecipientAsk(), ["delayed", "failed"]),
        (only(), []),
        (only(Notify.DELAY), ["delayed"]),
        (only(Notify.FAILURE), ["failed"]),
        (only(Notify.SUCCESS), []),
    ],
)
def test_only_what_was_asked_is_told(gateway, peer_that, ask, told):
    gateway.submit(ask=ask)
    peer = peer_that(end=[LATER, LATER], rcpt=[b"250 ok\r\n", b"250 ok\r\n", *REFUSED])
    for _attempt in range(3):
        deliver(gateway, peer)
        gateway.clock.pass_by(hours=4, minutes=5)
    assert gateway.job().state == JobState.FAILED.value
    assert [parse_report(octets)[1]["Action"] for octets in gateway.inbox()] == told


@pytest.mark.parametrize("returned", [None, Returned.HEADERS, Returned.FULL])
def test_how_much_comes_back_with_a_failure(gateway, peer_that, returned):
    gateway.submit(MESSAGE + b"encore une ligne de la lettre\r\n" * 5000, message_ask=MessageAsk(returned))
    deliver(gateway, peer_that(rcpt=list(REFUSED)))
    _text, fields, original = parse_report(gateway.inbox()[0])
    assert fields["Action"] == "failed"
    if returned is Returned.FULL:
        assert original.count(b"encore une ligne de la lettre\r\n") == 5000
        assert b"Return-Path" not in original
    else:
        assert "Subject: Radio du genou" in original
        assert "lettre" not in original


def test_a_delay_brings_the_header_only(gateway, peer_that):
    gateway.submit(message_ask=WHOLE)
    gateway.clock.pass_by(hours=5)
    deliver(gateway, peer_that(end=[LATER]))
    _text, fields, original = parse_report(gateway.inbox()[0])
    assert fields["Action"] == "delayed"
    assert "Will-Retry-Until" in fields
    assert "Bonjour" not in original


def test_a_damaged_message_that_was_to_come_back_whole_is_reported_without(gateway, peer_that):
    gateway.submit(MESSAGE + b"une ligne de texte parmi tant d'autres\r\n" * 8000, message_ask=WHOLE)
    (file,) = gateway.blob_files()
    octets = bytearray(file.read_bytes())
    octets[-100] ^= 1
    file.write_bytes(octets)
    deliver(gateway, peer_that(rcpt=list(REFUSED)))
    _text, fields, original = parse_report(gateway.inbox()[0])
    assert fields["Action"] == "failed"
    assert "texte parmi" not in original


def test_a_local_recipient_is_reported_once_delivered(gateway):
    gateway.node.add("lou@a.localhost")
    gateway.node.add("max@a.localhost")
    both = ("lou@a.localhost", "max@a.localhost")
    assert set(gateway.submit(recipients=both, ask=EVERYTHING, message_ask=WHOLE)) == {Outcome.PLACED}
    assert set(gateway.submit(recipients=both, ask=EVERYTHING, message_ask=WHOLE)) == {Outcome.FOLDED}
    (octets,) = gateway.inbox()
    assert octets.startswith(b"Return-Path: <>\r\n")
    report = octets.decode()
    assert report.count("Action: delivered") == 2
    assert "Original-Envelope-Id: dossier 12+3" in report
    assert all(f"Final-Recipient: rfc822; {each}" in report for each in both)
    assert "Un point" not in report
    assert gateway.rows(schema.job) == []


def test_nobody_is_told_delivered_before_it_is(gateway, monkeypatch):
    gateway.node.add("lou@a.localhost")
    whole = Delivery.deliver

    def deliver_later(delivery, arrival, recipients, *more):
        commits = whole(delivery, arrival, recipients, *more)
        for commit in commits:
            commit.result()
        failed = type(commits[0])()
        failed.set_exception(Unavailable("database"))
        return [failed]

    with monkeypatch.context() as patched:
        patched.setattr(Delivery, "deliver", deliver_later)
        with pytest.raises(Unavailable):
            gateway.submit(recipients=("lou@a.localhost",), ask=EVERYTHING)
    assert gateway.inbox() == []
    gateway.submit(recipients=("lou@a.localhost",), ask=EVERYTHING)  # the client comes again
    assert len(gateway.inbox()) == 1


@pytest.mark.parametrize(
    "header",
    [
        b"Auto-Submitted: auto-replied\r\n",
        b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n',
    ],
)
def test_never_a_notice_of_a_notice(gateway, peer_that, header):
    gateway.node.add("lou@a.localhost")
    gateway.submit(header + MESSAGE, ask=EVERYTHING, recipients=(RECIPIENT, "lou@a.localhost"))
    peer = peer_that(rcpt=list(REFUSED))
    deliver(gateway, peer)
    assert gateway.job().state == JobState.FAILED.value
    assert gateway.inbox() == []


@pytest.mark.parametrize(
    ("to", "ask", "told"),
    [
        (SENDER, RecipientAsk(), 1),
        (SENDER.upper(), RecipientAsk(), 1),
        ("autre@a.localhost", RecipientAsk(), 0),
        (SENDER, only(Notify.FAILURE), 0),
    ],
)
def test_return_receipt_to_asks_for_news_of_delivery(gateway, to, ask, told):
    gateway.node.add("lou@a.localhost")
    gateway.submit(f"Return-Receipt-To: <{to}>\r\n".encode() + MESSAGE, ("lou@a.localhost",), ask=ask)
    assert len(gateway.inbox()) == told


def test_orders_of_an_earlier_version_open(gateway):
    gateway.submit()
    job = gateway.job()
    seals, context = ServiceSeals(gateway.node.custodian), ctx("job", job.job_id)
    fields = json.loads(seals.open("queue", job.order, context, job.key_epoch))
    for name in ("ret", "envid", "notify", "orcpt"):
        del fields[name]
    sealed = seals.seal("queue", json.dumps(fields).encode(), context, job.key_epoch)
    with gateway.services.store.database.write() as connection:
        connection.execute(schema.job.update().values(order=sealed))
    (row,) = gateway.queue().lease(gateway.clock.now, 1)
    order = gateway.services.outbound.open_relay(row)
    assert (order.message_ask, order.ask) == (MessageAsk(), RecipientAsk())
