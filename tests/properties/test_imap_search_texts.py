"""Folding is one thing, however it is done: character by character where that is the same, and whole elsewhere."""

from hypothesis import given
from hypothesis import strategies as st

from mailserver.imap import search
from mailserver.imap.search import fold

LETTERS = st.sampled_from("aZ éÉœŒæǣßẞſﬁﬀİıΣςσ́̂ͅ־゙ֱで한각ÅKΩ①½µ’“…\u00a0\u200d\u034fᏆꭶ")
TEXTS = st.lists(LETTERS | st.characters(), max_size=60).map("".join)


@given(TEXTS)
def test_fold_is_the_same_whole_and_by_characters(text: str) -> None:
    assert fold(text) == (text.lower() if text.isascii() else search._fold_whole(text))


@given(TEXTS, TEXTS, TEXTS)
def test_what_is_written_is_found(before: str, text: str, after: str) -> None:
    """Among whole words, so that no accent binds across the edge of the needle."""
    assert fold(text) in fold(f"{before} {text} {after}")
