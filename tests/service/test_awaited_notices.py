"""Notices about what an account sent: who is believed, the one state a recipient, and who is told that none came."""

import email
import email.policy
import logging
import re

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

from mailserver.app.services import OverdueNotices
from mailserver.crypto.x509 import certificate_facts, der_from_pem
from mailserver.mime.trace import Hop
from mailserver.model.address import parse_address, parse_domain
from mailserver.model.dsn import Notify, RecipientAsk
from mailserver.model.errors import Corrupt, Unavailable
from mailserver.model.notice import Expectation, NoticeState
from mailserver.policy.trust_list import TrustedDomain, TrustList
from mailserver.service.check import check_account
from mailserver.service.receive import PeerEnvelope
from mailserver.service.timelines import Timelines
from mailserver.store import schema

PASSWORD = "un mot de passe long"
MESSAGE_ID = "<un@a.localhost>"
ASKING = f"Disposition-Notification-To: {SENDER}\r\n".encode() + MESSAGE
SUCCESS = RecipientAsk(frozenset({Notify.SUCCESS, Notify.FAILURE}))
LI, LOU = "li@b.localhost", "lou@a.localhost"
S = NoticeState


def mdn(
    disposition="processed", *, author=RECIPIENT, about=RECIPIENT, original=MESSAGE_ID, more="", number=1
):
    return (
        f"From: {author}\r\nTo: {SENDER}\r\nSubject: Radio du genou\r\nMessage-ID: <avis{number}@b.localhost>\r\n"
        "Content-Type: multipart/report; report-type=disposition-notification; boundary=r\r\n\r\n"
        "--r\r\n\r\nTexte.\r\n--r\r\nContent-Type: message/disposition-notification\r\n\r\n"
        f"Final-Recipient: rfc822; {about}\r\nOriginal-Message-ID: {original}\r\n"
        f"Disposition: automatic-action/MDN-sent-automatically; {disposition}\r\n{more}--r--\r\n"
    ).encode()


def dsn(action, *, about=RECIPIENT, author="MAILER-DAEMON@b.localhost"):
    return (
        f"From: {author}\r\nTo: {SENDER}\r\nSubject: Rapport\r\nMessage-ID: <dsn-{action}@b.localhost>\r\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=r\r\n\r\n"
        "--r\r\n\r\nTexte.\r\n--r\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; b.localhost\r\n\r\n"
        f"Final-Recipient: rfc822; {about}\r\nAction: {action}\r\nStatus: 5.0.0\r\n\r\n"
        f"--r\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {MESSAGE_ID}\r\n\r\n--r--\r\n"
    ).encode()


class Desk:
    """The sender's operator, the other ones by name, and the sender as the web opens it."""

    def __init__(self, gateway, authority):
        self.gateway, self.authority = gateway, authority
        self.services, self.clock = gateway.services, gateway.clock
        self.sender = self.services.keys.open_with_password(SENDER, PASSWORD)[0]

    def send(self, octets=ASKING, recipients=(RECIPIENT,), script=None, **more):
        """Handed in, and handed over."""
        self.gateway.submit(octets, recipients, **more)
        deliver(self.gateway, Peer(script or Script(), context_of(self.authority, "b.localhost")))

    def receive(self, octets, *, domain="b.localhost", envelope_from=None, to=SENDER):
        path = self.authority.parent / domain / "tls" / "operator.pem"
        dn = certificate_facts(der_from_pem(path.read_bytes())).dn
        reception, now = self.services.reception, self.clock.now
        _decision, recipient = reception.decide_recipient(parse_address(to), 0, now)
        sender = None if envelope_from is None else parse_address(envelope_from)
        intake = reception.begin(Hop(domain, "127.0.0.1", "a.localhost", "ESMTPS", "x"), sender, now)
        try:
            intake.write(octets)
            intake.finish()
            verdict = reception.accept(PeerEnvelope(dn, sender, (recipient,)), intake, now)
        finally:
            intake.close()
        assert verdict.decision.accepted, verdict.decision
        return [commit.result() for commit in verdict.commits]

    def heard(self):
        (timeline,) = Timelines(self.services.store).find_sent(self.sender, MESSAGE_ID)
        return {str(each.recipient): each.heard for each in timeline.recipients}

    def state(self, of=RECIPIENT):
        heard = self.heard()[of]
        return None if heard is None else heard.state

    def rows(self):
        return self.gateway.rows(schema.sent_recipient)

    def round(self):
        return self.services.overdue.tell_once(self.clock.now)

    def letters(self):
        """(subject, text) of what the server itself wrote into the sender's INBOX."""
        found = [email.message_from_bytes(each, policy=email.policy.default) for each in self.gateway.inbox()]
        return [
            (each["subject"], " ".join(each.get_content().split()))
            for each in found
            if each["auto-submitted"] == "auto-generated"
        ]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("operators"))


