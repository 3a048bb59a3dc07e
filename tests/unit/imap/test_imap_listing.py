"""LIST: patterns, selections, superiors that are no mailbox, and that no pattern takes long."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.imap.commands import List, ListReturn, ListSelection
from mailserver.imap.listing import (
    Named,
    find_role,
    list_names,
    list_subscribed,
    superiors,
    xlist_attributes,
)
from mailserver.model.account import Role

TREE = [Named("INBOX"), Named("Sent", Role.SENT), Named("a"), Named("a/b"), Named("a/b/c"), Named("x/y")]


def listed(tree: list[Named], *patterns: str, reference: str = "", options: str = "", **more) -> list[str]:
    """Responses as one word each: the name, its attributes by their first letters, its CHILDINFO."""
    selection = frozenset(map(ListSelection, options.split()))
    return [
        each.name + "".join(f" {word}" for word in (*each.attributes, *each.child_info))
        for each in list_names(tree, List(reference, patterns, selection, **more))
    ]


def names(lines: list[str]) -> str:
    return " ".join(line.split()[0] for line in lines)


@pytest.mark.parametrize(
    ("reference", "pattern", "found"),
    [
        ("", "*", "INBOX Sent a a/b a/b/c x x/y"),
        ("", "%", "INBOX Sent a x"),
        ("a/", "%", "a/b"),
        ("", "a/%", "a/b"),
        ("", "a/*", "a/b a/b/c"),
        ("", "%/%", "a/b x/y"),
        ("", "*c", "a/b/c"),
        ("", "inbox", "INBOX"),
        ("", "sent", ""),
        ("", "*%", "INBOX Sent a a/b a/b/c x x/y"),
        ("", "a*b", "a/b"),
        ("", "%b", ""),
        ("x", "/y", "x/y"),
    ],
)
def test_patterns(reference: str, pattern: str, found: str) -> None:
    assert names(listed(TREE, pattern, reference=reference)) == found


def test_attributes() -> None:
    assert listed(TREE, "Sent") == ["Sent \\Sent \\HasNoChildren"]
    assert listed(TREE, "a") == ["a \\HasChildren"]
    assert listed(TREE, "x") == ["x \\Noselect \\HasChildren"]
    assert listed(TREE, "x", is_extended=True) == ["x \\NonExistent \\HasChildren"]
    told = {"returns": frozenset({ListReturn.SUBSCRIBED}), "is_extended": True}
    assert listed([Named("b"), Named("c", is_subscribed=False)], "*", **told) == [
        "b \\Subscribed \\HasNoChildren",
        "c \\HasNoChildren",
    ]


def test_several_patterns_give_each_name_once() -> None:
    assert names(listed(TREE, "a/%", "", "a*", "INBOX", is_extended=True)) == "INBOX a a/b a/b/c"
    assert listed(TREE, "", is_extended=True) == []


def subscribed(*chosen: str) -> list[Named]:
    """The tree of RFC 5258 §5, example 9; what is subscribed there unless told."""
    tree = "foo2 foo2/bar1 foo2/bar2 baz2 baz2/bar2 baz2/bar22 baz2/bar222 eps2 eps2/mamba qux2/bar2".split()
    return [Named(name, is_subscribed=name in chosen) for name in tree]


EXAMPLE_9 = "foo2/bar1 foo2/bar2 baz2/bar2 baz2/bar22 baz2/bar222 eps2 eps2/mamba qux2/bar2".split()


@pytest.mark.parametrize(
    ("pattern", "options", "expected"),
    [
        ("*", "SUBSCRIBED", EXAMPLE_9),
        (
            "*2",
            "SUBSCRIBED RECURSIVEMATCH",
            ["foo2+", "foo2/bar2", "baz2/bar2", "baz2/bar22", "baz2/bar222", "eps2+", "qux2/bar2"],
        ),
        ("%", "SUBSCRIBED RECURSIVEMATCH", ["foo2+", "baz2+", "eps2+", "qux2+"]),
        ("%", "SUBSCRIBED", ["eps2"]),
        ("%", "SUBSCRIBED REMOTE", ["eps2"]),
    ],
)
def test_recursive_match(pattern: str, options: str, expected: list[str]) -> None:
    found = listed(subscribed(*EXAMPLE_9), pattern, options=options, is_extended=True)
    assert [line.split()[0] + "+" * line.endswith(" SUBSCRIBED") for line in found] == expected


def test_a_subscribed_name_without_a_mailbox() -> None:
    """RFC 5258 §5, examples 2, 8 A2 and 10."""
    tree = [Named("foo", is_subscribed=False), Named("foo/bar", exists=False)]
    assert listed(tree, "*", options="SUBSCRIBED", is_extended=True) == [
        "foo/bar \\NonExistent \\Subscribed \\HasNoChildren"
    ]
    assert listed(tree, "*", is_extended=True) == ["foo \\HasNoChildren"]
    recursive = {"options": "SUBSCRIBED RECURSIVEMATCH", "is_extended": True}
    assert listed(tree, "foo", **recursive) == ["foo \\HasNoChildren SUBSCRIBED"]
    assert listed([Named("a/b", exists=False)], "%", **recursive) == [
        "a \\NonExistent \\HasNoChildren SUBSCRIBED"
    ]


def test_special_use_selects() -> None:
    tree = [Named("INBOX", Role.INBOX), Named("a", is_subscribed=False), Named("a/Sent", Role.SENT, False)]
    assert listed(tree, "*", options="SPECIAL-USE", is_extended=True) == ["a/Sent \\Sent \\HasNoChildren"]
    assert listed(tree, "*", options="SPECIAL-USE SUBSCRIBED", is_extended=True) == []
    assert listed(tree, "%", options="SPECIAL-USE RECURSIVEMATCH", is_extended=True) == [
        "a \\HasChildren SPECIAL-USE"
    ]


def test_status_belongs_to_what_was_chosen_and_exists() -> None:
    tree = [
        Named("a", is_subscribed=False),
        Named("a/b"),
        Named("c", exists=False),
        Named("x/y", Role.NONE, False),
    ]
    chosen = frozenset({ListSelection.SUBSCRIBED, ListSelection.RECURSIVEMATCH})
    found = list_names(tree, List("", ("%", "a/%"), chosen, is_extended=True))
    assert [(each.name, each.is_selectable) for each in found] == [("a/b", True), ("c", False)]
    found = list_names(tree, List("", ("%",)))
    assert [(each.name, each.is_selectable) for each in found] == [("a", True), ("x", False)]


def test_subscribed_superior_is_shown_for_its_inferior() -> None:
    tree = [Named("a", is_subscribed=False), Named("a/b"), Named("c", is_subscribed=False)]
    assert list_subscribed(tree, "", "%") == [(["\\Noselect"], "a")]
    assert list_subscribed(tree, "", "*") == [([], "a/b")]


def test_xlist_has_its_own_spelling() -> None:
    tree = [Named("INBOX", Role.INBOX), Named("Junk", Role.JUNK), Named("Sent", Role.SENT)]
    found = {each.name: xlist_attributes(each) for each in list_names(tree, List("", ("*",)))}
    assert found == {
        "INBOX": ("\\HasNoChildren", "\\Inbox"),
        "Junk": ("\\Spam", "\\HasNoChildren"),
        "Sent": ("\\Sent", "\\HasNoChildren"),
    }


def test_a_pattern_and_a_name_meet_in_either_form_of_unicode() -> None:
    assert names(listed([Named("\u00e9")], "e\u0301")) == "\u00e9"


def test_many_wildcards_are_cheap() -> None:
    tree = [Named("a" * 900)] * 20
    before = time.process_time()
    assert not listed(tree, "*a" * 400 + "b")
    assert time.process_time() - before < 5


def test_roles() -> None:
    assert find_role("\\dRAFTS") is Role.DRAFTS
    assert find_role("\\All") is None


level = st.sampled_from("abc")
trees = st.lists(
    st.builds(
        Named,
        st.lists(level, min_size=1, max_size=3).map("/".join),
        st.sampled_from([Role.NONE, Role.SENT]),
        st.booleans(),
        st.booleans(),
    ),
    unique_by=lambda each: each.name,
)
base = st.sets(st.sampled_from([ListSelection.SUBSCRIBED, ListSelection.SPECIAL_USE]), min_size=1)


@given(trees, base, st.lists(st.sampled_from(["*", "%", "a/%", "%/b", "*c"]), min_size=1))
def test_recursive_match_adds_only_superiors_with_something_hidden(tree, selection, patterns) -> None:
    """Against RFC 5258 §3.3, read literally."""
    plain = {each.name: each for each in list_names(tree, List("", tuple(patterns), frozenset(selection)))}
    both = frozenset({*selection, ListSelection.RECURSIVEMATCH})
    deep = {each.name: each for each in list_names(tree, List("", tuple(patterns), both))}
    everything = {each.name for each in list_names(tree, List("", ("*",), frozenset(selection)))}
    assert plain.keys() <= deep.keys()
    for name, each in deep.items():
        below = {other for other in everything if name in superiors(other)}
        assert bool(each.child_info) == bool(below)
        assert name in plain or below - plain.keys()
