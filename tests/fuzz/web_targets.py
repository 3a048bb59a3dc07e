"""Fuzz targets of the web's own readers: a form's parts are the same however it is cut; only Malformed and OverLimit leave."""

from mailserver.model.errors import Malformed, OverLimit
from webmail.form_stream import (
    FILE_NAME_CHARACTERS,
    HEADER_BYTES,
    FormStream,
    clean_file_name,
    find_boundary,
    parse_small_form,
)


def read_form(data: bytes) -> None:
    """multipart/form-data whose boundary is ``b``."""
    whole = _parts([data])
    if len(data) < HEADER_BYTES:  # beyond it the limit of a header counts what has come
        assert _parts([data[at : at + 1] for at in range(len(data))]) == whole, "a split changed the form"


def _parts(pieces: list[bytes]) -> list[object]:
    found: list[object] = []
    try:
        for part in FormStream(iter(pieces), "b").parts():
            found.append((part.name, part.filename, part.content_type))
            found.append(b"".join(part.chunks))
    except (Malformed, OverLimit) as error:
        found.append(error.code)
    return found


def read_small_form(data: bytes) -> None:
    """application/x-www-form-urlencoded, and what else a browser writes about a form."""
    try:
        parse_small_form(data)
    except Malformed as error:
        assert error.code == "form"
    text = data.decode("latin-1")
    find_boundary(text)
    assert len(clean_file_name(text)) <= FILE_NAME_CHARACTERS
