"""IMAP's BODY and BODYSTRUCTURE (RFC 9051 §7.5.2) of a MIME tree, ready to send.

``is_brief`` leaves out what a client can do without, for a message whose structure would not fit its summary.
"""

from functools import lru_cache

from mailserver.mime.envelope import format_nstring, format_string
from mailserver.mime.parameters import Parameters
from mailserver.mime.part import Part

_BRIEF_PARAMETERS = frozenset({b"charset", b"name", b"filename", b"name*", b"filename*"})
_BRIEF_BYTES = 100
_EMPTY_ENVELOPE = b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"


def format_bodystructure(part: Part, *, is_brief: bool = False) -> bytes:
    """BODYSTRUCTURE: the structure with all its extension data."""
    return format_structures(part, is_brief=is_brief)[1]


def format_body(part: Part, *, is_brief: bool = False) -> bytes:
    """BODY: the structure without extension data."""
    return format_structures(part, is_brief=is_brief)[0]


def format_structures(part: Part, *, is_brief: bool = False) -> tuple[bytes, bytes]:
    """BODY and BODYSTRUCTURE: one says all that the other says."""
    content = part.content
    if content.media_type == "multipart" and part.children:
        children = [format_structures(child, is_brief=is_brief) for child in part.children]
        subtype = _format_word(content.subtype)
        body = [b"".join(each[0] for each in children), subtype]
        structure = [b"".join(each[1] for each in children), subtype]
        structure.append(_parameters(content.parameters, is_brief=is_brief))
    else:
        body = _basic(part, is_brief=is_brief)
        structure = body.copy()
        if content.is_message and part.children:
            envelope = _EMPTY_ENVELOPE if is_brief else part.envelope or _EMPTY_ENVELOPE
            nested = format_structures(part.children[0], is_brief=is_brief)
            lines = b"%d" % part.line_count
            body += [envelope, nested[0], lines]
            structure += [envelope, nested[1], lines]
        elif content.media_type == "text":
            body.append(b"%d" % part.line_count)
            structure.append(body[-1])
        structure.append(format_nstring(None if is_brief else content.md5))
    structure += _extension(part, is_brief=is_brief)
    return b"(" + b" ".join(body) + b")", b"(" + b" ".join(structure) + b")"


def _basic(part: Part, *, is_brief: bool) -> list[bytes]:
    """media-type, body-fields: type, subtype, parameters, id, description, encoding, octets."""
    content = part.content
    return [
        _format_word(content.media_type),
        _format_word(content.subtype),
        _parameters(content.parameters, is_brief=is_brief),
        format_nstring(None if is_brief else content.content_id),
        format_nstring(None if is_brief else content.description),
        _format_word(content.encoding),
        b"%d" % part.size_bytes,
    ]


def _extension(part: Part, *, is_brief: bool) -> list[bytes]:
    """body-fld-dsp, body-fld-lang, body-fld-loc."""
    content = part.content
    disposition = b"NIL"
    if content.disposition is not None:
        kind = _format_word(content.disposition)
        disposition = b"(%b %b)" % (kind, _parameters(content.disposition_parameters, is_brief=is_brief))
    languages = b"NIL"
    if content.languages and not is_brief:
        languages = b"(" + b" ".join(map(format_string, content.languages)) + b")"
    return [disposition, languages, format_nstring(None if is_brief else content.location)]


@lru_cache(maxsize=256)
def _format_word(word: str) -> bytes:
    """A type, an encoding or a disposition: one token, and mostly one of a dozen."""
    return format_string(word.encode("ascii", "replace"))


def _parameters(parameters: Parameters, *, is_brief: bool) -> bytes:
    if is_brief:
        parameters = tuple(
            (name, value[:_BRIEF_BYTES]) for name, value in parameters if name in _BRIEF_PARAMETERS
        )
    if not parameters:
        return b"NIL"
    return b"(" + b" ".join(format_string(text) for pair in parameters for text in pair) + b")"
