"""IMAP's BODY and BODYSTRUCTURE (RFC 9051 §7.5.2) of a MIME tree, ready to send.

``is_brief`` leaves out what a client can do without, for a message whose structure would not fit its summary.
"""

from mailserver.mime.envelope import format_nstring, format_string
from mailserver.mime.parameters import Parameters
from mailserver.mime.part import Part

_BRIEF_PARAMETERS = frozenset({b"charset", b"name", b"filename", b"name*", b"filename*"})
_BRIEF_BYTES = 100
_EMPTY_ENVELOPE = b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"


def format_bodystructure(part: Part, *, is_brief: bool = False) -> bytes:
    """BODYSTRUCTURE: the structure with all its extension data."""
    return _format(part, has_extension=True, is_brief=is_brief)


def format_body(part: Part, *, is_brief: bool = False) -> bytes:
    """BODY: the structure without extension data."""
    return _format(part, has_extension=False, is_brief=is_brief)


def _format(part: Part, *, has_extension: bool, is_brief: bool) -> bytes:
    pieces: list[bytes] = []
    content = part.content
    if content.media_type == "multipart" and part.children:
        children = [_format(child, has_extension=has_extension, is_brief=is_brief) for child in part.children]
        pieces += [b"".join(children), format_string(content.subtype.encode())]
        if has_extension:
            pieces.append(_parameters(content.parameters, is_brief=is_brief))
    else:
        pieces = _basic(part, is_brief=is_brief)
        if content.is_message and part.children:
            envelope = _EMPTY_ENVELOPE if is_brief else part.envelope or _EMPTY_ENVELOPE
            nested = _format(part.children[0], has_extension=has_extension, is_brief=is_brief)
            pieces += [envelope, nested, b"%d" % part.line_count]
        elif content.media_type == "text":
            pieces.append(b"%d" % part.line_count)
        if has_extension:
            pieces.append(format_nstring(None if is_brief else content.md5))
    if has_extension:
        pieces += _extension(part, is_brief=is_brief)
    return b"(" + b" ".join(pieces) + b")"


def _basic(part: Part, *, is_brief: bool) -> list[bytes]:
    """media-type, body-fields: type, subtype, parameters, id, description, encoding, octets."""
    content = part.content
    return [
        format_string(content.media_type.encode()),
        format_string(content.subtype.encode()),
        _parameters(content.parameters, is_brief=is_brief),
        format_nstring(None if is_brief else content.content_id),
        format_nstring(None if is_brief else content.description),
        format_string(content.encoding.encode("ascii", "replace")),
        b"%d" % part.size_bytes,
    ]


def _extension(part: Part, *, is_brief: bool) -> list[bytes]:
    """body-fld-dsp, body-fld-lang, body-fld-loc."""
    content = part.content
    disposition = b"NIL"
    if content.disposition is not None:
        kind = format_string(content.disposition.encode("ascii", "replace"))
        disposition = b"(%b %b)" % (kind, _parameters(content.disposition_parameters, is_brief=is_brief))
    languages = b"NIL"
    if content.languages and not is_brief:
        languages = b"(" + b" ".join(map(format_string, content.languages)) + b")"
    return [disposition, languages, format_nstring(None if is_brief else content.location)]


def _parameters(parameters: Parameters, *, is_brief: bool) -> bytes:
    if is_brief:
        parameters = tuple(
            (name, value[:_BRIEF_BYTES]) for name, value in parameters if name in _BRIEF_PARAMETERS
        )
    if not parameters:
        return b"NIL"
    return b"(" + b" ".join(format_string(text) for pair in parameters for text in pair) + b")"
