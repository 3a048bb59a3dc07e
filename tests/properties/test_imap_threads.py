"""Threads keep every message once, and are what RFC 5256 §3 says when its steps are taken one by one with objects."""

import re
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from mailserver.imap.threads import Threaded, format_threads, thread_by_references, thread_by_subject

IDS = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f", b""])
MESSAGES = st.lists(
    st.builds(
        Threaded,
        st.integers(0, 4),
        st.sampled_from(["", "x", "y"]),
        st.booleans(),
        IDS,
        st.lists(IDS.filter(bool), max_size=4),
    ),
    max_size=9,
)


@dataclass(eq=False)
class Node:
    number: int | None = None
    message: Threaded | None = None
    parent: "Node | None" = None
    children: "list[Node]" = field(default_factory=list)

    def move_to(self, parent: "Node | None") -> None:
        if self.parent:
            self.parent.children.remove(self)
        self.parent = parent
        if parent:
            parent.children.append(self)

    def is_above(self, other: "Node | None") -> bool:
        while other is not None and other is not self:
            other = other.parent
        return other is self

    @property
    def first(self) -> "Node":
        return self if self.message else self.children[0]

    @property
    def key(self) -> tuple[int, int]:
        return self.first.message.sent_at, self.first.number


def link(messages: list[Threaded]) -> list[Node]:
    nodes = [Node(number, message) for number, message in enumerate(messages, 1)]
    by_id: dict[bytes, Node] = {}
    for node in nodes:
        if node.message.message_id:
            by_id.setdefault(node.message.message_id, node)
    for node in nodes:
        chain = [by_id.setdefault(reference, Node()) for reference in node.message.ancestors]
        for above, below in pairwise(chain):
            if below.parent is None and not below.is_above(above):
                below.move_to(above)
        wanted = chain[-1] if chain else None
        if node.parent is not wanted:
            node.move_to(None)
            if not node.is_above(wanted):
                node.move_to(wanted)
    return list({id(node): node for node in (*nodes, *by_id.values())}.values())


def prune(node: Node, root: Node) -> None:
    for child in list(node.children):
        prune(child, root)
    if node.message is None and node is not root:
        if not node.children:
            node.move_to(None)
        elif node.parent is not root or len(node.children) == 1:
            for child in list(node.children):
                child.move_to(node.parent)
            node.move_to(None)


def merge(root: Node) -> None:
    table: dict[str, Node] = {}
    for node in root.children:
        subject = node.first.message.subject
        if not subject:
            continue
        other = table.setdefault(subject, node)
        if other.message and (node.message is None or (other.message.is_reply and not node.message.is_reply)):
            table[subject] = node
    for node in list(root.children):
        subject = node.first.message.subject
        other = table.get(subject) if subject else None
        if other is None or other is node:
            continue
        if other.message is None and node.message is None:
            for child in list(node.children):
                child.move_to(other)
            node.move_to(None)
        elif other.message is None or (node.message.is_reply and not other.message.is_reply):
            node.move_to(other)
        else:
            dummy = Node()
            dummy.move_to(root)
            other.move_to(dummy)
            node.move_to(dummy)
            table[subject] = dummy


def sort(node: Node) -> None:
    for child in node.children:
        sort(child)
    node.children.sort(key=lambda each: each.key)


def show(node: Node) -> str:
    own = [str(node.number)] if node.message else []
    below = node.children
    if len(below) == 1:
        return " ".join([*own, show(below[0])])
    return " ".join([*own, "".join(f"({show(child)})" for child in below)] if below else own)


def by_steps(messages: list[Threaded]) -> str:
    everything = link(messages)
    root = Node()
    for node in everything:
        if node.parent is None:
            node.move_to(root)
    prune(root, root)
    for node in root.children:
        if node.message is None:
            node.children.sort(key=lambda each: each.key)
    root.children.sort(key=lambda each: each.key)
    merge(root)
    sort(root)
    threads = "".join(f"({show(node)})" for node in root.children)
    return f"* THREAD{' ' if threads else ''}{threads}\r\n"


@given(MESSAGES)
@example([Threaded(1, "x", True), Threaded(0, "x", False)])
def test_references_is_what_the_steps_give(messages: list[Threaded]) -> None:
    told = format_threads(thread_by_references(messages), range(1, len(messages) + 1))
    assert told.decode() == by_steps(messages)


@given(MESSAGES)
def test_every_message_is_told_once(messages: list[Threaded]) -> None:
    numbers = range(10, 10 + len(messages))
    for thread in (thread_by_references, thread_by_subject):
        told = format_threads(thread(messages), numbers).decode()
        assert sorted(map(int, re.findall(r"\d+", told))) == list(numbers)
        assert re.fullmatch(r"\* THREAD( [()0-9 ]+)?\r\n", told)
        assert "()" not in told
        assert "( " not in told
        while "(" in told:  # lists are well formed: members, then none or at least two lists
            told, count = re.subn(r"\((\d+( \d+)*)?( ?L{2,})?\)", "L", told)
            assert count, told


@given(MESSAGES)
def test_one_thread_for_each_subject(messages: list[Threaded]) -> None:
    threads = thread_by_subject(messages)
    assert len(threads.roots) == len({message.subject for message in messages})
    for root in threads.roots:
        below = threads.children[root]
        assert {messages[node].subject for node in below} <= {messages[root].subject}
        assert not any(threads.children[node] for node in below)
        dates = [messages[node].sent_at for node in (root, *below)]
        assert dates == sorted(dates)
