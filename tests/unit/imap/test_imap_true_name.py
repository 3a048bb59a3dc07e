"""A name that is kept in another spelling than was asked for is told to clients of IMAP4rev2."""

from types import SimpleNamespace

import pytest

from mailserver.imap.session import Session
from mailserver.imap.states import Feature, State
from mailserver.imap.verbs_mailbox import tell_true_name


@pytest.mark.parametrize(
    ("asked", "old_name", "attributes", "line"),
    [
        ("a", "a", (), b""),
        ("e\u0301", "e\u0301", (), '* LIST () "/" "\u00e9" ("OLDNAME" ("e\u0301"))\r\n'.encode()),
        ("inbox/a", "inbox/a", (), b'* LIST () "/" INBOX/a ("OLDNAME" (inbox/a))\r\n'),
        ("b", "a/", (), b'* LIST () "/" b ("OLDNAME" (a/))\r\n'),
        ("a/", "a/", ("\\NonExistent",), b'* LIST (\\NonExistent) "/" a ("OLDNAME" (a/))\r\n'),
    ],
)
def test_true_name(asked: str, old_name: str, attributes: tuple[str, ...], line: bytes) -> None:
    sent: list[bytes] = []
    session = Session(SimpleNamespace(), SimpleNamespace(send=sent.append), "", State.AUTHENTICATED)
    tell_true_name(session, asked, old_name, *attributes)
    assert sent == []
    session.enabled.add(Feature.REV2)
    tell_true_name(session, asked, old_name, *attributes)
    assert b"".join(sent) == line
