"""The ZIP container, read with distrust (APPNOTE 6.3): central directory first, then one member at a time.

Invariants: nothing is trusted before it is compared (central against local header, declared against real size,
CRC); members never overlap; no byte is hidden before, between or after the structures; output is bounded by the
declared size, which ``archive`` has already judged. Raises only Malformed and OverLimit.
"""

import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from mailserver.documents.reasons import SetAsideReason
from mailserver.model.errors import Malformed, OverLimit

_END = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_END_SIGNATURE = b"PK\x05\x06"
_CENTRAL_SIGNATURE = b"PK\x01\x02"
LOCAL_SIGNATURE = b"PK\x03\x04"
_COMMENT_BYTES = 0xFFFF
_ENCRYPTED_FLAGS = 0x0001 | 0x0040 | 0x2000
_UTF8_FLAG = 0x0800
_STORED, _DEFLATED = 0, 8
_DOS_FOLDER, _DOS_REPARSE_POINT = 0x10, 0x400


@dataclass(frozen=True, slots=True)
class ZipMember:
    """One member as declared. ``start`` is where its packed bytes begin; ``name`` is as written, unchecked."""

    name: str
    is_folder: bool
    is_deflated: bool
    crc: int
    packed_bytes: int
    inflated_bytes: int
    start: int


@dataclass(frozen=True, slots=True)
class _Directory:
    count: int
    start: int
    end: int


def parse_index(data: bytes, max_members: int) -> tuple[ZipMember, ...]:
    """The members of ``data`` in directory order. Raises Malformed or OverLimit with a SetAsideReason as code."""
    if data[:4] not in {LOCAL_SIGNATURE, _END_SIGNATURE}:
        raise Malformed(SetAsideReason.NOT_AN_ARCHIVE)
    directory = _directory_of(data)
    if directory.count > max_members:
        raise OverLimit(SetAsideReason.TOO_MANY_MEMBERS, f"over {max_members}")
    members = tuple(_members(data, directory))
    _check_overlap(members)
    return members


def inflate(data: bytes, member: ZipMember) -> bytes:
    """The member's bytes, never more than its declared size; exact size and CRC demanded (APPNOTE §4.4.7)."""
    packed = memoryview(data)[member.start : member.start + member.packed_bytes]
    content = _inflate_deflated(packed, member) if member.is_deflated else bytes(packed)
    if len(content) != member.inflated_bytes:
        raise Malformed(SetAsideReason.INFLATED_SIZE_DIFFERS)
    if zlib.crc32(content) != member.crc:
        raise Malformed(SetAsideReason.CHECKSUM_MISMATCH)
    return content


def _inflate_deflated(packed: memoryview, member: ZipMember) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        # one byte more than declared proves a lie without paying for it
        content = inflater.decompress(packed, member.inflated_bytes + 1)
    except zlib.error as error:
        raise Malformed(SetAsideReason.MALFORMED_ARCHIVE, "deflate") from error
    if len(content) > member.inflated_bytes:
        raise Malformed(SetAsideReason.INFLATED_SIZE_DIFFERS)
    if not inflater.eof or inflater.unused_data or inflater.unconsumed_tail:
        raise Malformed(SetAsideReason.MALFORMED_ARCHIVE, "deflate end")
    return content


def _directory_of(data: bytes) -> _Directory:
    """The end record whose comment ends exactly with the file (APPNOTE §4.3.16): only one reading is possible."""
    for position in _end_positions(data):
        _, disk, first_disk, here, count, size, start, comment = _END.unpack_from(data, position)
        if position + _END.size + comment != len(data):
            continue
        # ZIP64 markers and split archives fail these equalities too
        if disk or first_disk or here != count or start + size != position:
            raise Malformed(SetAsideReason.MALFORMED_ARCHIVE, "end record")
        return _Directory(count, start, position)
    raise Malformed(SetAsideReason.MALFORMED_ARCHIVE, "no end record")


