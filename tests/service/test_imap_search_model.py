"""Whatever is delivered, copied, moved and expunged: with the index and without it a search finds the same messages."""

from collections.abc import Iterator
from itertools import count

import pytest
from harness.imap_harness import ImapNode, make_node
from harness.imap_session import open_session, scan, search
from hypothesis import given, settings
from hypothesis import strategies as st

from mailserver.imap import text_candidates
from mailserver.imap.search_keys import AndKey, EveryKey, HeaderKey, NotKey, OrKey, SearchKey, TextKey
from mailserver.imap.session import Session
from mailserver.model.account import Role
from mailserver.service import text_segment
from mailserver.service.keys import OpenAccount

ROLES = (Role.INBOX, Role.ARCHIVE)
_names = count()

WORDS = st.text(alphabet="abé œ\u0301ſ\nΣ", max_size=8)
LETTERS = st.tuples(st.sampled_from(["", "a", "Réf é", "œb"]), st.sampled_from(["utf-8", "utf-16"]), WORDS)
NEEDLES = st.builds(TextKey, st.text(alphabet="abeé os\r\n:", max_size=3), st.booleans())
KEYS: st.SearchStrategy[SearchKey] = st.recursive(
    NEEDLES | st.builds(HeaderKey, st.just("subject"), st.sampled_from("ab")) | st.just(EveryKey()),
    lambda inner: (
        st.builds(NotKey, inner)
        | st.builds(OrKey, inner, inner)
        | st.builds(AndKey, st.lists(inner, min_size=1, max_size=3).map(tuple))
    ),
    max_leaves=4,
)
BOXES = st.sampled_from(ROLES)
SOME = st.integers(1, 2**14 - 1)
"""Which of the first fourteen messages, as bits."""
STEPS = st.one_of(
    st.tuples(st.just("deliver"), st.lists(LETTERS, min_size=1, max_size=6)),
    st.tuples(st.just("expunge"), BOXES, SOME),
    st.tuples(st.just("copy"), BOXES, SOME),
    st.tuples(st.just("move"), BOXES, SOME),
    st.tuples(st.just("search"), BOXES, KEYS),
    st.tuples(st.just("search"), BOXES, NEEDLES),
    st.tuples(st.just("late search"), BOXES, KEYS),
)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImapNode]:
    node = make_node(tmp_path_factory.mktemp("model"))
    yield node
    node.close()


def letter(subject: str, charset: str, body: str) -> bytes:
    head = f"Subject: {subject}\r\nContent-Type: text/plain; charset={charset}\r\n"
    if charset == "utf-16":
        return head.encode() + b"Content-Transfer-Encoding: 8bit\r\n\r\n" + body.encode("utf-16")
    return f"{head}\r\n{body}".replace("\n", "\r\n").replace("\r\r", "\r").encode()


class Stage:
    """One account and what is done to it."""

    def __init__(self, node: ImapNode) -> None:
        self._node = node
        self._name = f"doc{next(_names)}"
        node.add(self._name)
        self._account: OpenAccount = node.open(self._name)
        self._boxes = {role: node.services.mailboxes.load_by_role(self._account, role) for role in ROLES}
        self._old: dict[Role, Session] = {}

    def do(self, step: tuple) -> None:
        messages, boxes = self._node.services.messages, self._boxes
        match step:
            case ("deliver", letters):
                self._node.deliver(self._name, *[letter(*each) for each in letters])
            case ("expunge", role, bits):
                messages.expunge(self._account, boxes[role].mailbox_id, self._ranges(role, bits))
            case ("copy" | "move" as verb, role, bits):
                other = ROLES[1 - ROLES.index(role)]
                places = (boxes[role].mailbox_id, boxes[other].mailbox_id)
                transfer = messages.move if verb == "move" else messages.copy
                transfer(self._account, places, self._ranges(role, bits), 1)
            case ("search", role, key):
                self._old[role] = self._open(role)
                self._compare(self._old[role], key)
            case ("late search", role, key):
                self._compare(self._old.get(role) or self._open(role), key)

    def _compare(self, session: Session, key: SearchKey) -> None:
        expected = scan(session, key)
        assert search(session, key) == expected
        assert search(session, key) == expected

    def _open(self, role: Role) -> Session:
        return open_session(self._node, self._account, self._boxes[role])

    def _ranges(self, role: Role, bits: int) -> list[tuple[int, int]]:
        uids = self._open(role).open_mailbox().view.uids
        return [(uid, uid) for at, uid in enumerate(uids) if bits >> at & 1]


@settings(max_examples=25)
@given(st.lists(STEPS, min_size=3, max_size=14))
def test_with_the_index_and_without(node: ImapNode, steps: list[tuple]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for module in (text_candidates, text_segment):
            patch.setattr(module, "SEGMENT_BYTES", 160)
        patch.setattr(text_candidates, "KEPT_BYTES", 400)
        patch.setattr(text_candidates, "OPENED_BYTES", 5000)
        patch.setattr(text_candidates, "LEAST_ITEMS", 2)
        stage = Stage(node)
        stage.do(("deliver", [("a", "utf-8", "ab"), ("", "utf-8", "é œ")]))
        for step in steps:
            stage.do(step)
