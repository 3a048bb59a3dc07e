"""DATA's encoder: any split gives the same octets, a line of one dot never appears, and decoding gives them back."""

import re

from hypothesis import given
from hypothesis import strategies as st

from mailserver.gateway.data_encoder import DataEncoder

pieces = st.lists(st.text("\r\n.ab").map(str.encode), max_size=8)


def encode(parts):
    encoder = DataEncoder()
    return b"".join([*(encoder.update(part) for part in parts), encoder.finish()])


@given(pieces)
def test_any_split_gives_the_same(parts):
    assert encode(parts) == encode([b"".join(parts)])


@given(pieces)
def test_only_crlf_and_never_an_early_end(parts):
    sent = encode(parts)
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", sent)
    assert b"\r\n.\r\n" not in b"\r\n" + sent
    assert sent == b"" or sent.endswith(b"\r\n")


@given(pieces)
def test_unstuffing_gives_the_lines_back(parts):
    lines = re.sub(rb"\r\n|\r|\n", b"\n", b"".join(parts)).split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    sent = encode(parts).split(b"\r\n")[:-1]
    assert [line[1:] if line.startswith(b".") else line for line in sent] == lines
