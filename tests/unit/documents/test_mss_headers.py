"""X-MSS headers: what a message should say of its archive, and what one says wrongly."""

from dataclasses import replace

import pytest
from unit.documents.xdm_archives import cda_with, sample, with_document

from mailserver.documents.coherence import XdmReading, is_announced, read_documents
from mailserver.documents.mss_headers import (
    MssHeaders,
    MssMismatch,
    StatedMss,
    compute_mss_headers,
    find_mss_mismatch,
    read_mss_headers,
)
from mailserver.mime.header_writer import format_token_field
from mailserver.mime.headers import HeaderBlock

BIRTH = '<birthTime value="19790328"/>'


def read(archive: bytes | str) -> XdmReading:
    reading = read_documents(sample(archive) if isinstance(archive, str) else archive)
    assert isinstance(reading, XdmReading), reading
    return reading


def without_birth() -> bytes:
    return with_document(cda_with(BIRTH, ""))


@pytest.mark.parametrize(
    ("archive", "product", "ends", "fields"),
    [
        (None, "", False, ()),
        (None, "DEV935997", False, (("X-MSS-NIL", "DEV935997"),)),
        (None, "", True, (("X-MSS-MES", "FIN"),)),
        ("ok-lettre-adressage", "", False, (("X-MSS-CODECDA", "96349-6"), ("X-MSS-INS", "O"))),
        ("ok-two-documents", "", False, (("X-MSS-CODECDA", "96349-6,11488-4"), ("X-MSS-INS", "O"))),
    ],
)
def test_computed(
    archive: str | None, product: str, *, ends: bool, fields: tuple[tuple[str, str], ...]
) -> None:
    reading = None if archive is None else read(archive)
    assert compute_mss_headers(reading, product, ends_exchange=ends).fields() == fields


def test_an_identity_without_its_traits_is_not_qualified() -> None:
    headers = compute_mss_headers(read(without_birth()))
    assert headers == MssHeaders(("96349-6",), is_ins_qualified=False)
    assert ("X-MSS-INS", "N") in headers.fields()


@pytest.mark.parametrize(
    ("head", "stated"),
    [
        (b"X-MSS-CODECDA: 96349-6\r\nX-MSS-INS: O\r\n", StatedMss("96349-6", "O")),
        (b"x-mss-codecda: 96349-6,\r\n 11488-4\r\n", StatedMss("96349-6, 11488-4")),
        (b"X_MSS_CODECDA: 96349-6\r\nX_MSS_INS: N\r\nX_MSS_MES: FIN\r\n", StatedMss("96349-6", "N", "FIN")),
        (b"X_MSS_MES: FIN\r\nX-MSS-MES: non\r\n", StatedMss(end_mark="non")),
        (b"X-MSS-MES:  FIN \r\n", StatedMss(end_mark="FIN")),
        (b"X-MSS-MES: \xff\r\n", StatedMss(end_mark="\ufffd")),
        (b"X-MSS-MESS: FIN\r\nSubject: X-MSS-MES: FIN\r\n", StatedMss()),
        (b"", StatedMss()),
    ],
)
def test_read(head: bytes, stated: StatedMss) -> None:
    assert read_mss_headers(HeaderBlock(head)) == stated


CODES_DIFFER, WITHOUT, INS_DIFFERS, UNREADABLE = (
    MssMismatch.CODES_DIFFER,
    MssMismatch.CODES_WITHOUT_CDA,
    MssMismatch.INS_DIFFERS,
    MssMismatch.INS_UNREADABLE,
)


@pytest.mark.parametrize(
    ("codes", "ins", "archive", "mismatch"),
    [
        (None, None, "ok-lettre-adressage", None),
        (None, None, None, None),
        ("96349-6", "O", "ok-lettre-adressage", None),
        ("11488-4, 96349-6", "O", "ok-two-documents", None),
        ("96349-6", None, "ok-two-documents", CODES_DIFFER),
        ("34112-3", "O", "ok-lettre-adressage", CODES_DIFFER),
        ("", "O", "ok-lettre-adressage", CODES_DIFFER),
        ("96349-6", "O", None, WITHOUT),
        (None, "O", None, None),
        ("96349-6", "N", "ok-lettre-adressage", INS_DIFFERS),
        (None, "N", "ok-lettre-adressage", INS_DIFFERS),
        (None, "o", "ok-lettre-adressage", UNREADABLE),
        (None, "", "ok-lettre-adressage", UNREADABLE),
    ],
)
def test_mismatches(codes: str | None, ins: str | None, archive: str | None, mismatch: MssMismatch) -> None:
    reading = None if archive is None else read(archive)
    assert find_mss_mismatch(StatedMss(codes, ins), reading) is mismatch


@pytest.mark.parametrize(
    ("stated", "has_claims"),
    [
        (StatedMss(), False),
        (StatedMss(end_mark="FIN"), False),
        (StatedMss(codes=""), True),
        (StatedMss(ins="O"), True),
    ],
)
def test_what_is_claimed_of_the_content(stated: StatedMss, *, has_claims: bool) -> None:
    assert stated.has_claims is has_claims


def test_an_unqualified_identity_is_not_to_be_called_qualified() -> None:
    reading = read(without_birth())
    assert find_mss_mismatch(StatedMss("96349-6", "O"), reading) is INS_DIFFERS
    assert find_mss_mismatch(StatedMss("96349-6", "N"), reading) is None


def test_an_oid_that_is_no_ins_is_not_qualified() -> None:
    old, other = "1.2.250.1.213.1.4.10", "1.2.250.1.999.1"
    archive = with_document(cda_with(old, other), old, other)
    assert compute_mss_headers(read(archive)).is_ins_qualified is False


def test_what_is_computed_differs_from_nothing() -> None:
    for name in ("ok-lettre-adressage", "ok-two-documents", "ok-replacement-rplc"):
        reading = read(name)
        fields = dict(compute_mss_headers(reading).fields())
        stated = StatedMss(fields["X-MSS-CODECDA"], fields["X-MSS-INS"])
        assert find_mss_mismatch(stated, reading) is None


@pytest.mark.parametrize("count", [1, 9, 100, 127, 128, 1000])
def test_a_list_of_any_length_is_written_and_read_back(count: int) -> None:
    """Plain commas while the line bears it (RFC 5322 §2.1.1), never encoded words: programs read them as they stand."""
    letter = read("ok-lettre-adressage")
    reading = replace(letter, documents=letter.documents * count)
    written = b"".join(
        format_token_field(name, value) for name, value in compute_mss_headers(reading).fields()
    )
    assert all(len(line) <= 998 for line in written.split(b"\r\n"))
    assert b"=?" not in written
    stated = read_mss_headers(HeaderBlock(written))
    assert stated.codes is not None
    assert stated.codes.count("96349-6") == count
    assert (" " in stated.codes) is (count * 8 > 900)
    assert is_announced(reading, stated.codes)
    assert find_mss_mismatch(stated, reading) is None


@pytest.mark.parametrize(
    ("code", "is_writable"),
    [
        ("96349-6", True),
        ("CRGM001", True),
        ("1.2.250", True),
        ("~!" + "x" * 58, True),
        ("x" * 61, False),
        ("", False),
        ("96349,6", False),
        ("96349 6", False),
        ("96349\n6", False),
        ("96349\x7f", False),
        ("96349é", False),
    ],
)
def test_codes_that_a_list_can_hold(code: str, *, is_writable: bool) -> None:
    assert MssHeaders(("11488-4", code)).are_codes_writable is is_writable