@pytest.fixture
def desk(tmp_path, authority):
    gateway = make_gateway(tmp_path, authority, PASSWORD)
    yield Desk(gateway, authority)
    gateway.close()


@pytest.mark.parametrize(
    ("octets", "state", "code"),
    [
        (mdn(), S.PROCESSED, 0),
        (mdn("dispatched"), S.DISPATCHED, 0),
        (mdn("displayed"), S.DISPLAYED, 0),
        (mdn("processed/Error: 902^Patient inconnu"), S.FAILED, 902),
        (mdn("processed/error", more="Error: 904^INS\r\n"), S.FAILED, 904),
        (mdn(author="accueil@b.localhost"), S.PROCESSED, 0),
        (mdn(about="appli@c.localhost"), S.PROCESSED, 0),
        (dsn("failed"), S.FAILED, 0),
        (dsn("delivered"), S.DELIVERED, 0),
        (dsn("relayed"), S.RELAYED, 0),
    ],
)
def test_a_notice_moves_its_recipient(desk, octets, state, code):
    desk.send(recipients=(RECIPIENT, LI), script=Script(extensions=(b"8BITMIME", b"DSN")))
    desk.receive(octets)
    (heard,) = [each for name, each in desk.heard().items() if name == RECIPIENT]
    assert (heard.state, heard.code, heard.at) == (state, code, int(desk.clock.now.timestamp()))
    assert desk.state(LI) is None
    assert len(desk.gateway.inbox()) == 1, "and it is mail like any other"


@pytest.mark.parametrize(
    ("octets", "more"),
    [
        # another operator, truthful about who it is
        (mdn("processed/error", author="x@c.localhost"), {"domain": "c.localhost"}),
        (dsn("failed", author="MAILER-DAEMON@c.localhost"), {"domain": "c.localhost"}),
        # a delivery report that a person wrote
        (dsn("failed"), {"envelope_from": "x@b.localhost"}),
        # nobody who was written to, another message, no notice
        (mdn(about="inconnu@b.localhost", author="inconnu@b.localhost"), {}),
        (mdn(original="<deux@a.localhost>"), {}),
        (mdn("vanished"), {}),
        (mdn(original=""), {}),
    ],
)
def test_who_may_not_speak_moves_nothing(desk, octets, more):
    desk.send(script=Script(extensions=(b"8BITMIME", b"DSN")))
    before = desk.rows()
    desk.receive(octets, **more)
    assert desk.rows() == before
    assert len(desk.gateway.inbox()) == 1


@pytest.fixture
def two_domains(desk):
    """The peer of b.localhost holds a second domain, with the same certificate; c.localhost is another's."""
    trust = desk.services.trust
    before = trust.current
    (holder,) = before.dns_for(parse_domain("b.localhost"))
    second = TrustedDomain(parse_domain("hopital.localhost"), holder)
    trust._current = TrustList(before.generated_at, (*before.entries, second))
    yield desk
    trust._current = before


ALIAS = "camille@hopital.localhost"
TO_US = f"Original-Recipient: rfc822; {RECIPIENT}\r\n"


@pytest.mark.parametrize(
    ("more", "author", "about", "state"),
    [
        # whom the alias led to answers under its other address
        (TO_US, ALIAS, ALIAS, S.PROCESSED),
        (TO_US, ALIAS, RECIPIENT, S.PROCESSED),
        # it does not say whom we wrote to: another person of the same operator
        ("", ALIAS, ALIAS, None),
        ("", ALIAS, RECIPIENT, None),
        ("Original-Recipient: rfc822; inconnu@b.localhost\r\n", ALIAS, ALIAS, None),
        (TO_US + "Original-Recipient: rfc822; x@b.localhost\r\n", ALIAS, ALIAS, None),
    ],
)
def test_an_alias_answers_for_whom_we_wrote_to(two_domains, more, author, about, state):
    desk = two_domains
    desk.send(script=Script(extensions=(b"8BITMIME", b"DSN")))
    desk.receive(mdn(author=author, about=about, more=more))
    assert desk.state() is state
    assert len(desk.gateway.inbox()) == 1, "and it is mail like any other"


