"""The zip reader against archives that break one rule each."""

import io
import stat
import struct
import tracemalloc
import zipfile

import pytest
from unit.documents.xdm_archives import DOCUMENT, METADATA, good_members, make_zip, sample, with_extra

from mailserver.documents import archive as archive_module
from mailserver.documents.archive import read_archive
from mailserver.documents.reasons import SetAsideReason, WarningCode
from mailserver.model.errors import Malformed, OverLimit

R, W = SetAsideReason, WarningCode
GOOD = sample("ok-lettre-adressage")
CENTRAL = GOOD.index(b"PK\x01\x02")
END = GOOD.index(b"PK\x05\x06")


def patched(offset: int, content: bytes, data: bytes = GOOD) -> bytes:
    return data[:offset] + content + data[offset + len(content) :]


def both(local: int, central: int, content: bytes) -> bytes:
    """The first member's field changed in its local and its central header."""
    return patched(central + CENTRAL, content, patched(local, content))


def with_attributes(mode: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in good_members().items():
            archive.writestr(zipfile.ZipInfo(name), content)
        special = zipfile.ZipInfo("IHE_XDM/SUBSET01/LINK")
        special.create_system, special.external_attr = 3, mode << 16
        archive.writestr(special, b"/etc/passwd")
    return buffer.getvalue()


def compressed(method: int) -> bytes:
    return make_zip(good_members(), method)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", R.NOT_AN_ARCHIVE, id="empty"),
        pytest.param(b"%PDF-1.4", R.NOT_AN_ARCHIVE, id="pdf"),
        pytest.param(b"MZ" + GOOD, R.NOT_AN_ARCHIVE, id="prefixed"),
        pytest.param(GOOD + b"x", R.MALFORMED_ARCHIVE, id="trailing byte"),
        pytest.param(b"PK\x05\x06" + bytes(7), R.MALFORMED_ARCHIVE, id="end record cut"),
        pytest.param(GOOD[:-1], R.MALFORMED_ARCHIVE, id="last byte cut"),
        pytest.param(GOOD[:200], R.MALFORMED_ARCHIVE, id="truncated"),
        pytest.param(make_zip({}), R.NO_IHE_XDM_FOLDER, id="no member"),
        pytest.param(patched(END + 8, b"\xff\xff\xff\xff"), R.TOO_MANY_MEMBERS, id="zip64 count"),
        pytest.param(patched(END + 16, b"\xff\xff\xff\xff"), R.MALFORMED_ARCHIVE, id="zip64 offset"),
        pytest.param(patched(END + 4, b"\x01\x00"), R.MALFORMED_ARCHIVE, id="split"),
        pytest.param(patched(END + 8, b"\x03\x00\x03\x00"), R.MALFORMED_ARCHIVE, id="count too low"),
        pytest.param(patched(END + 8, b"\x05\x00\x05\x00"), R.MALFORMED_ARCHIVE, id="count too high"),
        pytest.param(patched(CENTRAL, b"XX"), R.MALFORMED_ARCHIVE, id="directory signature"),
        pytest.param(both(6, 8, b"\x01\x00"), R.ENCRYPTED_MEMBER, id="encrypted"),
        pytest.param(patched(6, b"\x01\x00"), R.MALFORMED_ARCHIVE, id="encrypted in the local header only"),
        pytest.param(patched(CENTRAL + 42, b"\x01"), R.MALFORMED_ARCHIVE, id="local offset"),
        pytest.param(patched(30, b"OTHER.HTM"), R.MALFORMED_ARCHIVE, id="local name differs"),
        pytest.param(patched(8, b"\x00\x00"), R.MALFORMED_ARCHIVE, id="local method differs"),
        pytest.param(compressed(zipfile.ZIP_BZIP2), R.UNSUPPORTED_COMPRESSION, id="bzip2"),
        pytest.param(compressed(zipfile.ZIP_LZMA), R.UNSUPPORTED_COMPRESSION, id="lzma"),
        pytest.param(with_attributes(stat.S_IFLNK | 0o777), R.SPECIAL_FILE, id="symbolic link"),
        pytest.param(with_attributes(stat.S_IFIFO | 0o644), R.SPECIAL_FILE, id="fifo"),
        pytest.param(with_attributes(stat.S_IFCHR | 0o644), R.SPECIAL_FILE, id="device"),
        pytest.param(with_extra("/etc/cron"), R.PATH_TRAVERSAL, id="absolute"),
        pytest.param(with_extra("IHE_XDM/../../x"), R.PATH_TRAVERSAL, id="dots"),
        pytest.param(with_extra("IHE_XDM\\..\\x"), R.PATH_TRAVERSAL, id="dots behind backslashes"),
        pytest.param(with_extra("\\\\host\\share"), R.PATH_TRAVERSAL, id="network share"),
        pytest.param(with_extra("C:\\x"), R.PATH_TRAVERSAL, id="drive"),
        pytest.param(with_extra("c:x"), R.PATH_TRAVERSAL, id="drive, relative"),
        pytest.param(with_extra("__MACOSX/../x"), R.PATH_TRAVERSAL, id="dots in noise"),
        pytest.param(with_extra("IHE_XDM/a\nb"), R.BAD_MEMBER_NAME, id="line feed"),
        pytest.param(with_extra("IHE_XDM/a\u202egpj.exe"), R.BAD_MEMBER_NAME, id="right-to-left"),
        pytest.param(with_extra("a" * 600), R.BAD_MEMBER_NAME, id="long name"),
        pytest.param(with_extra("."), R.BAD_MEMBER_NAME, id="no name"),
        pytest.param(with_extra(DOCUMENT.lower()), R.DUPLICATE_MEMBER, id="same name in lower case"),
        pytest.param(with_extra("./" + DOCUMENT), R.DUPLICATE_MEMBER, id="same name with a dot"),
        pytest.param(with_extra("INNER.zip"), R.NESTED_ARCHIVE, id="zip at the root"),
        pytest.param(with_extra("IHE_XDM/DATA.BIN", GOOD), R.NESTED_ARCHIVE, id="zip in disguise"),
        pytest.param(with_extra("IHE_XDM/A.tar"), R.NESTED_ARCHIVE, id="tar"),
        pytest.param(with_extra("other/IHE_XDM/SUBSET01/A"), R.SEVERAL_ROOTS, id="two roots"),
        pytest.param(make_zip({f"a/b/{METADATA}": b"x"}), R.NO_IHE_XDM_FOLDER, id="root too deep"),
        pytest.param(make_zip({"IHE_XDM": b"x"}), R.NO_IHE_XDM_FOLDER, id="root is a file"),
        pytest.param(make_zip({"IHE_XDM/": b""}), R.NO_METADATA, id="empty root"),
        pytest.param(with_extra("PAD", bytes(3_000_000)), R.RATIO, id="ratio, outside the root"),
        pytest.param(
            make_zip({f"F{rank}": b"" for rank in range(1001)}), R.TOO_MANY_MEMBERS, id="1001 members"
        ),
    ],
)
def test_refused(data: bytes, reason: SetAsideReason) -> None:
    with pytest.raises((Malformed, OverLimit)) as caught:
        read_archive(data)
    assert caught.value.code == reason


