"""The submission ports: login over TLS only, one's own addresses, and mail that goes where it may."""

import base64
import contextlib
import json
import smtplib
import socket
import threading

import pytest
from harness.smtp_harness import Wire, client_context, inbox, letter, log_lines, running_smtp
from harness.web_node import make_peers

from mailserver.crypto.slots import SlotScope
from mailserver.model.address import parse_address
from mailserver.service.throttle import Throttle
from mailserver.store import schema

OURS, OTHER, AWAY = "camille@a.localhost", "lou@a.localhost", "noa@b.localhost"


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    ours, peer = make_peers(tmp_path_factory.mktemp("operators"))
    yield ours, peer
    ours.close()
    peer.close()


@pytest.fixture(scope="module")
def passwords(operators):
    return {address: operators[0].add(address).app_password for address in (OURS, OTHER)}


@pytest.fixture
def smtp(operators, passwords):
    with running_smtp(operators[0]) as running:
        yield running


@pytest.fixture
def client(smtp, passwords):
    client = smtp.call_submissions()
    client.login(OURS, passwords[OURS])
    yield client
    client.close()


def test_extensions(smtp):
    with smtplib.SMTP("127.0.0.1", smtp.submission_port, "poste.a.localhost", 20) as client:
        client.ehlo()
        assert "auth" not in client.esmtp_features
        assert "starttls" in client.esmtp_features
        assert "dsn" not in client.esmtp_features
        client.starttls(context=client_context())
        client.ehlo()
        assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
        assert "dsn" in client.esmtp_features
        assert "starttls" not in client.esmtp_features
        assert client.docmd("STARTTLS")[0] == 503


def test_nothing_but_starttls_in_the_clear(smtp, passwords):
    """S2: no login and no mail before TLS."""
    wire = Wire(smtp.submission_port)
    wire.ask(b"EHLO poste")
    plain = base64.b64encode(b"\0%b\0%b" % (OURS.encode(), passwords[OURS].encode()))
    for line in (b"AUTH PLAIN " + plain, b"AUTH LOGIN", b"MAIL FROM:<x@a.localhost>", b"VRFY x", b"HELP"):
        assert wire.ask(line).startswith(b"530-5.7.10 "), line
    assert wire.ask(b"QUIT")[:3] == b"221"
    wire.close()


def login_replies(wire, mechanism, login, secret):
    if mechanism == "LOGIN":
        replies = [wire.ask(b"AUTH LOGIN")]
        replies += [wire.ask(base64.b64encode(each.encode())) for each in (login, secret)]
        return replies
    plain = base64.b64encode(f"\0{login}\0{secret}".encode())
    if mechanism == "PLAIN":
        return [wire.ask(b"AUTH PLAIN"), wire.ask(plain)]
    return [wire.ask(b"AUTH PLAIN " + plain)]


def dial(smtp):
    wire = Wire(smtp.submissions_port, client_context())
    wire.ask(b"EHLO poste")
    return wire


@pytest.mark.parametrize("mechanism", ["PLAIN", "PLAIN initial", "LOGIN"])
def test_login(smtp, passwords, mechanism):
    wire = dial(smtp)
    replies = login_replies(wire, mechanism, OURS, passwords[OURS])
    assert all(reply[:3] == b"334" for reply in replies[:-1])
    assert replies[-1] == b"235 2.7.0 Logged in\r\n"
    assert wire.ask(b"AUTH PLAIN").startswith(b"503-5.5.1 ")
    wire.close()


def test_failures_say_the_same(smtp, passwords, operators):
    """K22: whatever was wrong; and the log holds neither name nor secret."""
    imap_only = operators[0].services.app_passwords.add_app_password(
        parse_address(OURS), SlotScope.IMAP, operators_now()
    )
    tries = [
        (OURS, "mauvais"),
        ("personne@a.localhost", passwords[OURS]),
        (OTHER, passwords[OURS]),
        (OURS, imap_only),
    ]
    said = set()
    with log_lines() as log:
        for login, secret in tries:
            wire = dial(smtp)
            said.add(login_replies(wire, "PLAIN", login, secret)[-1])
            wire.close()
    (reply,) = said
    assert reply.startswith(b"535-5.7.8 ")
    assert b"mot de passe d'application" in reply
    assert "@" not in log.text
    records = [json.loads(line)["record"] for line in log.lines if '"pli.security"' in line]
    assert {(each["kind"], each["result"], each["account"]) for each in records} == {
        ("login", "refused", None)
    }


def operators_now():
    from datetime import UTC, datetime

    return datetime.now(UTC)


def test_failures_slow_down_and_end(smtp, monkeypatch):
    """S9: the shared throttle is asked before each try and told of each failure; five end the connection."""
    waits, failures = [], []
    monkeypatch.setattr(
        Throttle, "delay_seconds", lambda _self, peer, login: waits.append((peer, login)) or 0.0
    )
    monkeypatch.setattr(Throttle, "note_failure", lambda _self, peer, login: failures.append((peer, login)))
    wire = dial(smtp)
    codes = [login_replies(wire, "PLAIN", OURS, "x")[-1][:3] for _ in range(5)]
    assert codes == [b"535"] * 5
    assert wire.is_closed()
    assert waits == failures == [("127.0.0.1", OURS)] * 5
    wire.close()


@pytest.mark.parametrize(
    ("line", "head"),
    [
        (b"AUTH CRAM-MD5", b"504-5.5.4 "),
        (b"AUTH PLAIN ****", b"501-5.5.2 "),
        (b"MAIL FROM:<camille@a.localhost>", b"530-5.7.0 "),
        (b"RCPT TO:<camille@a.localhost>", b"503-5.5.1 "),
        (b"VRFY camille", b"252-2.5.0 "),
        (b"EXPN list", b"502-5.5.1 "),
        (b"HELP", b"214-2.0.0 "),
    ],
)
def test_other_commands(smtp, line, head):
    wire = dial(smtp)
    assert wire.ask(line).startswith(head)
    wire.close()


