"""Base subjects: tables, and the same result as the steps of RFC 5256 §2.1 taken one by one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.imap.base_subject import find_base

BASES = {
    "hello": ("hello", False),
    "": ("", False),
    "   ": ("", False),
    "  two   spaces\tand a tab ": ("two spaces and a tab", False),
    "Re: hello": ("hello", True),
    "RE : hello": ("hello", True),
    "re:re: RE:hello": ("hello", True),
    "Fw: hello": ("hello", True),
    "Fwd: hello": ("hello", True),
    "Fwd : Re: hello (fwd)": ("hello", True),
    "hello (FWD) (fwd)": ("hello", True),
    "hello(fwd)": ("hello", True),
    "(fwd)": ("", True),
    "re:": ("", True),
    "Re[2]: hello": ("hello", True),
    "Re [2] : hello": ("hello", True),
    "Re: Re": ("Re", True),
    "fwdx: hello": ("fwdx: hello", False),
    "Bilan : hello": ("Bilan : hello", False),
    "Ref: hello": ("Ref: hello", False),
    "[liste] hello": ("hello", False),
    "[liste] Re: hello": ("hello", True),
    "Re: [liste] re: [x] hello": ("hello", True),
    "[a][b] [c] hello": ("hello", False),
    "[a:b] re: hello": ("hello", True),
    "hello [liste]": ("hello [liste]", False),
    "[a]x[b] re: y": ("x[b] re: y", False),
    "[liste]": ("[liste]", False),
    "[a] [b]": ("[b]", False),
    "re: [a] [b] (fwd)": ("[b]", True),
    "[fwd: hello]": ("hello", True),
    "[FWD: Re: [liste] hello (fwd)]": ("hello", True),
    "[fwd: re: [fwd: hello (fwd)] ]": ("hello", True),
    "[fwd: a] b": ("b", False),
    "[x][fwd: a]": ("a", True),
    "[fwd: [x] ]": ("[x]", True),
    "[fwd:]": ("", True),
    "[unclosed hello": ("[unclosed hello", False),
    "Re: état": ("état", True),
}


@pytest.mark.parametrize("subject", BASES)
def test_base(subject: str) -> None:
    assert find_base(subject) == BASES[subject]


BLOB = r"\[[^\[\]]*\][ ]*"
REFWD = rf"(?:re|fwd?)[ ]*(?:{BLOB})?:"


def by_steps(subject: str) -> tuple[str, bool]:
    """RFC 5256 §2.1, one removal at a time."""
    text, is_reply = re.sub(r"[ \t]+", " ", subject), False
    while True:
        while found := re.search(r"(\(fwd\)|[ ])\Z", text, re.IGNORECASE):  # (2)
            is_reply |= found[1] != " "
            text = text[: found.start()]
        while True:
            if found := re.match(rf"((?:{BLOB})*{REFWD})|[ ]", text, re.IGNORECASE):  # (3)
                is_reply |= found[1] is not None
                text = text[found.end() :]
            elif (found := re.match(BLOB, text)) and text[found.end() :]:  # (4)
                text = text[found.end() :]
            else:
                break
        if not (text.lower().startswith("[fwd:") and text.endswith("]")):  # (6)
            return text, is_reply
        text, is_reply = text[5:-1], True


PIECES = [
    "re",
    "Re:",
    "fw",
    "fwd",
    "FWD:",
    ":",
    "[",
    "]",
    "[a]",
    "[fwd:",
    "(fwd)",
    "(FWD",
    " ",
    "\t",
    "x",
    "été",
    "re :",
    "[b:c] ",
]


@given(st.lists(st.sampled_from(PIECES), max_size=10).map("".join))
def test_the_same_as_step_by_step(subject: str) -> None:
    assert find_base(subject) == by_steps(subject)


@given(st.lists(st.sampled_from(PIECES), max_size=10).map("".join))
def test_a_base_has_no_more_to_give(subject: str) -> None:
    base = find_base(subject)[0]
    assert find_base(base) == (base, False)


@pytest.mark.parametrize("piece", ["[a]", "re:", "[fwd:", "(fwd)", "[", "re [a]", "fwd ", "[a] re"])
def test_a_long_subject_takes_no_longer_than_its_length(piece: str) -> None:
    """The longest that a summary keeps (S4); quadratic work over so much would be seen."""
    subject = piece * (200_000 // len(piece))
    if piece == "[fwd:":
        subject = piece * 400 + "]" * 400
    find_base(subject)
