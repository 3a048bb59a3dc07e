"""NOTIFY's news of many mailboxes at once."""

import sys
from types import SimpleNamespace

from mailserver.imap.commands import Notify, NotifyEvent, NotifyFilter, NotifyGroup
from mailserver.imap.notifier import Notifier
from mailserver.model.account import Role

MOST = 2000
NAMES = Notify((NotifyGroup(NotifyFilter.PERSONAL, (), frozenset({NotifyEvent.MAILBOX_NAME})),))


def mailboxes(*names):
    row = SimpleNamespace(uidvalidity=1, exists_count=0, uidnext=1, unseen_count=0, highestmodseq=1)
    info = SimpleNamespace(row=row, entries=(), server_entries=(), is_subscribed=False)
    account = SimpleNamespace(member=None)
    return [
        SimpleNamespace(mailbox_id=at, name=name, role=Role.NONE, may_read=True, account=account, info=info)
        for at, name in enumerate(names)
    ]


def news(before, after):
    """The responses, and how many calls they took."""
    notifier = Notifier(NAMES)
    notifier.learn(mailboxes(*before))
    calls = 0

    def count(_frame, event, _argument):
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        told = notifier.format_news(mailboxes(*after), None, set())
    finally:
        sys.setprofile(None)
    return told, calls


def test_a_tree_that_moves_is_told_once():
    told, _calls = news(["a", "a/b", "a/b/c", "d"], ["x", "x/b", "x/b/c", "d"])
    assert told == [b'* LIST (\\HasChildren) "/" x ("OLDNAME" (a))\r\n']


def test_names_far_apart_are_told_each():
    told, _calls = news(["a/b", "a/c"], ["x/b", "y"])
    assert told == [
        b'* LIST (\\HasNoChildren) "/" x/b ("OLDNAME" (a/b))\r\n',
        b'* LIST (\\HasNoChildren) "/" y ("OLDNAME" (a/c))\r\n',
    ]


def test_the_work_grows_with_the_mailboxes_and_not_with_their_square():
    """The event loop does it, for everybody: one person's 2000 mailboxes take no second of the others'."""
    before, after = ([f"{top}/{at}" for at in range(MOST)] for top in ("a", "b"))
    told, calls = news(before, after)
    assert len(told) == MOST
    assert calls < 200 * MOST