def test_another_operator_is_no_alias(two_domains):
    """It says whom we wrote to, truthfully, and holds neither domain."""
    desk = two_domains
    desk.send(script=Script(extensions=(b"8BITMIME", b"DSN")))
    desk.receive(mdn(author="x@c.localhost", about="x@c.localhost", more=TO_US), domain="c.localhost")
    assert desk.state() is None


def test_who_was_written_to_answers_for_nobody_else(two_domains):
    """One who got the message too, and so knows its Message-ID, in another domain of the same operator."""
    desk = two_domains
    desk.send(recipients=(RECIPIENT, ALIAS), script=Script(extensions=(b"8BITMIME", b"DSN")))
    desk.receive(mdn("processed/error", author=ALIAS, about=ALIAS, more=TO_US))
    assert desk.state(RECIPIENT) is None


def test_a_report_names_an_alias_by_whom_we_wrote_to(two_domains):
    desk = two_domains
    desk.send(script=Script(extensions=(b"8BITMIME", b"DSN")))
    report = dsn("failed", about=ALIAS).replace(b"Final-Recipient", TO_US.encode() + b"Final-Recipient")
    desk.receive(report)
    assert desk.state() is S.FAILED


def test_one_of_ours_answers_under_their_other_address(desk):
    node, services = desk.gateway.node, desk.services
    made = node.add(LOU)
    account, other = node.open(LOU, made.app_password), parse_address("l.fictif@a.localhost")
    directory, row = services.directory, account.account
    sealed = directory.seal_address(row.account_id, other)
    with services.store.database.write() as connection:
        services.store.accounts.add_address(connection, row.account_id, directory.address_mac(other), sealed)
    desk.gateway.submit(ASKING, (LOU,))
    mine, desk.gateway.account = desk.gateway.account, node.open(LOU, made.app_password)
    desk.gateway.submit(mdn("displayed", author=other, about=LOU), (SENDER,), sender=None)
    desk.gateway.account = mine
    assert desk.state(LOU) is S.DISPLAYED


def test_another_accounts_notice_is_not_mine(desk):
    desk.gateway.node.add(LOU)
    desk.send()
    before = desk.rows()
    desk.receive(mdn("processed/error"), to=LOU)
    assert desk.rows() == before


def test_a_colleague_cannot_answer_for_another(desk):
    """Of ours only the very address is believed: both share the domain."""
    made = desk.gateway.node.add(LOU)
    desk.gateway.node.add("eli@a.localhost")
    desk.gateway.submit(ASKING, ("eli@a.localhost",))
    mine, desk.gateway.account = desk.gateway.account, desk.gateway.node.open(LOU, made.app_password)
    desk.gateway.submit(mdn(author=LOU, about="eli@a.localhost"), (SENDER,), sender=None)
    desk.gateway.account = mine
    assert desk.state("eli@a.localhost") is None


def test_one_of_ours_answers(desk):
    made = desk.gateway.node.add(LOU)
    desk.gateway.submit(ASKING, (LOU,))
    mine, desk.gateway.account = desk.gateway.account, desk.gateway.node.open(LOU, made.app_password)
    desk.gateway.submit(mdn("displayed", author=LOU, about=LOU), (SENDER,), sender=None)
    desk.gateway.account = mine
    assert desk.state(LOU) is S.DISPLAYED


def test_twice_and_out_of_order(desk):
    desk.send(script=Script(extensions=(b"8BITMIME", b"DSN")))
    desk.receive(mdn("displayed"))
    seen = desk.heard()
    desk.clock.pass_by(minutes=1)
    for octets in (
        mdn("displayed"),
        mdn("displayed", number=2),
        dsn("delivered"),
        mdn("processed/error", number=3),
    ):
        desk.receive(octets)
        assert desk.heard() == seen
    assert len(desk.gateway.inbox()) == 4, "the same octets are one mail"


def test_nothing_came(desk):
    desk.send(recipients=(RECIPIENT, LI))
    assert desk.round() == 0
    desk.clock.pass_by(hours=23, minutes=59)
    assert desk.round() == 0
    desk.receive(mdn("processed", author=LI, about=LI))
    desk.clock.pass_by(minutes=2)
    assert desk.round() == 1
    assert [desk.state(each) for each in (RECIPIENT, LI)] == [S.OVERDUE, S.PROCESSED]
    ((subject, text),) = desk.letters()
    assert subject == "Aucun accusé reçu (no receipt came)"
    for words in (RECIPIENT, "appelez le destinataire", "call the recipient", "24 h"):
        assert words in text
    assert LI not in text
    assert re.search(
        r"votre message du \d\d/\d\d/\d{4} \d\d:\d\d \(heure de Paris, UTC\+[12]\)\. Rien",
        " ".join(text.split()),
    )
    desk.clock.pass_by(days=3)
    assert desk.round() == 0
    assert len(desk.letters()) == 1


