"""Pure values of the store and of sealing: MACs that no other fields share, padding, UID ranges, any split of an intake."""

import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.crypto.secret import Secret
from mailserver.model.errors import Corrupt, OverLimit
from mailserver.service.intake import Intake
from mailserver.service.sealing import SUMMARY_PAD_BYTES, pad_summary, unpad_summary
from mailserver.store.blob_folder import ROW_BYTES_LIMIT, BlobFolder
from mailserver.store.items import merged
from mailserver.store.row_macs import RowMacs

MACS = RowMacs(Secret(bytes(range(32))))
FIELDS = st.lists(
    st.none() | st.binary(max_size=20) | st.text(max_size=20) | st.integers(0, 2**63 - 1), max_size=5
).map(tuple)
RANGES = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), max_size=8)


@given(FIELDS, FIELDS)
def test_different_fields_have_different_macs(left: tuple, right: tuple) -> None:
    same = [(type(each), each) for each in left] == [(type(each), each) for each in right]
    assert (MACS.sign("t", left) == MACS.sign("t", right)) is same


@given(FIELDS, st.integers(0, 255))
def test_any_flipped_bit_of_a_mac_is_refused(fields: tuple, bit: int) -> None:
    mac = bytearray(MACS.sign("t", fields))
    MACS.check("t", fields, bytes(mac))
    mac[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Corrupt) as refused:
        MACS.check("t", fields, bytes(mac))
    assert (refused.value.code, refused.value.detail) == ("row-mac", "t")


@given(st.binary(max_size=2000))
def test_summary_padding(summary: bytes) -> None:
    padded = pad_summary(summary)
    assert len(padded) % SUMMARY_PAD_BYTES == 0
    assert len(padded) - len(summary) < SUMMARY_PAD_BYTES + 4
    assert unpad_summary(padded) == summary


@given(st.binary(min_size=4, max_size=600))
def test_only_corrupt_escapes_from_unpadding(plain: bytes) -> None:
    try:
        assert len(unpad_summary(plain)) <= len(plain) - 4
    except Corrupt as refused:
        assert refused.code == "summary-padding"


@given(RANGES)
def test_merged_ranges_name_the_same_uids_once(ranges: list[tuple[int, int]]) -> None:
    found = merged(ranges)
    uids = [uid for first, last in found for uid in range(first, last + 1)]
    assert uids == sorted(set(uids))
    assert set(uids) == {uid for first, last in ranges for uid in range(first, last + 1)}


SIZES = st.sampled_from([0, 1, 100, ROW_BYTES_LIMIT - 1, ROW_BYTES_LIMIT, ROW_BYTES_LIMIT + 1, 100_000])


@given(size=SIZES, cuts=st.lists(st.integers(0, 100_000), max_size=6), trace=st.binary(max_size=50))
def test_any_split_of_the_octets_is_the_same_message(size: int, cuts: list[int], trace: bytes) -> None:
    octets = bytes(range(251)) * (size // 251 + 1)
    octets = octets[:size]
    places = sorted({min(cut, size) for cut in cuts} | {0, size})
    with tempfile.TemporaryDirectory() as folder:
        intake = Intake(BlobFolder(Path(folder)), 10**6)
        intake.write_trace(trace)
        for start, stop in pairwise(places):
            intake.write(octets[start:stop])
        intake.finish()
        whole = trace + octets
        assert (intake.size_bytes, intake.trace_bytes) == (len(whole), len(trace))
        assert (intake.small is not None) == (len(whole) <= ROW_BYTES_LIMIT)
        assert b"".join(intake.chunks()) == whole
        middle = len(whole) // 2
        assert intake.read(middle, middle + 70_000) == whole[middle : middle + 70_000]
        assert list(Path(folder).rglob("*")) == [], "nothing has a name before it is accepted"
        intake.close()


@given(limit=st.integers(0, 1000), over=st.integers(1, 10), split=st.integers(0, 1000))
def test_the_limit_is_met_at_the_octet(limit: int, over: int, split: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        intake = Intake(BlobFolder(Path(folder)), limit)
        intake.write(bytes(min(split, limit)))
        intake.write(bytes(limit - min(split, limit)))
        with pytest.raises(OverLimit) as refused:
            intake.write(bytes(over))
        assert refused.value.code == "message-too-large"
        intake.close()
