"""The note of kept files reads back, whatever the files are called, and is all that changes of a message."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st
from unit.mime.mime_messages import scan

from mailserver.audit.events import readable
from mailserver.mime.kept_files import KeptFile, KeptNote, cut_parts, parse_note

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=60).map(readable)
TYPES = st.sampled_from(["application/zip", "application/dicom", "image/jpeg", "x-odd/x.y+z"])
FILES = st.lists(
    st.builds(KeptFile, NAMES, TYPES, st.integers(0, 10**11), st.binary(min_size=32, max_size=32)),
    min_size=2,
    max_size=5,
)
CODE = "abcd-efgh-ijkl-mnop-qrst-uvwx-yz23-4567"


@given(FILES, st.dates(date(2000, 1, 1)), st.text("abc -'()+_,./:=?", min_size=1, max_size=40))
def test_a_note_reads_back_and_the_rest_stays(files: list[KeptFile], until: date, edge: str) -> None:
    boundary = edge.strip() or "x"
    delimiter = f"--{boundary}\r\n".encode()
    part = b"Content-Disposition: attachment\r\nX-Kept: yes\r\n\r\noctets\r\n"
    octets = b'Subject: x\r\nContent-Type: multipart/mixed; boundary="%b"\r\n\r\n' % boundary.encode()
    octets += delimiter + part + delimiter + part + f"--{boundary}--\r\n".encode()
    parts = scan(octets).children
    assert len(parts) == 2
    note = KeptNote("https://pli.example/kept/x", CODE, until, tuple(files))
    heads = [octets[each.header_start : each.body_start] for each in parts]
    first, second = cut_parts(parts, heads, note)
    out = octets[: first.start] + first.octets + octets[first.stop : second.start] + second.octets
    out += octets[second.stop :]
    found = scan(out).children
    assert len(found) == 2
    assert parse_note(out[found[0].header_start : found[0].body_start]) == note
    assert parse_note(out[found[1].header_start : found[1].body_start]) is None
    assert first.octets.startswith(b"X-Kept: yes\r\n")