def test_a_cancelled_login(smtp):
    wire = dial(smtp)
    assert wire.ask(b"AUTH LOGIN")[:3] == b"334"
    assert wire.ask(b"*").startswith(b"501-5.0.0 ")
    assert wire.ask(b"NOOP")[:3] == b"250"
    wire.close()


def test_mail_to_here_and_away(smtp, client, passwords):
    jobs = smtp.counts()["job"]
    octets = letter(OURS, OTHER, "both")
    assert client.sendmail(OURS, [OTHER, AWAY], octets) == {}
    assert smtp.counts()["job"] == jobs + 1
    stored = inbox(smtp.node, OTHER, passwords[OTHER])[-1]
    assert stored.endswith(octets[octets.index(b"Subject") :])
    assert b" with ESMTPSA\r\n" in stored
    assert client.sendmail(OURS, [OTHER, AWAY], octets) == {}, "a retry"
    assert smtp.counts()["job"] == jobs + 1


def test_news_of_delivery_is_given_to_who_asks(smtp, client, passwords):
    """RFC 3461: as a mail client's "delivery notification" asks for it."""
    octets = letter(OURS, OTHER, "asked")
    asks = ["RET=HDRS", "ENVID=dossier+2012"], ["NOTIFY=SUCCESS", f"ORCPT=rfc822;{OTHER}"]
    assert client.sendmail(OURS, [OTHER], octets, *asks) == {}
    report = inbox(smtp.node, OURS, passwords[OURS])[-1]
    assert b"Action: delivered\r\n" in report
    assert b"Original-Envelope-Id: dossier 12\r\n" in report
    assert b"Original-Recipient: rfc822; %b\r\n" % OTHER.encode() in report


def test_outlook_writes_a_space(smtp, client):
    assert client.docmd(f"MAIL FROM: <{OURS}>")[0] == 250
    assert client.docmd(f"RCPT TO: <{OTHER}>")[0] == 250


@pytest.mark.parametrize(
    ("sender", "author", "recipient", "code", "word"),
    [
        (OTHER, OURS, OTHER, 553, "sender-not-owned"),
        (OURS, OTHER, OTHER, 550, "from-not-owned"),
        (OURS, OURS, "x@ailleurs.example", 550, "recipient-domain-unlisted"),
        (OURS, OURS, "personne@a.localhost", 550, "unknown-recipient"),
    ],
)
def test_refusals(smtp, client, sender, author, recipient, code, word):
    before = smtp.counts()
    with log_lines() as log, pytest.raises(smtplib.SMTPException) as caught:
        client.sendmail(sender, [recipient], letter(author, recipient, "refused"))
    error = caught.value
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        (found,) = error.recipients.values()
        assert found[0] == code
    else:
        assert error.smtp_code == code
    assert f'"reason": "{word}"' in log.text
    assert "@" not in log.text
    assert smtp.counts() == before


def test_an_address_with_accents_needs_smtputf8(client):
    assert client.docmd(f"MAIL FROM:<{OURS}>")[0] == 250
    client.send("RCPT TO:<é@b.localhost>\r\n".encode())
    code, text = client.getreply()
    assert (code, text[:5]) == (553, b"5.6.7")
    client.docmd("RSET")
    assert client.docmd(f"MAIL FROM:<{OURS}> SMTPUTF8")[0] == 250
    client.send("RCPT TO:<é@b.localhost>\r\n".encode())
    assert client.getreply()[0] == 250


def test_a_withdrawn_access_ends_the_connection(smtp, passwords):
    """K4: the revocation poll tells the connections of the account."""
    wire = dial(smtp)
    login_replies(wire, "PLAIN", OURS, passwords[OURS])
    services = smtp.node.services
    ended = threading.Event()

    def revoke():
        (account_id,) = services.wakeups.list_accounts()
        services.wakeups.revoke_changed({account_id: -1})
        ended.set()

    smtp.loop.call_soon_threadsafe(revoke)
    assert wire.reply().startswith(b"421-4.7.0 ")
    assert wire.is_closed()
    assert ended.is_set()
    wire.close()
    smtp.settle()
    assert services.wakeups.list_accounts() == []


def test_what_was_said_in_the_clear_is_forgotten(smtp):
    """RFC 3207 §4.2: EHLO comes again."""
    wire = Wire(smtp.submission_port)
    wire.ask(b"EHLO poste")
    wire.start_tls(client_context())
    assert wire.ask(b"AUTH PLAIN").startswith(b"503-5.5.1 ")
    wire.close()


def test_the_sending_is_in_the_senders_log(smtp, client):
    with smtp.node.services.store.database.read() as connection:
        before = len(connection.execute(schema.log_entry.select()).all())
    client.sendmail(OURS, [OTHER], letter(OURS, OTHER, "logged"))
    with smtp.node.services.store.database.read() as connection:
        assert len(connection.execute(schema.log_entry.select()).all()) == before + 1


def test_silent_handshakes_are_counted(operators):
    """S4: who connects to 465 and says nothing is counted before TLS is up; a client that speaks still gets in."""
    with running_smtp(operators[0], connections_per_address=2) as running, contextlib.ExitStack() as held:
        place = ("127.0.0.1", running.submissions_port)
        silent = [held.enter_context(socket.create_connection(place, 20)) for _ in range(3)]
        with contextlib.suppress(ConnectionResetError):
            assert silent[2].recv(1) == b""
        spoken = held.enter_context(client_context().wrap_socket(silent[0]))
        assert spoken.recv(100).startswith(b"220 ")