def test_one_letter_for_all_who_are_silent(desk):
    desk.send(recipients=(RECIPIENT, LI))
    desk.clock.pass_by(hours=24, minutes=1)
    assert desk.round() == 1
    ((_subject, text),) = desk.letters()
    assert RECIPIENT in text
    assert LI in text
    (letter,) = [each for each in desk.gateway.inbox() if b"auto-generated" in each]
    assert f"In-Reply-To: {MESSAGE_ID}".encode() in letter
    assert letter.startswith(b"Return-Path: <>")


@pytest.mark.parametrize(
    ("octets", "state", "words"),
    [
        (mdn(), S.PROCESSED, "intégré par le système"),
        (mdn("processed/Error: 902^x"), S.FAILED, "patient inconnu"),
        (dsn("failed"), S.FAILED, "échec chez le destinataire"),
    ],
)
def test_late_and_told_once(desk, octets, state, words):
    desk.send()
    desk.clock.pass_by(hours=25)
    assert desk.round() == 1
    desk.receive(octets)
    assert desk.state() is state
    assert desk.round() == 1
    assert desk.round() == 0
    assert [subject for subject, _text in desk.letters()] == [
        "Aucun accusé reçu (no receipt came)",
        "Accusé arrivé en retard (a late receipt)",
    ]
    assert words in desk.letters()[1][1]
    desk.receive(mdn("displayed", number=9))
    assert desk.round() == 0, "told once"
    assert {row.order for row in desk.rows()} == {b""}, "and nobody is named any more"


def test_what_is_late_and_no_answer_changes_nothing(desk):
    desk.send()
    desk.clock.pass_by(hours=25)
    desk.round()
    desk.receive(dsn("delivered"))
    assert desk.state() is S.OVERDUE
    assert desk.round() == 0


def test_the_time_runs_from_the_hand_over(desk):
    later = Script(end=[b"451 4.3.0 later\r\n"])
    desk.send(script=later)
    desk.clock.pass_by(hours=30)
    assert desk.round() == 0, "the queue tells of its own delay"
    deliver(desk.gateway, Peer(Script(), context_of(desk.authority, "b.localhost")))
    desk.clock.pass_by(hours=23)
    assert desk.round() == 0
    desk.clock.pass_by(hours=2)
    assert desk.round() == 1


def test_what_was_returned_is_told_by_its_report_alone(desk):
    desk.send(script=Script(rcpt=[b"550 5.1.1 unknown\r\n"]))
    desk.clock.pass_by(hours=25)
    assert desk.round() == 0
    assert desk.letters() == []
    assert desk.rows()[0].due_at is None


@pytest.mark.parametrize(
    ("octets", "ask", "extensions", "expected", "letters"),
    [
        (MESSAGE, RecipientAsk(), (b"8BITMIME",), Expectation.NOTHING, 0),
        (MESSAGE, SUCCESS, (b"8BITMIME",), Expectation.DELIVERY, 0),  # our own report says that no more will come
        (MESSAGE, SUCCESS, (b"8BITMIME", b"DSN"), Expectation.DELIVERY, 1),
        (b"Return-Receipt-To: " + SENDER.encode() + b"\r\n" + MESSAGE, RecipientAsk(), (b"8BITMIME", b"DSN"), Expectation.DELIVERY, 1),
        (b"Disposition-Notification-To: x@b.localhost\r\n" + MESSAGE, RecipientAsk(), (b"8BITMIME",), Expectation.NOTHING, 0),
        (ASKING, RecipientAsk(), (b"8BITMIME",), Expectation.RECEIPT, 1),
    ],
)  # fmt: skip
def test_what_is_waited_for(desk, octets, ask, extensions, expected, letters):
    desk.send(octets, ask=ask, script=Script(extensions=extensions))
    (row,) = desk.rows()
    assert row.expected == expected
    desk.clock.pass_by(hours=25)
    assert desk.round() == letters


