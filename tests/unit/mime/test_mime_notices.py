"""Notices about sent messages: every spelling that is known to be written, and what is no notice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.mime.mime_messages import crlf, scan

from mailserver.mime.notices import MessageNotice, find_notice
from mailserver.model.notice import NoticeState

ORIGINAL_ID = "<lettre.1@a.localhost>"
MODE = "automatic-action/MDN-sent-automatically"
GOOD = f"Disposition: {MODE}; processed"
MDN_FIELDS = (
    f"Final-Recipient: rfc822; lou@b.localhost\nOriginal-Message-ID: {ORIGINAL_ID}\n{{disposition}}\n{{more}}"
)


def mdn(disposition: str = GOOD, more: str = "", **parts: str) -> bytes:
    """A disposition notification; ``parts`` replace its pieces."""
    fields = parts.get("fields", MDN_FIELDS.format(disposition=disposition, more=more))
    return crlf(
        f"From: lou@b.localhost\nSubject: {parts.get('subject', 'Lettre')}\n{parts.get('head', '')}"
        f"Content-Type: {parts.get('report', 'multipart/report; report-type=disposition-notification; boundary=b')}\n\n"
        f"--b\nContent-Type: text/plain\n\nTexte\n"
        f"--b\nContent-Type: {parts.get('machine', 'message/disposition-notification')}\n\n{fields}\n"
        f"{parts.get('original', '')}--b--\n"
    )


def dsn(
    groups: str, head: str = "", original: str | None = None, machine: str = "message/delivery-status"
) -> bytes:
    if original is None:
        original = f"--b\nContent-Type: text/rfc822-headers\n\nSubject: x\nMessage-ID: {ORIGINAL_ID}\n\n"
    return crlf(
        f"From: MAILER-DAEMON@b.localhost\n{head}Content-Type: multipart/report; report-type=delivery-status; boundary=b"
        f"\n\n--b\n\nTexte\n--b\nContent-Type: {machine}\n\nReporting-MTA: dns; mx.b.localhost\n"
        f"Original-Envelope-Id: E1\n\n{groups}\n{original}--b--\n"
    )


def read(octets: bytes) -> MessageNotice | None:
    return find_notice(scan(octets), lambda start, stop: octets[start:stop])


def outcome(octets: bytes) -> tuple[NoticeState, int]:
    found = read(octets)
    assert found is not None
    assert found.original_id == ORIGINAL_ID
    (news,) = found.news
    assert [str(each) for each in news.names] == ["lou@b.localhost"]
    return news.state, news.code


FAILED = NoticeState.FAILED


@pytest.mark.parametrize(
    ("disposition", "more", "expected"),
    [
        (GOOD, "", (NoticeState.PROCESSED, 0)),
        (f"Disposition: {MODE};processed", "", (NoticeState.PROCESSED, 0)),
        (f"DISPOSITION : {MODE.upper()} ; Processed ", "", (NoticeState.PROCESSED, 0)),
        (f"Disposition: {MODE};\n processed", "", (NoticeState.PROCESSED, 0)),
        (f"Disposition: {MODE};\n\tprocessed;", "", (NoticeState.PROCESSED, 0)),
        ("Disposition: processed", "", (NoticeState.PROCESSED, 0)),
        (
            f"Disposition: {MODE}; dispatched",
            "X-DIRECT-FINAL-DESTINATION-DELIVERY:\n",
            (NoticeState.DISPATCHED, 0),
        ),
        ("Disposition: manual-action/MDN-sent-manually; displayed", "", (NoticeState.DISPLAYED, 0)),
        ("Disposition: manual-action/MDN-sent-manually; deleted", "", (NoticeState.DELETED, 0)),
        ("Disposition: automatic-action/MDN-sent-automatically; failed", "", (FAILED, 0)),
        (f"Disposition: {MODE}; processed/warning", "Warning: odd\n", (NoticeState.PROCESSED, 0)),
        (f"Disposition: {MODE}; displayed/superseded", "", (NoticeState.DISPLAYED, 0)),
        # the national guide, version 1.1.2
        (f"Disposition: {MODE}; processed/Error: 902^Patient inconnu", "", (FAILED, 902)),
        (f"Disposition: {MODE}; processed/Error: 904^Patient; oui / non, error", "", (FAILED, 904)),
        ("Disposition: processed/Error: 904^a;b", "", (FAILED, 904)),
        (f"Disposition: {MODE};\n processed/Error:\n 903^INS absente^HL7^E", "", (FAILED, 903)),
        (f"Disposition: {MODE};processed/ERROR:900^Version", "", (FAILED, 900)),
        # version 1.1.3
        (f"Disposition: {MODE}; processed/error", "Error: 902^Patient inconnu\n", (FAILED, 902)),
        (f"Disposition: {MODE}; processed / error", "error:905^INS\n", (FAILED, 905)),
        (f"Disposition: {MODE}; processed/warning,error", "Error: 906\n", (FAILED, 906)),
        # a failure that only its field tells (RFC 8098 §3.2.7), and one without any code
        (f"Disposition: {MODE}; processed", "Error: 901^Auteur\n", (FAILED, 901)),
        (f"Disposition: {MODE}; processed", "Failure: corrupted\n", (FAILED, 0)),
        (f"Disposition: {MODE}; processed/failure", "", (FAILED, 0)),
        (f"Disposition: {MODE}; processed/error", "Error: 9022^x\n", (FAILED, 0)),
        (f"Disposition: {MODE}; processed/error", "Error: 907^x\n", (FAILED, 0)),
        # IHE
        ("Disposition: automatic-action/MDN-sent-automatically; deleted/error", "", (FAILED, 0)),
    ],
)
def test_what_became_of_it(disposition: str, more: str, expected: tuple[NoticeState, int]) -> None:
    assert outcome(mdn(disposition, more)) == expected


@pytest.mark.parametrize(
    ("subject", "code"),
    [
        ("[KO Intégration système !][902] XDM/1.0/DDM+CR", 902),
        ("=?utf-8?q?=5BKO_Int=C3=A9gration_syst=C3=A8me_!=5D=5B904=5D_XDM?=", 904),
        ("[Erreur d'intégration !][905] XDM/1.0/DDM+CR", 905),
        ("Dossier [902]", 0),
    ],
)
def test_a_code_that_only_the_subject_has(subject: str, code: int) -> None:
    assert outcome(mdn(f"Disposition: {MODE}; processed/error", subject=subject)) == (FAILED, code)


def test_a_subject_alone_makes_no_failure() -> None:
    assert outcome(mdn(subject="[KO Intégration système !][902] x")) == (NoticeState.PROCESSED, 0)


@pytest.mark.parametrize(
    "parts",
    [
        {"report": 'MULTIPART/Report; Boundary="b"'},
        {"report": "multipart/report;report-type=disposition-notification;boundary=b"},
        {"report": "multipart/report; report-type=delivery-status; boundary=b"},
        {"machine": "Message/Disposition-Notification; name=MDNPart2.txt"},
        {"machine": "message/global-disposition-notification"},
        {"fields": f"Final-Recipient:RFC822;<lou@b.localhost>\nOriginal-Message-ID:{ORIGINAL_ID}\n{GOOD}\n"},
        {"fields": f"\n\nFinal-Recipient: lou@b.localhost\n{GOOD}\noriginal-message-id:\n {ORIGINAL_ID}\n"},
        {
            "fields": f"Original-Recipient: rfc822;lou@b.localhost\nFinal-Recipient: rfc822; lou@b.localhost\n{GOOD}\n"
            f"Original-Message-ID: {ORIGINAL_ID}\n"
        },
        {
            "fields": f"Final-Recipient: rfc822; lou@b.localhost\n{GOOD}\n",
            "original": f"--b\nContent-Type: message/rfc822\n\nmessage-id:\n {ORIGINAL_ID}\nSubject: x\n\nCorps\n",
        },
        {
            "fields": f"Final-Recipient: rfc822; lou@b.localhost\n{GOOD}\n",
            "original": f"--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: {ORIGINAL_ID}\n",
        },
        {
            "fields": f"Final-Recipient: rfc822; lou@b.localhost\n{GOOD}\n",
            "head": f"In-Reply-To: {ORIGINAL_ID}\n",
        },
    ],
)
def test_every_shape(parts: dict[str, str]) -> None:
    assert outcome(mdn(**parts)) == (NoticeState.PROCESSED, 0)


def test_inside_another_multipart() -> None:
    report = mdn().partition(b"\r\n")[2].partition(b"\r\n")[2]
    octets = (
        crlf("From: x@b.localhost\nContent-Type: multipart/mixed; boundary=m\n\n--m\n\nAvis\n--m\n") + report
    )
    assert outcome(octets + b"\r\n--m--\r\n") == (NoticeState.PROCESSED, 0)


def test_encoded() -> None:
    fields = "RmluYWwtUmVjaXBpZW50OiByZmM4MjI7IGxvdUBiLmxvY2FsaG9zdA0KRGlzcG9zaXRpb246IGE7IGRpc3BsYXllZA0K"
    parts = {
        "machine": "message/disposition-notification\nContent-Transfer-Encoding: base64",
        "fields": fields,
    }
    assert outcome(mdn(head=f"In-Reply-To: {ORIGINAL_ID}\n", **parts)) == (NoticeState.DISPLAYED, 0)


def test_a_forwarded_recipient_has_both_names() -> None:
    fields = (
        "Final-Recipient: rfc822; appli@c.localhost\nOriginal-Recipient: rfc822; lou@b.localhost\n"
        f"Original-Message-ID: {ORIGINAL_ID}\n{GOOD}\n"
    )
    found = read(mdn(fields=fields))
    assert found is not None
    assert [str(each) for each in found.news[0].names] == ["lou@b.localhost", "appli@c.localhost"]
    assert str(found.news[0].original) == "lou@b.localhost"


def test_the_original_recipient_is_stated_once_or_not_at_all() -> None:
    for stated in (
        "",
        "Original-Recipient: rfc822; a@b.localhost\nOriginal-Recipient: rfc822; lou@b.localhost\n",
    ):
        fields = f"Final-Recipient: rfc822; appli@c.localhost\n{stated}Original-Message-ID: {ORIGINAL_ID}\n{GOOD}\n"
        found = read(mdn(fields=fields))
        assert found is not None
        assert found.news[0].original is None


def test_without_any_recipient_it_is_still_one() -> None:
    found = read(mdn(fields=f"{GOOD}\nOriginal-Message-ID: {ORIGINAL_ID}\n"))
    assert found is not None
    assert found.news[0].names == ()


@pytest.mark.parametrize(
    "octets",
    [
        mdn("Disposition: automatic-action/MDN-sent-automatically"),
        mdn("Disposition:"),
        mdn("Disposition: a; vanished"),
        mdn("Disposition: a; denied"),
        mdn(""),
        mdn(GOOD, GOOD + "\n"),
        mdn(fields=f"Final-Recipient: rfc822; lou@b.localhost\n{GOOD}\n"),
        mdn(fields=f"{GOOD}\nOriginal-Message-ID: lettre.1\n"),
        mdn(report="multipart/mixed; boundary=b"),
        mdn(report="multipart/report; boundary=c"),
        mdn(machine="text/plain"),
        mdn(original=f"--b\nContent-Type: message/disposition-notification\n\n{GOOD}\n"),
        mdn(fields="X: y\n" * 20000),
        mdn(
            fields=f"{GOOD}\n",
            original="--b\nContent-Type: message/rfc822\n\nMessage-ID: <a@x>\nMessage-ID: <b@x>\n\nCorps\n",
        ),
        b"From: x@b.localhost\r\nSubject: Lu : Lettre\r\n\r\nVotre message a \xc3\xa9t\xc3\xa9 lu.\r\n",
        b"From: x@b.localhost\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n"
        b"Content-Type: message/rfc822\r\n\r\n" + mdn() + b"--m--\r\n",
        dsn(""),
        dsn("Final-Recipient: rfc822; lou@b.localhost\n"),
        dsn("Final-Recipient: rfc822; lou@b.localhost\nAction: delayed\nStatus: 4.4.1\n"),
        dsn("Final-Recipient: nobody\nAction: failed\n"),
        dsn("Final-Recipient: rfc822; lou@b.localhost\nAction: failed\nAction: delivered\n"),
        dsn("Final-Recipient: rfc822; lou@b.localhost\nAction: failed\n", original=""),
    ],
)
def test_no_notice(octets: bytes) -> None:
    assert read(octets) is None


@pytest.mark.parametrize(
    ("action", "state"),
    [
        ("failed", FAILED),
        ("Failed (mailbox is full)", FAILED),
        ("delivered", NoticeState.DELIVERED),
        ("RELAYED", NoticeState.RELAYED),
        ("expanded", NoticeState.RELAYED),
    ],
)
def test_reports_of_delivery(action: str, state: NoticeState) -> None:
    octets = dsn(f"Final-Recipient: rfc822;lou@b.localhost\nAction: {action}\nStatus: 5.1.1\n")
    assert outcome(octets) == (state, 0)
    found = read(octets)
    assert found is not None
    assert not found.is_disposition


def test_each_recipient_of_a_report() -> None:
    octets = dsn(
        "Original-Recipient: rfc822; chef@b.localhost\nFinal-Recipient: rfc822; lou@b.localhost\nAction: failed\n\n \n"
        "Final-Recipient: utf-8; zoé@b.localhost\nAction: delayed\n\n"
        "Final-Recipient: rfc822; eli@b.localhost\nACTION: delivered\n"
    )
    found = read(octets)
    assert found is not None
    assert [([str(name) for name in each.names], each.state) for each in found.news] == [
        (["chef@b.localhost", "lou@b.localhost"], FAILED),
        (["eli@b.localhost"], NoticeState.DELIVERED),
    ]
    assert "lou" not in repr(found)


def test_at_most_so_many_recipients_are_read() -> None:
    groups = "\n".join(f"Final-Recipient: rfc822; n{n}@b.localhost\nAction: failed\n" for n in range(300))
    found = read(dsn(groups))
    assert found is not None
    assert len(found.news) == 200


LINE = st.sampled_from(
    [
        GOOD,
        "Disposition: a; deleted/error",
        "Error: 902^x",
        " folded",
        "",
        "Action: failed",
        "a",
        "\t;",
        "é",
        "Final-Recipient: rfc822; lou@b.localhost",
        "Original-Message-ID: <x@y>",
        "--b",
        "--b--",
        "Content-Type: a/b",
    ]
)


@given(st.lists(LINE, max_size=12), st.booleans(), st.binary(max_size=40))
def test_whatever_it_holds_nothing_is_raised(lines: list[str], is_mdn: bool, tail: bytes) -> None:
    text = "\n".join(lines)
    found = read((mdn(fields=text) if is_mdn else dsn(text)) + tail)
    assert found is None or (found.original_id and found.news)