def declared(inflated: int, data: bytes) -> bytes:
    """The metadata member's size, changed in both headers."""
    local = data.index(b"PK\x03\x04", data.index(b"README.TXT"))
    central = data.index(b"PK\x01\x02", data.rindex(b"README.TXT"))
    size = struct.pack("<L", inflated)
    return patched(central + 24, size, patched(local + 22, size, data))


@pytest.mark.parametrize("size", [0, 1, 7872, 7874, 100_000])
def test_a_declared_size_that_lies(size: int) -> None:
    with pytest.raises(Malformed) as caught:
        read_archive(declared(size, GOOD))
    assert caught.value.code == R.INFLATED_SIZE_DIFFERS


def test_a_bomb_that_declares_one_byte_costs_nothing() -> None:
    bomb = make_zip({"README.TXT": b"x", METADATA: bytes(50_000_000)})
    data = declared(1, bomb)
    tracemalloc.start()
    try:
        with pytest.raises(Malformed) as caught:
            read_archive(data)
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()
    assert caught.value.code == R.INFLATED_SIZE_DIFFERS


def test_total_size_is_judged_before_inflating(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "MAX_TOTAL_BYTES", 10_000)
    with pytest.raises(OverLimit) as caught:
        read_archive(GOOD)
    assert caught.value.code == R.TOO_LARGE