def test_a_report_of_delivery_ends_the_wait(desk):
    desk.send(MESSAGE, ask=SUCCESS, script=Script(extensions=(b"8BITMIME", b"DSN")))
    desk.receive(dsn("delivered"))
    desk.clock.pass_by(hours=25)
    assert desk.round() == 0
    assert desk.state() is S.DELIVERED


@pytest.mark.parametrize(
    "octets",
    [
        b"Auto-Submitted: auto-replied\r\n" + ASKING,
        mdn(author=SENDER, about=SENDER, original="<x@b.localhost>"),
    ],
)
def test_never_a_notice_for_a_notice(desk, octets):
    if b"multipart/report" in octets:
        octets = f"Disposition-Notification-To: {SENDER}\r\n".encode() + octets
        desk.gateway.submit(octets, sender=None)
    else:
        desk.gateway.submit(octets)
    assert desk.rows() == []
    desk.clock.pass_by(hours=25)
    assert desk.round() == 0


def test_two_processes_tell_once(desk):
    desk.send()
    desk.clock.pass_by(hours=25)
    services = desk.services
    awaited = services.overdue._awaited
    other = OverdueNotices(services.store, awaited, services.reports, b"o" * 16)
    assert desk.round() + other.tell_once(desk.clock.now) == 1
    assert len(desk.letters()) == 1


def test_a_round_that_another_was_faster_in_writes_nothing(desk):
    """Even without the lease: the row is looked at again in the Unit."""
    desk.send()
    desk.clock.pass_by(hours=25)
    at = int(desk.clock.now.timestamp())
    overdue = desk.services.overdue
    (due,) = overdue._list_due(at)
    desk.receive(mdn())
    assert overdue._settle(overdue._decide(due, at), [due.row], desk.clock.now) == 0
    assert desk.letters() == []
    assert desk.state() is S.PROCESSED


def test_a_kill_before_the_commit_leaves_neither_letter_nor_mark(desk, monkeypatch):
    desk.send()
    desk.clock.pass_by(hours=25)
    known = type(desk.services.store.sent_recipients)
    with monkeypatch.context() as patch:
        patch.setattr(known, "mark", lambda *_args: (_ for _ in ()).throw(Unavailable("killed")))
        with pytest.raises(Unavailable):
            desk.round()
    assert desk.letters() == []
    assert desk.round() == 1
    assert len(desk.letters()) == 1


def test_an_altered_row_is_refused_and_the_notice_arrives(desk, caplog):
    desk.send(recipients=(RECIPIENT, LI))
    with desk.services.store.database.write() as connection:
        connection.execute(schema.sent_recipient.update().values(state="displayed"))
    caplog.set_level(logging.INFO)
    desk.receive(mdn())
    assert len(desk.gateway.inbox()) == 1
    with pytest.raises(Corrupt, match="row-mac"):
        desk.heard()
    desk.clock.pass_by(hours=25)
    assert desk.round() == 0
    assert desk.round() == 0
    said = [record.getMessage() for record in caplog.records if record.name == "pli.notices"]
    assert said == [
        "a sent record was altered, its notice is not counted",
        "followed recipients were altered, no time runs for them",
    ]


def test_the_check_of_a_store_tells_an_altered_row(desk):
    desk.send()
    report = check_account(desk.services.store, desk.sender)
    assert (report.problems, report.counted["sent_recipients"]) == ((), 1)
    with desk.services.store.database.write() as connection:
        connection.execute(schema.sent_recipient.update().values(code=902))
    problems = check_account(desk.services.store, desk.sender).problems
    assert problems == (("does not open (row-mac)", "sent_recipient"),)


def test_nothing_private_is_logged_or_stored(desk, caplog):
    caplog.set_level(logging.DEBUG)
    desk.send()
    desk.clock.pass_by(hours=25)
    desk.round()
    desk.receive(mdn("processed/Error: 902^Patient Corse inconnu"))
    desk.round()
    text = caplog.text + repr([record.__dict__ for record in caplog.records])
    for private in ("noa.secret", "un@a.localhost", "genou", "Corse", "camille"):
        assert private not in text
    data = b"".join(path.read_bytes() for path in (desk.gateway.node.folder / "data").glob("*.sqlite*"))
    assert b"noa.secret" not in data


def test_a_closed_account_is_told_nothing(desk):
    desk.send()
    desk.clock.pass_by(hours=25)
    desk.services.administration.disable_account(parse_address(SENDER), desk.clock.now)
    assert desk.round() == 0
    assert desk.rows()[0].due_at is None
