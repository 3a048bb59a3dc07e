"""Object identifiers keep to the alphabet and the advice of RFC 8474 §8.1."""

import re

import pytest

from mailserver.imap.object_ids import code_mailbox_id, format_email_id, format_mailbox_id

IDS = [bytes(16), bytes(range(16)), b"\xff" * 16]


@pytest.mark.parametrize("identifier", IDS)
def test_ids_are_legal(identifier: bytes) -> None:
    email, mailbox = format_email_id(identifier), format_mailbox_id(identifier)
    assert re.fullmatch(rb"\(M[0-9a-f]{32}\)", email)
    assert re.fullmatch(rb"\(F[0-9a-f]{32}\)", mailbox)
    assert code_mailbox_id(identifier) == b"MAILBOXID " + mailbox


def test_ids_differ_without_their_case() -> None:
    assert len({format_email_id(each).lower() for each in IDS}) == len(IDS)
