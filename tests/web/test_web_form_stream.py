"""Multipart forms: any split of the bytes gives the same parts; only Malformed and OverLimit escape."""

from itertools import pairwise, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.model.errors import Malformed, OverLimit
from webmail.form_stream import FormStream, clean_file_name, find_boundary, parse_small_form

fields = st.lists(
    st.tuples(st.sampled_from(["text", "file", "é"]), st.none() | st.just("a.txt"), st.binary(max_size=200)),
    max_size=4,
)


def format_form(parts: list[tuple[str, str | None, bytes]]) -> bytes:
    body = b"preamble\r\n"
    for name, filename, data in parts:
        head = f'Content-Disposition: form-data; name="{name}"' + (
            f'; filename="{filename}"' if filename else ""
        )
        body += b"--bound\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n"
    return body + b"--bound--\r\nepilogue"


def read(pieces: list[bytes]) -> list[tuple[str, str | None, bytes]]:
    return [
        (part.name, part.filename, b"".join(part.chunks))
        for part in FormStream(iter(pieces), "bound").parts()
    ]


@given(fields, st.data())
def test_any_split_gives_the_same_parts(
    parts: list[tuple[str, str | None, bytes]], data: st.DataObject
) -> None:
    parts = [part for part in parts if b"\r\n--bound" not in b"\r\n" + part[2]]
    body = format_form(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    edges = [0, *cuts, len(body)]
    pieces = [body[start:stop] for start, stop in pairwise(edges)]
    assert read(pieces) == parts
    assert read([bytes([octet]) for octet in body]) == parts


@given(st.binary(max_size=300))
def test_only_our_errors_escape(body: bytes) -> None:
    for octets in (
        body,
        b"--bound\r\n" + body,
        b'--bound\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + body,
    ):
        with pytest.raises((Malformed, OverLimit)):
            for part in FormStream(iter([octets]), "bound").parts():
                part.read_text()
            raise Malformed("form")


@given(fields)
def test_what_is_not_taken_is_skipped(parts: list[tuple[str, str | None, bytes]]) -> None:
    parts = [part for part in parts if b"\r\n--bound" not in b"\r\n" + part[2]]
    assert [part.name for part in FormStream(iter([format_form(parts)]), "bound").parts()] == [
        each[0] for each in parts
    ]


def test_bounds() -> None:
    many = (
        b"".join(b'--bound\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' for _ in range(41))
        + b"--bound--"
    )
    with pytest.raises(OverLimit, match="form-parts"):
        read([many])
    with pytest.raises(Malformed, match="form"):
        read([b"--bound\r\n" + b"a" * 9000])
    with pytest.raises(Malformed, match="form"):
        read([b"x" * 100] * 41 + [b"\r\n", format_form([("text", None, b"x")])[10:]])
    endless = FormStream(repeat(b"x" * 100), "bound")
    with pytest.raises(Malformed, match="form"):
        next(endless.parts())
    long = format_form([("text", None, b"x" * 500_000)])
    with pytest.raises(OverLimit, match="field"):
        next(FormStream(iter([long]), "bound").parts()).read_text()


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", "abc"),
        ('Multipart/Form-Data; charset=utf-8; boundary="a:b"', "a:b"),
        ("multipart/mixed; boundary=abc", None),
        ("multipart/form-data", None),
        ("multipart/form-data; boundary=", None),
        ("", None),
    ],
)
def test_boundaries(content_type: str, boundary: str | None) -> None:
    assert find_boundary(content_type) == boundary


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("photo.jpg", "photo.jpg"),
        ("C:\\Users\\x\\photo.jpg", "photo.jpg"),
        ("/etc/passwd", "passwd"),
        ("a%22b%0D%0A.txt", "a'b .txt"),
        ("100%.txt", "100%.txt"),
        ("a\u202etxt.exe", "a txt.exe"),
        ("", ""),
        ("x" * 200 + ".pdf", "x" * 108 + ".pdf"),
    ],
)
def test_file_names(name: str, shown: str) -> None:
    assert clean_file_name(name) == shown


def test_small_forms() -> None:
    assert parse_small_form(b"a=1&b=%C3%A9&a=2&c=") == {"a": "1", "b": "é", "c": ""}
    for body in (b"\xff", b"a=%ff", b"&".join(b"a=1" for _ in range(60))):
        with pytest.raises(Malformed, match="form"):
            parse_small_form(body)
