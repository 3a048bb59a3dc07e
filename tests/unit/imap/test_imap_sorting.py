"""What each sort criterion compares, and the order it makes (RFC 5256 §3, RFC 5957 §3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.mime.mime_messages import summary_of

from mailserver.imap.commands import SortCriterion, SortKey
from mailserver.imap.sorting import reader_of, sort_all
from mailserver.mime.summary_wire import SummaryView, format_summary

RECEIVED_AT = 1_770_000_000


def value(key: SortKey, head: str) -> int | str:
    octets = head.replace("\n", "\r\n").encode() + b"\r\n\r\nx\r\n"
    return reader_of(key)(RECEIVED_AT, SummaryView(format_summary(summary_of(octets))))


VALUES = [
    (SortKey.ARRIVAL, "Date: Mon, 05 Oct 2026 10:00:00 +0200", RECEIVED_AT),
    (SortKey.DATE, "Date: Thu, 01 Jan 1970 02:00:00 +0200", 0),
    (SortKey.DATE, "Date: Thu, 01 Jan 1970 00:00:00 GMT", 0),
    (SortKey.DATE, "Date: Wed, 31 Dec 1969 23:59:00 -0000", -60),
    (SortKey.DATE, "Date: yesterday", RECEIVED_AT),
    (SortKey.DATE, "Subject: no date", RECEIVED_AT),
    (SortKey.SIZE, "Subject: x", 17),
    (SortKey.SUBJECT, "Subject: Re: [liste] =?utf-8?q?=C3=89tat?=  des lieux (fwd)", "etat des lieux"),
    (SortKey.SUBJECT, "X: y", ""),
    (SortKey.FROM, "From: Zoe <Bob@a.localhost>, a@a.localhost", "bob"),
    (SortKey.FROM, 'From: "a.b c"@a.localhost', "a.b c"),
    (SortKey.FROM, "From: nobody", "nobody"),
    (SortKey.FROM, "X: y", ""),
    (SortKey.FROM, "From: José <José@a.localhost>", "jose"),
    (SortKey.TO, "To: Groupe: un@a.localhost, deux@a.localhost;", "groupe"),
    (SortKey.TO, "To: un@a.localhost\nCc: deux@a.localhost", "un"),
    (SortKey.CC, "To: un@a.localhost\nCc: deux@a.localhost", "deux"),
    (SortKey.CC, "To: un@a.localhost", ""),
    (SortKey.DISPLAYFROM, "From: =?utf-8?q?=C3=89lodie?= <z@a.localhost>", "elodie"),
    (SortKey.DISPLAYFROM, 'From: "O\\"Neil" <z@a.localhost>', 'o"neil'),
    (SortKey.DISPLAYFROM, "From: Z@a.localhost", "z@a.localhost"),
    (SortKey.DISPLAYFROM, "X: y", ""),
    (SortKey.DISPLAYTO, 'Subject: (a) "b" \\\\ {3}\nTo: Groupe:;', "groupe"),
    (SortKey.DISPLAYTO, "Subject: été\nFrom: Été <e@a.localhost>\nTo: Automne <a@a.localhost>", "automne"),
]


@pytest.mark.parametrize(("key", "head", "expected"), VALUES)
def test_value(key: SortKey, head: str, expected: int | str) -> None:
    assert value(key, head) == expected


def test_every_key_has_its_reader() -> None:
    assert {key for key, _head, _value in VALUES} == set(SortKey)


criteria = st.lists(st.builds(SortCriterion, st.sampled_from(SortKey), st.booleans()), min_size=1, max_size=3)


@given(st.data(), criteria)
def test_sort_is_a_stable_permutation(data: st.DataObject, criteria: list[SortCriterion]) -> None:
    rows = data.draw(st.lists(st.tuples(*[st.integers(0, 2)] * len(criteria)), max_size=12))
    items = list(range(len(rows)))
    columns = [[row[at] for row in rows] for at in range(len(criteria))]
    ordered = sort_all(items, columns, criteria)
    assert sorted(ordered) == items
    signs = [-1 if criterion.is_reverse else 1 for criterion in criteria]
    keys = [
        (*(sign * value for sign, value in zip(signs, rows[item], strict=True)), item) for item in ordered
    ]
    assert keys == sorted(keys)
