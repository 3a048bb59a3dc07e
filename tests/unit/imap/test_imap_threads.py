"""Threads by hand: each rule of RFC 5256 §3 REFERENCES and ORDEREDSUBJECT, and what headers may do to them."""

import pytest

from mailserver.imap.threads import (
    STEPS_PER_MESSAGE,
    Threaded,
    Threads,
    format_threads,
    normal_id,
    thread_by_references,
    thread_by_subject,
)


def message(line: str) -> Threaded:
    """``id date subject references…``; ``-`` is none, ``re:`` before a subject marks a reply."""
    name, sent_at, subject, *ancestors = line.split()
    is_reply = subject.startswith("re:")
    text = subject.removeprefix("re:").replace("-", "")
    return Threaded(
        int(sent_at), text, is_reply, name.replace("-", "").encode(), [each.encode() for each in ancestors]
    )


def told(threads: Threads) -> str:
    octets = format_threads(threads, range(1, threads.count + 1))
    assert octets.startswith(b"* THREAD")
    assert octets.endswith(b"\r\n")
    return octets[9:-2].decode()


REFERENCES = {
    "nothing": ([], ""),
    "alone": (["a 1 x"], "(1)"),
    "a chain": (["a 1 x", "b 2 re:x a", "c 3 re:x a b"], "(1 2 3)"),
    "two answers": (["a 1 x", "b 2 re:x a", "c 3 re:x a"], "(1 (2)(3))"),
    "answers by their date, not their number": (["a 1 x", "b 5 re:x a", "c 3 re:x a"], "(1 (3)(2))"),
    "threads by the date of their first": (["a 9 x", "b 1 y"], "(2)(1)"),
    "equal dates keep the mailbox's order": (["a 1 x", "b 1 y", "c 1 z"], "(1)(2)(3)"),
    "an answer before its question": (["b 2 re:x a", "a 1 x"], "(2 1)"),
    "a missing question with one answer": (["b 2 re:x a"], "(1)"),
    "a missing question with two": (["b 2 x a", "c 3 y a"], "((1)(2))"),
    "a missing question within": (["a 1 x", "c 3 re:x a b", "d 4 re:x a b"], "(1 (2)(3))"),
    "a missing chain": (["d 4 x a b c"], "(1)"),
    "a missing chain that two share": (["d 4 x a b c", "e 5 y a b"], "((1)(2))"),
    "dated by its first child": (["x 3 p", "b 5 q a", "c 2 r a"], "((3)(2))(1)"),
    "branches below branches": (
        ["a 1 x", "b 2 re:x a", "c 3 re:x a b", "d 4 re:x a b", "e 5 re:x a"],
        "(1 (2 (3)(4))(5))",
    ),
    "as in RFC 5256 §4": (  # (2)(3 6 (4 23)(44 7 96))
        [
            "m2 1 a",
            "m3 2 b",
            "m6 3 c m3",
            "m4 4 d m3 m6",
            "m44 5 e m3 m6",
            "m7 6 f m3 m6 m44",
            "m23 7 g m3 m6 m4",
            "m96 8 h m3 m6 m44 m7",
        ],
        "(1)(2 3 (4 7)(5 6 8))",
    ),
    # loops
    "itself": (["a 1 x a"], "(1)"),
    "each other": (["a 1 x b", "b 2 y a"], "(2 1)"),
    "in a ring": (["a 1 x c", "b 2 y a", "c 3 z b"], "(3 1 2)"),
    "a ring of missing ones": (["d 1 x a b a", "e 2 y b a b"], "((1)(2))"),
    "its own id among its ancestors": (["a 1 x", "b 2 y a b"], "(1)(2)"),
    # wrong ids
    "two of one id": (["a 1 x", "a 2 y", "b 3 re:x a"], "(1 3)(2)"),
    "two of one id, the second an answer": (["a 1 x", "a 2 re:x a"], "(1 2)"),
    "no ids": (["- 1 x", "- 2 y"], "(1)(2)"),
    "no id, but an answer": (["a 1 x", "- 2 re:x a"], "(1 2)"),
    # 1.B: what a message says of itself counts more than what others say of it
    "its own word counts": (["c 3 z x b", "b 2 y a", "a 1 w"], "(3 2 1)"),
    "a first link is kept for those that say nothing": (["a 1 x", "b 2 y", "c 3 z a b"], "(1 2 3)"),
    "said before it, and taken back by it": (["c 3 z a b", "a 1 x", "b 2 y"], "(2)(3 1)"),
    # 5. subjects
    "one subject, both first": (["a 1 x", "b 2 x"], "((1)(2))"),
    "one subject, three": (["a 1 x", "b 2 x", "c 3 x"], "((1)(2)(3))"),
    "an answer without references": (["a 1 x", "b 2 re:x"], "(1 2)"),
    "an answer older than its question": (["a 5 x", "b 2 re:x"], "(1 2)"),
    "two answers without their question": (["a 1 re:x", "b 2 re:x"], "((1)(2))"),
    "empty subjects stay apart": (["a 1 -", "b 2 -"], "(1)(2)"),
    "only firsts are compared": (["a 1 x", "b 2 y a", "c 3 y"], "(1 2)(3)"),
    "into a dummy": (["b 1 x a", "c 2 x a", "d 3 x"], "((1)(2)(3))"),
    "a dummy takes those before it": (["d 1 x", "b 2 x a", "c 3 x a"], "((1)(2)(3))"),
    "two dummies": (["b 1 x a", "c 2 p a", "e 3 x d", "f 4 q d"], "((1)(2)(3)(4))"),
    "a question found after two answers": (["b 1 re:x", "c 2 re:x", "a 3 x"], "(3 (1)(2))"),
    "merged threads keep their own answers": (
        ["a 1 x", "b 2 re:x a", "c 3 x", "d 4 re:x c"],
        "((1 2)(3 4))",
    ),
    "sorted after they are merged": (["a 5 x", "b 9 re:x a", "c 1 re:x"], "(1 (3)(2))"),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_references(name: str) -> None:
    lines, expected = REFERENCES[name]
    assert told(thread_by_references([message(line) for line in lines])) == expected


SUBJECTS = {
    "nothing": ([], ""),
    "one of each": (["- 2 x", "- 1 y"], "(2)(1)"),
    "two": (["- 1 x", "- 2 re:x"], "(1 2)"),
    "no grandchildren": (["- 1 x", "- 2 re:x", "- 3 re:x", "- 4 re:x"], "(1 (2)(3)(4))"),
    "by date": (["- 3 x", "- 1 re:x", "- 2 x", "- 0 y"], "(4)(2 (3)(1))"),
    "references do not count": (["a 1 x", "b 2 y a"], "(1)(2)"),
    "equal dates keep the mailbox's order": (["- 1 y", "- 1 x", "- 1 x", "- 1 x"], "(1)(2 (3)(4))"),
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_ordered_subject(name: str) -> None:
    lines, expected = SUBJECTS[name]
    assert told(thread_by_subject([message(line) for line in lines])) == expected


def test_numbers_are_what_is_told() -> None:
    threads = thread_by_references([message("a 1 x"), message("b 2 re:x a")])
    assert format_threads(threads, [70, 90]) == b"* THREAD (70 90)\r\n"
    assert format_threads(thread_by_references([]), []) == b"* THREAD\r\n"


def test_quotes_in_an_id() -> None:
    assert normal_id(b'<"01KF8JCEOCBS0045PS"@x.example>') == normal_id(b"<01KF8JCEOCBS0045PS@x.example>")


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_deep_chain(is_reversed: bool) -> None:
    """Deeper than Python recurses; each message names its last twenty ancestors."""
    lines = [
        f"m{at} {at} s{at} " + " ".join(f"m{each}" for each in range(max(0, at - 20), at))
        for at in range(5000)
    ]
    order = range(5000, 0, -1) if is_reversed else range(1, 5001)
    messages = [message(line) for line in (reversed(lines) if is_reversed else lines)]
    assert told(thread_by_references(messages)) == "(" + " ".join(map(str, order)) + ")"


def test_a_comb_of_branches() -> None:
    lines = ["m0 0 s"]
    for at in range(1, 3000):
        lines += [f"m{at} {at} re:s m{at - 1}", f"n{at} {at} re:s m{at - 1}"]
    answer = told(thread_by_references([message(line) for line in lines]))
    assert answer.startswith("(1 (2 (4 (6 (8")
    assert answer.count("(") == answer.count(")")


def test_looking_for_loops_ends() -> None:
    """Many headers that each ask for a long walk: links are given up, messages are not."""
    depth = 2000
    lines = [f"m{at} {at} s{at} m{at - 1}" for at in range(1, depth)]
    # each of these offers a root with a child to the deepest message, so that the whole chain must be looked through
    lines += [f"x{at} {at} t{at} y{at}" for at in range(depth)]
    lines += [f"z{at} {at} u{at} m{depth - 1} y{at}" for at in range(depth)]
    assert depth * depth > STEPS_PER_MESSAGE * len(lines)
    threads = thread_by_references([message(line) for line in lines])
    found = sorted(node for node in _nodes(threads) if node < threads.count)
    assert found == list(range(len(lines)))


def _nodes(threads: Threads) -> list[int]:
    order = list(threads.roots)
    for node in order:
        order += threads.children[node]
    return order
