"""What one session is told, change by change."""

import pytest

from mailserver.imap.sequence_set import SAVED, STAR, SequenceSet, parse_sequence_set
from mailserver.imap.view import Arrived, Dialect, FlagsChanged, MailboxView, Vanished
from mailserver.model.account import Flag
from mailserver.model.errors import Corrupt, NotFound
from mailserver.model.mailbox_columns import parse_columns

SEEN, DELETED = Flag.SEEN, Flag.DELETED


def view(uids=(2, 4, 6, 8), **more):
    return MailboxView(uids, [0] * len(uids), [1] * len(uids), **more)


def told(mailbox, *changes, hold=False, dialect=None):
    return b"".join(mailbox.apply(changes, hold_expunges=hold, dialect=dialect)).decode().splitlines()


@pytest.mark.parametrize(
    ("uids", "flags", "modseqs"), [([1, 1], [0, 0], [1, 1]), ([2, 1], [0, 0], [1, 1]), ([1], [0, 0], [1])]
)
def test_bad_columns(uids, flags, modseqs):
    with pytest.raises(Corrupt) as caught:
        MailboxView(uids, flags, modseqs)
    assert caught.value.code == "bad_columns"


def test_numbers():
    mailbox = view()
    assert (mailbox.exists, mailbox.uid_at(2), mailbox.find_number(6)) == (4, 4, 3)
    assert mailbox.find_number(5) is mailbox.find_number(9) is None
    for number in (0, 5):
        with pytest.raises(NotFound) as caught:
            mailbox.uid_at(number)
        assert caught.value.code == "no_such_message"


def test_sets():
    mailbox = view()
    odd = parse_sequence_set(b"1,3:*", most_ranges=9)
    assert list(mailbox.uids_of(odd, uid=False)) == [2, 6, 8]
    assert list(mailbox.uids_of(odd, uid=True)) == [4, 6, 8]


def test_a_saved_result_follows_the_mailbox():
    """RFC 5182 §2.1."""
    mailbox = MailboxView([2, 4, 6, 8], [0] * 4, [1] * 4)
    assert (list(mailbox.uids_of(SAVED, uid=False)), mailbox.uid_ranges_of(SAVED)) == ([], [])
    mailbox.save_result([3, 0, 2])
    assert list(mailbox.uids_of(SAVED, uid=False)) == [2, 6, 8]
    assert mailbox.runs_of(SAVED, uid=True) == [(0, 1), (2, 4)]
    mailbox.apply([Vanished(6), Arrived(9, 0, 5)], hold_expunges=False)
    assert mailbox.runs_of(SAVED, uid=False) == [(0, 1), (2, 3)]
    mailbox.save_result([])
    assert mailbox.runs_of(SAVED, uid=False) == []
    assert mailbox.uid_ranges_of(SequenceSet(((7, STAR),))) == [(7, 9)]


def test_arrival():
    assert told(view(), Arrived(9, 0, 2)) == ["* 5 EXISTS", "* 1 RECENT"]
    assert told(view(), Arrived(9, 0, 2), dialect=Dialect(with_recent=False)) == ["* 5 EXISTS"]


def test_expunge_comes_highest_first_then_exists():
    assert told(view(), Vanished(2), Arrived(9, 0, 2), Vanished(6)) == [
        "* 3 EXPUNGE",
        "* 1 EXPUNGE",
        "* 3 EXISTS",
        "* 1 RECENT",
    ]


def test_held_expunge_keeps_numbers():
    mailbox = view()
    assert told(mailbox, Vanished(4), hold=True) == []
    assert mailbox.find_number(6) == 3
    assert mailbox.vanished == {4}
    assert told(mailbox, Arrived(9, 0, 2), hold=True) == ["* 5 EXISTS", "* 1 RECENT"]
    assert told(mailbox, FlagsChanged(6, SEEN, 3), FlagsChanged(4, SEEN, 3)) == [
        "* 2 EXPUNGE",
        "* 2 FETCH (FLAGS (\\Seen))",
    ]
    assert list(mailbox.uids) == [2, 6, 8, 9]
    assert list(mailbox.flags) == [0, SEEN, 0, 0]
    assert list(mailbox.modseqs) == [1, 3, 1, 2]
    assert not mailbox.vanished


def test_flags_in_each_dialect():
    mailbox = view(recent_from=8)
    everything = Dialect(with_uid=True, with_modseq=True)
    assert told(mailbox, FlagsChanged(8, SEEN, 5), dialect=everything) == [
        "* 4 FETCH (FLAGS (\\Seen \\Recent) UID 8 MODSEQ (5))"
    ]
    assert mailbox.is_recent(8)
    assert mailbox.recent == 1


