"""The receipt of a message that a patient opened."""

from datetime import UTC, datetime

import pytest
from unit.mime.mime_messages import scan

from mailserver.mime.composer import Letter, Person
from mailserver.mime.displayed import Displayed, format_displayed
from mailserver.mime.headers import HeaderBlock
from mailserver.mime.receipts import find_original_id
from mailserver.model.address import parse_address, parse_domain
from mailserver.model.errors import Malformed

READER, SENDER = parse_address("279035121518989@a.localhost"), parse_address("camille@b.localhost")
LETTER = Letter(
    Person(READER),
    (Person(SENDER),),
    "Lu : Résultats",
    "Ouvert.",
    datetime(2026, 3, 2, 9, 0, tzinfo=UTC),
    "<displayed.1@a.localhost>",
)


def displayed(original: str = "<letter@b.localhost>", reader: str = str(READER)) -> bytes:
    told = Displayed(parse_domain("mail.a.localhost"), parse_address(reader), original)
    return format_displayed(LETTER, "nonce12345", told)


def test_it_is_a_receipt_of_its_original() -> None:
    octets = displayed()
    root = scan(octets)
    assert find_original_id(root, lambda start, stop: octets[start:stop]) == "<letter@b.localhost>"
    _text, notification = root.children
    fields = HeaderBlock(octets[notification.body_start : notification.body_end])
    assert fields.find(b"disposition") == b"manual-action/MDN-sent-automatically; displayed"
    assert fields.find(b"final-recipient") == b"rfc822; 279035121518989@a.localhost"
    assert fields.find(b"reporting-ua") == b"mail.a.localhost; Pli"
    assert b"\r\nAuto-Submitted: auto-replied\r\n" in octets
    assert octets == displayed()


def test_an_address_beyond_ascii() -> None:
    assert b"Final-Recipient: utf-8; zo\xc3\xa9@a.localhost" in displayed(reader="zoé@a.localhost")


@pytest.mark.parametrize("original", ["", "letter", "<a@b>\r\nX: y", "<a b@c>"])
def test_an_id_that_cannot_be_written(original: str) -> None:
    with pytest.raises(Malformed):
        displayed(original)


def test_it_says_nothing_of_anybody() -> None:
    assert repr(Displayed(parse_domain("a.localhost"), READER, "<x@y>")) == "Displayed(…)"
