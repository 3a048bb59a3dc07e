"""Archives for the tests: the samples on disk, and builders that change one thing in a good one."""

import base64
import hashlib
import io
import re
import zipfile
from functools import cache
from pathlib import Path

DATA = Path(__file__).parents[2] / "data"
FOLDERS = ("xdm", "xdm-field", "xdm-direct-ri")
METADATA = "IHE_XDM/SUBSET01/METADATA.XML"
DOCUMENT = "IHE_XDM/SUBSET01/DOC0001.XML"
SHA1 = "4432feb9822a16b229f0f79c11adbc073aacc0ff"
_EMBEDDED = re.compile(rb'mediaType="application/pdf"( representation="B64">)[^<]*<')
NUMBER, OID = "279035121518989", "1.2.250.1.213.1.4.10"


@cache
def sample(name: str) -> bytes:
    for folder in FOLDERS:
        path = DATA / folder / f"{name}.zip"
        if path.exists():
            return path.read_bytes()
    raise FileNotFoundError(name)


def sample_names() -> list[str]:
    return sorted(path.stem for folder in FOLDERS for path in (DATA / folder).glob("*.zip"))


@cache
def good_members() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(sample("ok-lettre-adressage"))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def make_zip(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            # a fixed date: the same members give the same bytes
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def with_members(**changes: bytes | None) -> bytes:
    """The good archive with ``metadata``, ``document`` or ``extra`` replaced; None removes."""
    members = dict(good_members())
    for key, content in changes.items():
        name = {"metadata": METADATA, "document": DOCUMENT}[key]
        if content is None:
            del members[name]
        else:
            members[name] = content
    return make_zip(members)


def with_extra(name: str, content: bytes = b"x") -> bytes:
    return make_zip({**good_members(), name: content})


def with_metadata(old: str, new: str) -> bytes:
    """The good archive, ``old`` replaced by ``new`` in METADATA.XML (it must be there)."""
    text = good_members()[METADATA].decode()
    assert old in text
    return with_members(metadata=text.replace(old, new).encode())


def with_document(document: bytes, old: str = "", new: str = "") -> bytes:
    """The good archive around another document: hash and size follow; ``old`` → ``new`` in METADATA.XML besides."""
    text = good_members()[METADATA].decode()
    assert old in text
    text = text.replace(SHA1, hashlib.sha1(document).hexdigest())
    text = text.replace("<Value>4430</Value>", f"<Value>{len(document)}</Value>")
    if old:
        text = text.replace(old, new)
    return with_members(metadata=text.encode(), document=document)


def good_cda() -> bytes:
    return good_members()[DOCUMENT]


def cda_with(old: str, new: str) -> bytes:
    text = good_cda().decode()
    assert old in text
    return text.replace(old, new).encode()


def cda_around(media_type: str, data: bytes) -> bytes:
    """The good letter around another file than its PDF."""
    encoded = base64.b64encode(data)
    document, count = _EMBEDDED.subn(
        lambda found: b'mediaType="%b"%b%b<' % (media_type.encode(), found[1], encoded), good_cda()
    )
    assert count == 1
    return document
