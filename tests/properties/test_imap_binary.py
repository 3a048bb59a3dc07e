"""BINARY of any octets in any encoding is those octets; any partial of it is its slice."""

import binascii
import quopri

from harness.section_stage import stage
from hypothesis import given
from hypothesis import strategies as st

from mailserver.imap import binary
from mailserver.imap.binary import binary_pieces
from mailserver.imap.commands import BinarySection, BinarySize, Partial

partials = st.builds(Partial, st.integers(0, 400), st.integers(1, 400))


def encode(octets: bytes, encoding: str) -> bytes:
    match encoding:
        case "base64":
            return b"\r\n".join(
                binascii.b2a_base64(octets[at : at + 9], newline=False) for at in range(0, len(octets), 9)
            )
        case "quoted-printable":
            return quopri.encodestring(octets, quotetabs=True).replace(b"=\n", b"=\r\n")
        case _:
            return octets.replace(b"\0", b"x")


@given(
    st.binary(max_size=300),
    st.sampled_from(["base64", "quoted-printable", "8bit"]),
    st.none() | partials,
    st.integers(1, 40),
)
def test_a_partial_is_a_slice(octets: bytes, encoding: str, partial: Partial | None, step: int) -> None:
    octets = octets.replace(b"\r", b"r").replace(b"\n", b"n")
    message = stage(encoding, encode(octets, encoding))
    whole = octets.replace(b"\0", b"x") if encoding == "8bit" else octets
    before = binary.STEP_BYTES, binary.HOLD_BYTES
    binary.STEP_BYTES, binary.HOLD_BYTES = step, 2 * step
    try:
        answer = b"".join(binary_pieces(message.section_reader(), BinarySection((1,), partial)))
        size = b"".join(binary_pieces(message.section_reader(), BinarySize((1,))))
    finally:
        binary.STEP_BYTES, binary.HOLD_BYTES = before
    wanted = whole if partial is None else whole[partial.offset : partial.offset + partial.count]
    mark = b"~{%d}" if b"\0" in wanted else b"{%d}"
    label = b"BINARY[1]" + (b"<%d>" % partial.offset if partial else b"")
    assert answer == label + b" " + mark % len(wanted) + b"\r\n" + wanted
    assert size == b"BINARY.SIZE[1] %d" % len(whole)
