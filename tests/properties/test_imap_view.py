"""MailboxView against a plain model: a client that only reads the responses ends up believing the mailbox."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from mailserver.imap.view import Arrived, Dialect, FlagsChanged, MailboxView, Vanished
from mailserver.model.account import FLAG_NAMES

DIALECT = Dialect(with_uid=True, with_modseq=False, with_recent=True)

steps = st.lists(
    st.tuples(
        st.lists(
            st.tuples(
                st.sampled_from(["arrive", "flag", "vanish", "silent"]),
                st.integers(0, 30),
                st.integers(0, 31),
            ),
            max_size=8,
        ),
        st.booleans(),
    ),
    max_size=12,
)


class Client:
    """Knows only what the wire says: a list of (flags or None when not told yet)."""

    def __init__(self, flags):
        self.flags = list(flags)

    def read(self, response):
        number, word, rest = re.fullmatch(rb"\* (\d+) (\w+)(.*)\r\n", response).groups()
        number = int(number)
        match word:
            case b"EXPUNGE":
                del self.flags[number - 1]
            case b"EXISTS":
                assert number > len(self.flags)
                self.flags += [None] * (number - len(self.flags))
            case b"FETCH":
                names = re.search(rb"FLAGS \(([^)]*)\)", rest)[1].decode().split()
                self.flags[number - 1] = sum(FLAG_NAMES[name] for name in names if name != "\\Recent")
            case b"RECENT":
                assert number <= len(self.flags)


class Mailbox:
    """The truth: UID to flags, as the store would hold it."""

    def __init__(self, count):
        self.flags = {uid: 0 for uid in range(1, count + 1)}
        self.uidnext, self.modseq = count + 1, 1

    def change(self, kind, pick, flags):
        self.modseq += 1
        if kind == "arrive":
            uid, self.uidnext = self.uidnext, self.uidnext + 1 + pick % 3
            self.flags[uid] = flags
            return Arrived(uid, flags, self.modseq)
        if not self.flags:
            return None
        uid = sorted(self.flags)[pick % len(self.flags)]
        if kind == "vanish":
            del self.flags[uid]
            return Vanished(uid)
        self.flags[uid] = flags
        return FlagsChanged(uid, flags, self.modseq)


@settings(deadline=None)  # many steps, on a machine that may be busy
@given(st.integers(0, 6), steps)
def test_a_reading_client_believes_the_mailbox(count, batches):
    mailbox = Mailbox(count)
    view = MailboxView(mailbox.flags, [0] * count, [1] * count)
    client = Client([0] * count)
    for batch, hold in [*batches, ([], False)]:
        changes = []
        for kind, pick, flags in batch:
            change = mailbox.change(kind, pick, flags)
            if kind == "silent" and isinstance(change, FlagsChanged):
                # the session's own change: it knows already, and the feed repeats it
                number = view.find_number(change.uid)
                view.note_flags([(change.uid, change.flags)], change.modseq)
                if number is not None:
                    client.flags[number - 1] = change.flags
            if change is not None:
                changes.append(change)
        responses = view.apply(changes, hold_expunges=hold, dialect=DIALECT)
        kinds = [re.match(rb"\* \d+ (\w+)", response)[1] for response in responses]
        assert kinds == sorted(kinds, key=[b"EXPUNGE", b"EXISTS", b"RECENT", b"FETCH"].index)
        assert not (hold and b"EXPUNGE" in kinds)
        for response in responses:
            client.read(response)
        assert len(client.flags) == view.exists
        assert set(view.uids) - view.vanished == set(mailbox.flags)
    assert list(view.uids) == sorted(mailbox.flags)
    assert list(view.flags) == [mailbox.flags[uid] for uid in view.uids]
    assert all(
        known in {None, mailbox.flags[uid]} for known, uid in zip(client.flags, view.uids, strict=True)
    )


@given(st.sets(st.integers(1, 40)).map(sorted), st.sets(st.integers(1, 40)))
def test_numbers_and_uids_are_inverse(uids, gone):
    view = MailboxView(uids, uids, uids)
    view.apply([Vanished(uid) for uid in gone], hold_expunges=False)
    kept = [uid for uid in uids if uid not in gone]
    assert [view.uid_at(number) for number in range(1, view.exists + 1)] == kept
    assert [view.find_number(uid) for uid in kept] == list(range(1, len(kept) + 1))
    assert list(view.flags) == list(view.modseqs) == kept
