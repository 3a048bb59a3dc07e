"""The MIME tree: parts with their offsets in the octets as received, and what their headers say of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from mailserver.mime.headers import HeaderBlock
from mailserver.mime.parameters import (
    Parameters,
    find_media_type,
    find_parameter,
    find_token,
    parse_parameters,
)

# What most text parts say, in the octets that most programs write; no name, no boundary, nothing of a person.
_USUAL = re.compile(
    rb"(?:Content-Type: text/(?:plain|html);(?: |\r\n[ \t])?charset=(?:\"[A-Za-z0-9_-]{1,20}\"|[A-Za-z0-9_-]{1,20})"
    rb"(?:; ?format=flowed)?\r\n"
    rb"|Content-Transfer-Encoding: (?:7bit|8bit|base64|quoted-printable)\r\n){1,2}+\r\n"
)


class Defect(StrEnum):
    """What is wrong with a part's structure; it is delivered all the same (S12)."""

    CONTENT_TYPE = "content-type"
    NO_BOUNDARY = "no-boundary"
    NO_PARTS = "no-parts"
    ENCODED_MESSAGE = "encoded-message"
    UNCLOSED = "unclosed"


OPAQUE_DEFECTS = frozenset({Defect.NO_BOUNDARY, Defect.NO_PARTS, Defect.ENCODED_MESSAGE})


@dataclass(frozen=True, slots=True, repr=False)
class Content:
    """The content fields of a part (RFC 2045 §3). Types, encoding and disposition are lower-case."""

    media_type: str = "text"
    subtype: str = "plain"
    parameters: Parameters = ((b"charset", b"us-ascii"),)
    encoding: str = "7bit"
    disposition: str | None = None
    disposition_parameters: Parameters = ()
    content_id: bytes | None = None
    description: bytes | None = None
    languages: tuple[bytes, ...] = ()
    location: bytes | None = None
    md5: bytes | None = None

    def __repr__(self) -> str:
        return f"Content({self.content_type}, …)"

    @property
    def content_type(self) -> str:
        return f"{self.media_type}/{self.subtype}"

    @property
    def is_message(self) -> bool:
        """message/rfc822 and its internationalised form (RFC 9051 §7.5.2, media-message)."""
        return self.media_type == "message" and self.subtype in {"rfc822", "global"}

    @property
    def charset(self) -> str:
        return find_parameter(self.parameters, "charset") or ""

    @property
    def filename(self) -> str:
        """Name for people: Content-Disposition first, no folders (RFC 2183 §2.3); empty when there is none."""
        name = find_parameter(self.disposition_parameters, "filename")
        name = name or find_parameter(self.parameters, "name")
        return name.replace("\\", "/").rpartition("/")[2].strip() if name else ""


DEFAULT_CONTENT = Content()
"""What a part without content fields is (RFC 2045 §5.2)."""


@dataclass(frozen=True, slots=True, repr=False)
class Part:
    """A node of the tree; offsets count octets from the start of the stored message.

    ``path`` names the IMAP section whose content is this body: ``1`` or ``2.1`` for a part, ``TEXT`` or
    ``2.TEXT`` for a (nested) message whose body is a multipart (RFC 9051 §6.4.5.1). A message/rfc822 part has
    one child, the nested message, and its ``envelope``.
    """

    path: str
    header_start: int
    body_start: int
    body_end: int
    line_count: int
    content: Content
    children: tuple["Part", ...] = ()
    envelope: bytes | None = None
    defects: tuple[Defect, ...] = ()

    def __repr__(self) -> str:
        return f"Part({self.path}, {self.content.content_type}, {self.body_start}…{self.body_end})"

    @property
    def is_opaque(self) -> bool:
        """True when the declared structure could not be followed: the body is one run of octets."""
        return not OPAQUE_DEFECTS.isdisjoint(self.defects)

    @property
    def size_bytes(self) -> int:
        return self.body_end - self.body_start

    def walk(self) -> Iterator["Part"]:
        """Yield the part and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class ParsedBlock:
    """A header block and what it says of the content under it; ``steps`` is the work that it took."""

    headers: HeaderBlock
    content: Content
    defects: tuple[Defect, ...]
    steps: int


def parse_block(block: bytes, *, in_digest: bool = False) -> ParsedBlock:
    """The fields of a header block, and ``parse_content`` of them."""
    if not in_digest and _USUAL.fullmatch(block):
        return _parse_usual(block)
    return _parse_block(block, in_digest=in_digest)


def _parse_block(block: bytes, *, in_digest: bool = False) -> ParsedBlock:
    headers = HeaderBlock(block)
    return ParsedBlock(headers, *parse_content(headers, in_digest=in_digest), 1 + len(headers))


_parse_usual = lru_cache(maxsize=256)(_parse_block)


def parse_content(headers: HeaderBlock, *, in_digest: bool = False) -> tuple[Content, tuple[Defect, ...]]:
    """The content fields of a header block. Never raises: a wrong Content-Type counts as text/plain."""
    value = headers.find(b"content-type")
    media_type, subtype, parameters = "text", "plain", DEFAULT_CONTENT.parameters
    defects: tuple[Defect, ...] = ()
    if value is None and in_digest:
        media_type, subtype, parameters = "message", "rfc822", ()  # RFC 2046 §5.1.5
    elif value:
        found = find_media_type(value)
        if found is None:
            defects = (Defect.CONTENT_TYPE,)  # RFC 2045 §5.2
        else:
            (media_type, subtype), parameters = found, parse_parameters(value)
    disposition = headers.find(b"content-disposition") or b""
    languages = headers.find(b"content-language")
    content = Content(
        media_type,
        subtype,
        parameters,
        find_token(headers.find(b"content-transfer-encoding") or b"") or "7bit",
        find_token(disposition),
        parse_parameters(disposition),
        headers.find(b"content-id"),
        headers.find(b"content-description"),
        _split_languages(languages) if languages else (),
        headers.find(b"content-location"),
        headers.find(b"content-md5"),
    )
    return content, defects


def _split_languages(value: bytes) -> tuple[bytes, ...]:
    return tuple(tag.strip() for tag in value.split(b",", 20)[:20] if tag.strip())