def test_same_flags_are_told_only_with_modseq():
    assert told(view(), FlagsChanged(2, 0, 5)) == []
    assert told(view(), FlagsChanged(2, 0, 5), dialect=Dialect(with_modseq=True)) == [
        "* 1 FETCH (FLAGS () MODSEQ (5))"
    ]


def test_own_silent_change_is_not_told():
    mailbox = view()
    mailbox.note_flags([(2, SEEN), (3, SEEN)], 5)
    assert told(mailbox, FlagsChanged(2, SEEN, 5)) == []
    assert told(mailbox, FlagsChanged(2, SEEN | DELETED, 6)) == ["* 1 FETCH (FLAGS (\\Seen \\Deleted))"]


def test_what_a_silent_change_could_not_foresee():
    mailbox = view()
    changed = [(2, SEEN), (4, SEEN | DELETED), (8, SEEN), (99, 0)]
    assert mailbox.note_flags(changed, 5, lambda flags: flags | SEEN) == [4]


def test_old_news_change_nothing():
    mailbox = view()
    told(mailbox, FlagsChanged(2, SEEN, 5))
    assert told(mailbox, FlagsChanged(2, 0, 4), Vanished(3), Vanished(99)) == []


def test_a_vanished_uid_never_comes_back():
    mailbox = view()
    told(mailbox, Vanished(8))
    assert told(mailbox, FlagsChanged(8, SEEN, 5), Arrived(8, SEEN, 5)) == []
    assert mailbox.exists == 3


def test_arrived_and_vanished_unseen():
    mailbox = view()
    assert told(mailbox, Arrived(9, 0, 2), Vanished(9)) == []
    assert told(mailbox, Arrived(10, 0, 3), FlagsChanged(10, SEEN, 4)) == ["* 5 EXISTS", "* 1 RECENT"]


def test_keywords_and_first_unseen():
    mailbox = view(keywords=("mine",))
    assert told(mailbox, FlagsChanged(2, SEEN | 1 << 16, 2)) == ["* 1 FETCH (FLAGS (\\Seen mine))"]
    assert mailbox.first_unseen(SEEN) == 2
    assert view(()).first_unseen(SEEN) is None


def test_empty_mailbox():
    mailbox = view(())
    assert (mailbox.exists, mailbox.recent) == (0, 0)
    assert told(mailbox, Arrived(1, 0, 1)) == ["* 1 EXISTS", "* 1 RECENT"]


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        (lambda one: one.note_flags([(4, SEEN)], 9), [(2, 0, 1), (4, SEEN, 9), (6, 0, 1)]),
        (lambda one: told(one, FlagsChanged(6, DELETED, 9)), [(2, 0, 1), (4, 0, 1), (6, DELETED, 9)]),
        (lambda one: told(one, Arrived(7, 0, 9)), [(2, 0, 1), (4, 0, 1), (6, 0, 1), (7, 0, 9)]),
        (lambda one: told(one, Arrived(7, 0, 9), Vanished(7)), [(2, 0, 1), (4, 0, 1), (6, 0, 1)]),
        (lambda one: told(one, Vanished(4)), [(2, 0, 1), (6, 0, 1)]),
        (
            lambda one: told(one, Vanished(4)) + told(one, FlagsChanged(6, SEEN, 9)),
            [(2, 0, 1), (6, SEEN, 9)],
        ),
    ],
)
def test_views_of_the_same_columns_change_alone(change, rows):
    columns = parse_columns([2, 4, 6], [0] * 3, [1] * 3)
    before = columns.rows()
    one, other = MailboxView.of_columns(columns), MailboxView.of_columns(columns)
    change(one)
    assert list(zip(one.uids, one.flags, one.modseqs, strict=True)) == rows
    assert columns.rows() == list(zip(other.uids, other.flags, other.modseqs, strict=True)) == before


@pytest.mark.parametrize("place", [0, 4095, 4096, 9000])
def test_the_first_unseen_of_many(place):
    flags = [int(SEEN | Flag.FLAGGED)] * 9001
    flags[place] = int(Flag.FLAGGED)
    mailbox = MailboxView(range(1, 9002), flags, [1] * 9001)
    assert mailbox.first_unseen(SEEN) == place + 1
    mailbox.note_flags([(place + 1, SEEN)], 2)
    assert mailbox.first_unseen(SEEN) is None
