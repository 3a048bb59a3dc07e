"""Threads (RFC 5256 §3): messages as trees, by their subjects alone or by what each one answers.

Nodes are numbers: those below the number of messages are the messages, in mailbox order; the rest are dummies, which
stand for messages that are answered and not there. Nothing recurses, so that no depth is too deep, and work is bounded
whatever the headers say (S4).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

NO_PARENT = -1
STEPS_PER_MESSAGE = 200
"""Steps up a tree that looking for loops may take, on average; a link that would need more is not made."""


class Threaded(NamedTuple):
    """What threading asks of one message; a tuple, because thousands are made. ``subject``: a base subject that compares
    as it is.
    """

    sent_at: int
    subject: str
    is_reply: bool
    message_id: bytes = b""
    ancestors: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Threads:
    """``roots`` in order, and the children of every node, in order. A node from ``count`` on is a dummy root."""

    count: int
    roots: list[int]
    children: list[list[int]]


def normal_id(message_id: bytes) -> bytes:
    """A Message-ID as it compares: quotes that need not be there make no difference (RFC 5256 §3)."""
    return message_id.replace(b'"', b"") if b'"' in message_id else message_id


def thread_by_subject(messages: Sequence[Threaded]) -> Threads:
    """ORDEREDSUBJECT (RFC 5256 §3): one thread for each base subject, all later messages children of its first."""
    order = sorted(range(len(messages)), key=lambda at: messages[at].sent_at)
    first: dict[str, int] = {}
    children: list[list[int]] = [[] for _ in messages]
    for node in order:
        root = first.setdefault(messages[node].subject, node)
        if root != node:
            children[root].append(node)
    return Threads(len(messages), list(first.values()), children)


def thread_by_references(messages: Sequence[Threaded]) -> Threads:
    """REFERENCES (RFC 5256 §3)."""
    count = len(messages)
    # 1. and 2. who answers whom
    parents = _Linker(messages).link()
    roots, children = _invert(parents)
    # 3. dummies, but for those that hold several threads together
    roots = _prune(count, roots, children)
    # 4. threads by the date of their first message
    by_date = [0] * count
    for rank, node in enumerate(sorted(range(count), key=lambda at: messages[at].sent_at)):
        by_date[node] = rank

    def rank_of(node: int) -> int:
        return by_date[node if node < count else children[node][0]]

    for node in roots:
        if node >= count:
            children[node].sort(key=rank_of)
    roots.sort(key=rank_of)
    # 5. threads of one subject
    roots = _merge_subjects(messages, roots, children)
    # 6. every set of siblings by date: only a root can be a dummy, and its first child is known by then
    for siblings in children:
        if len(siblings) > 1:
            siblings.sort(key=rank_of)
    roots.sort(key=rank_of)
    return Threads(count, roots, children)


class _Linker:
    """Steps 1 and 2: links each message to the one it answers, with a dummy where that is missing."""

    def __init__(self, messages: Sequence[Threaded]) -> None:
        self._messages = messages
        self._parents = [NO_PARENT] * len(messages)
        self._has_children = bytearray(len(messages))
        self._steps_left = STEPS_PER_MESSAGE * len(messages)
        self._nodes: dict[bytes, int] = {}
        for node, message in enumerate(messages):
            if message.message_id:  # a second message with that id has none
                self._nodes.setdefault(message.message_id, node)

    def link(self) -> list[int]:
        """The parent of every node, or NO_PARENT."""
        parents = self._parents
        for node, message in enumerate(self._messages):
            # 1.A the chain of what it refers to, where that has no place yet
            last = NO_PARENT
            for reference in message.ancestors:
                current = self._node_of(reference)
                if last != NO_PARENT and parents[current] == NO_PARENT:
                    self._put_under(current, last)
                last = current
            # 1.B its own place, whatever was guessed before
            if parents[node] != last:
                parents[node] = NO_PARENT
                if last != NO_PARENT:
                    self._put_under(node, last)
        return parents

    def _node_of(self, message_id: bytes) -> int:
        node = self._nodes.get(message_id)
        if node is None:
            node = self._nodes[message_id] = len(self._parents)
            self._parents.append(NO_PARENT)
            self._has_children.append(0)
        return node

    def _put_under(self, node: int, parent: int) -> None:
        """Link a node that has no parent, unless it stands above its parent to be, or is it."""
        if node == parent or (self._has_children[node] and self._is_above(node, parent)):
            return
        self._parents[node] = parent
        self._has_children[parent] = 1

    def _is_above(self, node: int, below: int) -> bool:
        parents = self._parents
        above = parents[below]
        while self._steps_left and above not in (NO_PARENT, node):
            self._steps_left -= 1
            above = parents[above]
        return above != NO_PARENT


def _invert(parents: Sequence[int]) -> tuple[list[int], list[list[int]]]:
    roots: list[int] = []
    children: list[list[int]] = [[] for _ in parents]
    for node, parent in enumerate(parents):
        (roots if parent == NO_PARENT else children[parent]).append(node)
    return roots, children


def _prune(count: int, roots: list[int], children: list[list[int]]) -> list[int]:
    """Step 3: a dummy gives its place to its children, except among the roots where it holds several together."""
    for node in reversed(_from_the_top(roots, children)):
        if any(child >= count for child in children[node]):
            children[node] = _without_dummies(count, children[node], children)
    kept: list[int] = []
    for root in roots:
        kept += [root] if root < count or len(children[root]) > 1 else children[root]
    return kept


def _without_dummies(count: int, siblings: Sequence[int], children: Sequence[list[int]]) -> list[int]:
    kept: list[int] = []
    for node in siblings:
        kept += [node] if node < count else children[node]
    return kept


def _from_the_top(roots: Iterable[int], children: Sequence[Sequence[int]]) -> list[int]:
    """Every node, each after its parent."""
    order = list(roots)
    for node in order:
        order += children[node]
    return order


def _merge_subjects(messages: Sequence[Threaded], roots: list[int], children: list[list[int]]) -> list[int]:
    """Step 5: the threads of one base subject become one. Roots come and go in the order of step 4."""
    count = len(messages)

    def first_of(node: int) -> Threaded:
        return messages[node if node < count else children[node][0]]

    table = _subject_table(count, roots, first_of)
    gone: set[int] = set()
    made: list[int] = []
    for node in roots:
        subject = first_of(node).subject
        if not subject or table[subject] == node:
            continue
        other = table[subject]
        gone.add(node)
        if other >= count:
            children[other] += children[node] if node >= count else [node]
        elif first_of(node).is_reply and not first_of(other).is_reply:
            children[other].append(node)
        else:
            gone.add(other)
            table[subject] = len(children)
            made.append(len(children))
            children.append([other, node])
    return [node for node in (*roots, *made) if node not in gone]


def _subject_table(count: int, roots: Iterable[int], first_of: Callable[[int], Threaded]) -> dict[str, int]:
    """Step 5.B: one root for each subject: a dummy if there is one, else one that is no reply, else the first."""
    table: dict[str, int] = {}
    for node in roots:
        first = first_of(node)
        if not first.subject:
            continue
        other = table.setdefault(first.subject, node)
        if (
            other != node
            and other < count
            and (node >= count or (first_of(other).is_reply and not first.is_reply))
        ):
            table[first.subject] = node
    return table


def format_threads(threads: Threads, numbers: Sequence[int]) -> bytes:
    """The THREAD response (RFC 5256 §4, §5 thread-data); ``numbers`` of the messages, or their UIDs.

    A chain of only children stands in one list; where it divides, each branch is a list of its own.
    """
    pieces: list[str] = []
    waiting: list[int | None] = list(reversed(threads.roots))
    while waiting:
        node = waiting.pop()
        if node is None:
            pieces.append(")")
            continue
        below = threads.children[node]
        if not below:  # most messages answer nothing
            pieces.append(f"({numbers[node]})")
            continue
        chain = [str(numbers[node])] if node < threads.count else []
        while len(below) == 1:
            chain.append(str(numbers[below[0]]))
            below = threads.children[below[0]]
        pieces += ("(", " ".join(chain))
        if below and chain:
            pieces.append(" ")
        waiting.append(None)
        waiting += reversed(below)
    return f"* THREAD{' ' if pieces else ''}{''.join(pieces)}\r\n".encode("ascii")
