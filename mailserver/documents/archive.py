"""An XDM archive on its medium (IHE ITI TF-3 §4.1, ITI-32): names judged, noise dropped, IHE_XDM inflated.

Invariants: names are data, never paths to open; limits are judged on declared sizes before a byte is inflated and
real sizes must equal them; a nested archive is refused, never opened; memory is at most MAX_TOTAL_BYTES and the
largest member once more. Raises only Malformed and OverLimit, whose code is a SetAsideReason.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mailserver.documents.reasons import SetAsideReason, WarningCode, XdmWarning
from mailserver.documents.zip_index import LOCAL_SIGNATURE, ZipMember, inflate, parse_index
from mailserver.model.errors import Malformed, OverLimit

MAX_MEMBERS = 1000
MAX_TOTAL_BYTES = 200 * 1024 * 1024
MAX_RATIO = 100
_NAME_CHARACTERS = 512
_ROOT = "IHE_XDM"
_METADATA = "METADATA.XML"
_INDEX, _README = "INDEX.HTM", "README.TXT"
_UNSAFE_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_DRIVE = re.compile(r"[A-Za-z]:")
_NOISE_FOLDERS = frozenset({"__macosx", ".svn", ".git"})
_NOISE_FILES = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
_ARCHIVE_SUFFIXES = (".zip", ".7z", ".rar", ".gz", ".bz2", ".xz", ".tar", ".tgz", ".zst")


@dataclass(frozen=True, slots=True)
class XdmArchive:
    """``files`` maps each path below IHE_XDM (slashes, own letter case) to its bytes; ``metadata_paths`` is sorted."""

    files: Mapping[str, bytes] = field(repr=False)
    metadata_paths: tuple[str, ...]
    warnings: tuple[XdmWarning, ...]
    folded: Mapping[str, str] = field(repr=False)

    def find_path(self, path: str) -> str | None:
        """The stored path equal to ``path``, letter case aside, or None."""
        return path if path in self.files else self.folded.get(fold(path))


@dataclass(frozen=True, slots=True)
class _Entry:
    """A member with a judged name."""

    member: ZipMember
    parts: tuple[str, ...]


def fold(name: str) -> str:
    """Comparison form of a name: two names that some file system would merge are equal."""
    return unicodedata.normalize("NFC", name).casefold()


def read_archive(data: bytes) -> XdmArchive:
    """Read ``data`` as an XDM archive. Raises Malformed or OverLimit with a SetAsideReason as code."""
    warnings: set[WarningCode] = set()
    kept, top = _judged_entries(data, warnings)
    _note_companions(kept, top, warnings)
    files = dict(_inflated(data, kept, top))
    metadata_paths = tuple(sorted(_metadata_paths(files, warnings)))
    if not metadata_paths:
        raise Malformed(SetAsideReason.NO_METADATA)
    return XdmArchive(
        files,
        metadata_paths,
        tuple(XdmWarning(code) for code in sorted(warnings)),
        {fold(path): path for path in files},
    )


def check_index(data: bytes) -> None:
    """The index alone: limits, names, IHE_XDM and METADATA.XML; no byte is inflated. Raises as ``read_archive``."""
    entries, top = _judged_entries(data, set())
    inside = (entry.parts for entry in entries if len(entry.parts) > len(top) and not entry.member.is_folder)
    if not any(parts[-1].upper() == _METADATA for parts in inside):
        raise Malformed(SetAsideReason.NO_METADATA)


def _judged_entries(data: bytes, warnings: set[WarningCode]) -> tuple[list[_Entry], tuple[str, ...]]:
    """The members that count, their names and declared sizes judged, and the way to IHE_XDM."""
    members = parse_index(data, MAX_MEMBERS)
    _check_declared_sizes(members, len(data))
    entries = [_Entry(member, _name_parts(member.name, warnings)) for member in members]
    kept = [entry for entry in entries if not _is_noise(entry.parts)]
    if len(kept) != len(entries):
        warnings.add(WarningCode.NOISE)
    _check_duplicates(kept)
    _check_nested_names(kept)
    return kept, _root_depth(kept, warnings)


def _check_declared_sizes(members: tuple[ZipMember, ...], archive_bytes: int) -> None:
    total = sum(member.inflated_bytes for member in members)
    if total > MAX_TOTAL_BYTES:
        raise OverLimit(SetAsideReason.TOO_LARGE, f"over {MAX_TOTAL_BYTES} bytes")
    if total > MAX_RATIO * archive_bytes:
        raise OverLimit(SetAsideReason.RATIO, f"over {MAX_RATIO}")


def _name_parts(name: str, warnings: set[WarningCode]) -> tuple[str, ...]:
    if len(name) > _NAME_CHARACTERS or _UNSAFE_CHARACTERS.search(name):
        raise Malformed(SetAsideReason.BAD_MEMBER_NAME)
    if "\\" in name:
        # APPNOTE §4.4.17.1 wants slashes; some Windows writers keep their own
        name = name.replace("\\", "/")
        warnings.add(WarningCode.BACKSLASH)
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    if name.startswith("/") or _DRIVE.match(name) or ".." in parts:
        raise Malformed(SetAsideReason.PATH_TRAVERSAL)
    if not parts:
        raise Malformed(SetAsideReason.BAD_MEMBER_NAME)
    return parts


def _is_noise(parts: tuple[str, ...]) -> bool:
    last = parts[-1].casefold()
    return (
        any(part.casefold() in _NOISE_FOLDERS for part in parts)
        or last in _NOISE_FILES
        or last.startswith("._")
        or last.endswith((".swp", "~"))
    )


def _check_duplicates(entries: list[_Entry]) -> None:
    if len({fold("/".join(entry.parts)) for entry in entries}) != len(entries):
        raise Malformed(SetAsideReason.DUPLICATE_MEMBER)


def _check_nested_names(entries: list[_Entry]) -> None:
    for entry in entries:
        if not entry.member.is_folder and entry.parts[-1].casefold().endswith(_ARCHIVE_SUFFIXES):
            raise Malformed(SetAsideReason.NESTED_ARCHIVE)


def _root_depth(entries: list[_Entry], warnings: set[WarningCode]) -> tuple[str, ...]:
    """The folders above and including IHE_XDM: one, or two when one extra folder wraps everything."""
    roots: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        for depth, part in enumerate(entry.parts[:2], start=1):
            is_below = entry.member.is_folder or len(entry.parts) > depth
            if part.upper() == _ROOT and is_below:
                roots.setdefault(fold("/".join(entry.parts[:depth])), entry.parts[:depth])
                break
    if not roots:
        raise Malformed(SetAsideReason.NO_IHE_XDM_FOLDER)
    if len(roots) > 1:
        raise Malformed(SetAsideReason.SEVERAL_ROOTS)
    (top,) = roots.values()
    if len(top) > 1:
        warnings.add(WarningCode.TOP_FOLDER)
    if top[-1] != _ROOT:
        warnings.add(WarningCode.LETTER_CASE)
    return top


def _note_companions(entries: list[_Entry], top: tuple[str, ...], warnings: set[WarningCode]) -> None:
    """INDEX.HTM and README.TXT beside IHE_XDM are required by ITI-32, and often absent or in lower case."""
    beside = {entry.parts[-1] for entry in entries if entry.parts[:-1] == top[:-1]}
    upper = {name.upper() for name in beside}
    for name, missing in ((_INDEX, WarningCode.INDEX_MISSING), (_README, WarningCode.README_MISSING)):
        if name not in upper:
            warnings.add(missing)
        elif name not in beside:
            warnings.add(WarningCode.LETTER_CASE)


def _inflated(data: bytes, entries: list[_Entry], top: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    folded_top = fold("/".join(top))
    for entry in entries:
        path = entry.parts[len(top) :]
        if entry.member.is_folder or not path or fold("/".join(entry.parts[: len(top)])) != folded_top:
            continue
        content = inflate(data, entry.member)
        if content.startswith(LOCAL_SIGNATURE):
            raise Malformed(SetAsideReason.NESTED_ARCHIVE)
        yield "/".join(path), content


def _metadata_paths(files: Mapping[str, bytes], warnings: set[WarningCode]) -> Iterator[str]:
    for path in files:
        folder, _, name = path.rpartition("/")
        if name.upper() != _METADATA:
            continue
        if name != _METADATA:
            warnings.add(WarningCode.LETTER_CASE)
        if not folder or "/" in folder:
            # ITI-32 wants one folder per submission set, directly below IHE_XDM
            warnings.add(WarningCode.UNUSUAL_FOLDER)
        yield path
