"""What travels after DATA: line ends, dots, and nothing that ends a message early."""

import pytest

from mailserver.gateway.data_encoder import DataEncoder
from mailserver.model.errors import Malformed


def encode(*pieces):
    encoder = DataEncoder()
    return b"".join([*(encoder.update(piece) for piece in pieces), encoder.finish()])


@pytest.mark.parametrize(
    ("octets", "sent"),
    [
        (b"a\r\nb\r\n", b"a\r\nb\r\n"),
        (b"a", b"a\r\n"),
        (b"", b""),
        (b".", b"..\r\n"),
        (b".\r\n", b"..\r\n"),
        (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n"),
        (b"a\r\n..b\r\n", b"a\r\n...b\r\n"),
        (b"a.b\r\n", b"a.b\r\n"),
        (b"a\nb\r\n", b"a\r\nb\r\n"),
        (b"a\rb\r\n", b"a\r\nb\r\n"),
        (b"a\r", b"a\r\n"),
        (b"a\r\r\n", b"a\r\n\r\n"),
        # each known way to smuggle an end of data
        (b"a\n.\nb", b"a\r\n..\r\nb\r\n"),
        (b"a\n.\r\nb", b"a\r\n..\r\nb\r\n"),
        (b"a\r\n.\nb", b"a\r\n..\r\nb\r\n"),
        (b"a\r.\rb", b"a\r\n..\r\nb\r\n"),
        (b"a\r\n.\rb", b"a\r\n..\r\nb\r\n"),
        (b"a\r.\r\nb", b"a\r\n..\r\nb\r\n"),
        (b"a\n.\rb", b"a\r\n..\r\nb\r\n"),
        (b"a\r\n.\r\r\nb", b"a\r\n..\r\n\r\nb\r\n"),
        (b"a\r\r\n.\r\r\nb", b"a\r\n\r\n..\r\n\r\nb\r\n"),
        (b"a\r\n.", b"a\r\n..\r\n"),
        (b"a\r\n.\r", b"a\r\n..\r\n"),
    ],
)
def test_encoding(octets, sent):
    assert encode(octets) == sent
    assert encode(*(octets[at : at + 1] for at in range(len(octets)))) == sent


def test_nul_is_refused():
    with pytest.raises(Malformed, match="data-nul"):
        encode(b"a\0b")