def test_a_flipped_bit_in_stored_content_fails_the_checksum() -> None:
    data = make_zip(good_members(), zipfile.ZIP_STORED)
    at = data.index(b"PAT-TROIS")
    with pytest.raises(Malformed) as caught:
        read_archive(patched(at, b"Q", data))
    assert caught.value.code == R.CHECKSUM_MISMATCH


def test_a_broken_stream() -> None:
    at = GOOD.index(b"PK\x03\x04", 30) + 30 + len("README.TXT")
    metadata_at = GOOD.index(b"METADATA.XML") + len("METADATA.XML")
    assert metadata_at > at
    with pytest.raises(Malformed) as caught:
        read_archive(patched(metadata_at, b"\xff" * 40))
    assert caught.value.code in {R.MALFORMED_ARCHIVE, R.INFLATED_SIZE_DIFFERS}


def test_members_that_share_bytes() -> None:
    """Two directory entries for one local header: the quine trick of overlapping bombs."""
    first = GOOD[CENTRAL : GOOD.index(b"PK\x01\x02", CENTRAL + 4)]
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 5, 5, END - CENTRAL + len(first), CENTRAL, 0)
    with pytest.raises(Malformed) as caught:
        read_archive(GOOD[:END] + first + end)
    assert (caught.value.code, caught.value.detail) == (R.MALFORMED_ARCHIVE, "overlap")


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({f"ihe_xdm/{name.removeprefix('IHE_XDM/')}": b"x" for name in (METADATA,)}, W.LETTER_CASE),
        ({"IHE_XDM/METADATA.XML": b"x"}, W.UNUSUAL_FOLDER),
        ({"IHE_XDM/IHE_XDM/SUBSET01/METADATA.XML": b"x"}, W.UNUSUAL_FOLDER),
        ({METADATA: b"x", "IHE_XDM/SUBSET01/._DOC": b"x"}, W.NOISE),
        ({METADATA: b"x", "IHE_XDM/Thumbs.db": b"x"}, W.NOISE),
    ],
)
def test_tolerated(members: dict[str, bytes], code: WarningCode) -> None:
    found = read_archive(make_zip(members))
    assert code in {warning.code for warning in found.warnings}


def test_only_the_xdm_folder_is_inflated() -> None:
    found = read_archive(with_extra("OTHER/BIG.TXT", b"x" * 1000))
    assert sorted(found.files) == ["SUBSET01/DOC0001.XML", "SUBSET01/METADATA.XML"]
    assert found.metadata_paths == ("SUBSET01/METADATA.XML",)


def test_paths_are_found_whatever_their_case() -> None:
    found = read_archive(GOOD)
    assert found.find_path("subset01/doc0001.xml") == "SUBSET01/DOC0001.XML"
    assert found.find_path("SUBSET01/DOC0002.XML") is None


def test_stored_members_are_read() -> None:
    assert read_archive(make_zip(good_members(), zipfile.ZIP_STORED)).files


def test_no_content_shows_in_a_repr() -> None:
    assert "PAT-TROIS" not in repr(read_archive(GOOD))
