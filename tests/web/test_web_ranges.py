"""RFC 9110 §14 as a table: what a request asks for of a file of ten octets."""

import pytest

from webmail.ranges import find_span

ETAG = '"abc"'


@pytest.mark.parametrize(
    ("asked", "if_range", "expected"),
    [
        ("", "", (0, 10, 200)),
        ("bytes=0-", "", (0, 10, 206)),
        ("bytes=4-", "", (4, 10, 206)),
        ("Bytes = 4-6", "", (4, 7, 206)),
        ("bytes=4-400", "", (4, 10, 206)),
        ("bytes=9-9", "", (9, 10, 206)),
        ("bytes=-3", "", (7, 10, 206)),
        ("bytes=-300", "", (0, 10, 206)),
        ("bytes=-0", "", None),
        ("bytes=10-", "", None),
        ("bytes=999999999999999999-", "", None),
        ("bytes=6-4", "", (0, 10, 200)),
        ("bytes=-", "", (0, 10, 200)),
        ("bytes=0-1,4-5", "", (0, 10, 200)),
        ("bytes=٤-", "", (0, 10, 200)),
        ("bytes=" + "9" * 30 + "-", "", (0, 10, 200)),
        ("lines=1-2", "", (0, 10, 200)),
        ("bytes=4-", ETAG, (4, 10, 206)),
        ("bytes=4-", '"other"', (0, 10, 200)),
        ("bytes=4-", f"W/{ETAG}", (0, 10, 200)),
        ("bytes=4-", "Fri, 27 Nov 2026 06:00:00 GMT", (0, 10, 200)),
    ],
)
def test_find_span(asked: str, if_range: str, expected: tuple[int, int, int] | None) -> None:
    span = find_span(asked, if_range, ETAG, 10)
    assert (None if span is None else (span.start, span.stop, span.status)) == expected


def test_an_empty_file() -> None:
    assert find_span("bytes=0-", "", ETAG, 0) is None
    whole = find_span("", "", ETAG, 0)
    assert whole is not None
    assert whole.length_bytes == 0


def test_headers() -> None:
    part, whole = find_span("bytes=4-6", "", ETAG, 10), find_span("", "", ETAG, 10)
    assert part is not None
    assert whole is not None
    assert part.headers() == {"accept-ranges": "bytes", "content-range": "bytes 4-6/10"}
    assert whole.headers() == {"accept-ranges": "bytes"}