def _end_positions(data: bytes) -> Iterator[int]:
    """Where an end record may begin, last first."""
    if len(data) < _END.size:
        return
    lowest = max(0, len(data) - _END.size - _COMMENT_BYTES)
    position = data.rfind(_END_SIGNATURE, lowest, len(data) - _END.size + len(_END_SIGNATURE))
    while position >= 0:
        yield position
        position = data.rfind(_END_SIGNATURE, lowest, position + len(_END_SIGNATURE) - 1)


def _members(data: bytes, directory: _Directory) -> Iterator[ZipMember]:
    position = directory.start
    for _ in range(directory.count):
        if position + _CENTRAL.size > directory.end:
            raise Malformed(SetAsideReason.MALFORMED_ARCHIVE, "directory cut")
        fields = _CENTRAL.unpack_from(data, position)
        name_end = position + _CENTRAL.size + fields[10]
        position = name_end + fields[11] + fields[12]
        if fields[0] != _CENTRAL_SIGNATURE or position > directory.end:
            raise Malformed(SetAsideReason.MALFORMED_ARCHIVE, "directory entry")
        yield _member(data, directory, fields, data[name_end - fields[10] : name_end])
    if position != directory.end:
        raise Malformed(SetAsideReason.MALFORMED_ARCHIVE, "directory end")


def _member(data: bytes, directory: _Directory, fields: tuple[int, ...], raw_name: bytes) -> ZipMember:
    _, _, _, flags, method, _, _, crc, packed, inflated, _, _, _, disk, _, attributes, offset = fields
    if flags & _ENCRYPTED_FLAGS:
        raise Malformed(SetAsideReason.ENCRYPTED_MEMBER)
    if method not in {_STORED, _DEFLATED}:
        raise Malformed(SetAsideReason.UNSUPPORTED_COMPRESSION)
    name = _decode_name(raw_name, flags)
    is_folder = _is_folder(attributes, name)
    start = _local_start(data, directory, offset, raw_name)
    local_flags, local_method = struct.unpack_from("<2H", data, offset + 6)
    if disk or local_method != method or local_flags & _ENCRYPTED_FLAGS or start + packed > directory.start:
        raise Malformed(SetAsideReason.MALFORMED_ARCHIVE, "local header")
    if method == _STORED and packed != inflated:
        raise Malformed(SetAsideReason.INFLATED_SIZE_DIFFERS)
    return ZipMember(name, is_folder, method == _DEFLATED, crc, packed, inflated, start)


def _local_start(data: bytes, directory: _Directory, offset: int, raw_name: bytes) -> int:
    if offset + _LOCAL.size > directory.start:
        raise Malformed(SetAsideReason.MALFORMED_ARCHIVE, "local offset")
    signature, *_, name_bytes, extra_bytes = _LOCAL.unpack_from(data, offset)
    name_start = offset + _LOCAL.size
    if signature != LOCAL_SIGNATURE or data[name_start : name_start + int(name_bytes)] != raw_name:
        raise Malformed(SetAsideReason.MALFORMED_ARCHIVE, "local name")
    return name_start + int(name_bytes) + int(extra_bytes)


def _decode_name(raw_name: bytes, flags: int) -> str:
    """UTF-8 when the flag says so, otherwise code page 437 (APPNOTE appendix D)."""
    if not flags & _UTF8_FLAG:
        return raw_name.decode("cp437")
    try:
        return raw_name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(SetAsideReason.BAD_MEMBER_NAME) from error


def _is_folder(attributes: int, name: str) -> bool:
    """A folder or a plain file, anything else is refused: links, devices, reparse points."""
    kind = stat.S_IFMT(attributes >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR} or attributes & _DOS_REPARSE_POINT:
        raise Malformed(SetAsideReason.SPECIAL_FILE)
    return name.endswith(("/", "\\")) or kind == stat.S_IFDIR or bool(attributes & _DOS_FOLDER)


def _check_overlap(members: tuple[ZipMember, ...]) -> None:
    """Overlapping members let a small file inflate again and again; refused whatever the sizes."""
    end = 0
    for member in sorted(members, key=lambda one: one.start):
        if member.start - _LOCAL.size < end:
            raise Malformed(SetAsideReason.MALFORMED_ARCHIVE, "overlap")
        end = member.start + member.packed_bytes
