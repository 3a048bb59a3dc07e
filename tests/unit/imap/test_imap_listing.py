"""LIST patterns, superiors that are no mailbox, and that no pattern takes long."""

import time

import pytest

from mailserver.imap.listing import Named, find_role, list_names, list_subscribed
from mailserver.model.account import Role

TREE = [Named("INBOX"), Named("Sent", Role.SENT), Named("a"), Named("a/b"), Named("a/b/c"), Named("x/y")]


@pytest.mark.parametrize(
    ("reference", "pattern", "names"),
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
def test_patterns(reference: str, pattern: str, names: str) -> None:
    assert sorted(name for _attributes, name in list_names(TREE, reference, [pattern])) == sorted(
        names.split()
    )


def test_attributes() -> None:
    found = {name: attributes for attributes, name in list_names(TREE, "", ["*"])}
    assert found["Sent"] == ["\\Sent", "\\HasNoChildren"]
    assert found["a"] == ["\\HasChildren"]
    assert found["x"] == ["\\Noselect", "\\HasChildren"]


def test_subscribed_superior_is_shown_for_its_inferior() -> None:
    tree = [Named("a", is_subscribed=False), Named("a/b"), Named("c", is_subscribed=False)]
    assert list_subscribed(tree, "", "%") == [(["\\Noselect"], "a")]
    assert list_subscribed(tree, "", "*") == [([], "a/b")]


def test_many_wildcards_are_cheap() -> None:
    tree = [Named("a" * 900)] * 20
    before = time.process_time()
    assert not list_names(tree, "", ["*a" * 400 + "b"])
    assert time.process_time() - before < 5


def test_roles() -> None:
    assert find_role("\\dRAFTS") is Role.DRAFTS
    assert find_role("\\All") is None
