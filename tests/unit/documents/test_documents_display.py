"""What may be shown in place, and under which names."""

import pytest
from unit.documents.xdm_archives import cda_with, good_cda, sample

from mailserver.documents.archive import read_archive
from mailserver.documents.codes import Code
from mailserver.documents.display import (
    MAX_NAME_CHARACTERS,
    MAX_TITLE_CHARACTERS,
    PLAIN_TEXT,
    find_shown,
    human_title,
    safe_file_name,
)

PNG = b"\x89PNG\r\n\x1a\n...."
JPEG = b"\xff\xd8\xff\xe0...."


@pytest.mark.parametrize(
    ("media_type", "data", "content_type"),
    [
        ("application/pdf", b"%PDF-1.4", "application/pdf"),
        ("Application/PDF; name=x", b"%PDF-1.4", "application/pdf"),
        ("image/jpg", JPEG, "image/jpeg"),
        ("image/png", PNG, "image/png"),
        ("text/plain", b"Bonjour", PLAIN_TEXT),
        ("text/plain; charset=iso-8859-1", "é".encode("latin-1"), PLAIN_TEXT),
        ("application/pdf", PNG, None),
        ("image/png", b"<svg/>", None),
        ("text/html", b"<p>", None),
        ("image/svg+xml", b"<svg/>", None),
        ("text/plain", b"a\x00b", None),
        ("text/xml", b"<a/>", None),
        ("", b"", None),
    ],
)
def test_shown_in_place(media_type: str, data: bytes, content_type: str | None) -> None:
    shown = find_shown(media_type, data)
    assert (shown.content_type if shown else None) == content_type


def test_text_is_shown_as_utf_8() -> None:
    shown = find_shown("text/plain", "déjà".encode("cp1252"))
    assert shown is not None
    assert shown.data == "déjà".encode()


def test_the_file_in_a_letter_is_shown() -> None:
    shown = find_shown("text/xml", good_cda())
    assert shown is not None
    assert shown.content_type == "application/pdf"
    assert shown.data.startswith(b"%PDF-")


@pytest.mark.parametrize(
    "data",
    [
        cda_with('mediaType="application/pdf"', 'mediaType="text/html"'),
        cda_with('mediaType="application/pdf"', 'mediaType="image/png"'),
        cda_with(">JVBERi", ">!"),
        read_archive(sample("CCDA_Ambulatory_in_XDM")).files["SUBSET01/CCDA_Ambulatory.xml"],
    ],
)
def test_other_letters_are_for_download(data: bytes) -> None:
    assert find_shown("text/xml", data) is None


@pytest.mark.parametrize(
    ("title", "media_type", "name"),
    [
        ("CR d'imagerie médicale", "application/pdf", "CR d'imagerie médicale.pdf"),
        ("letter.PDF", "application/pdf", "letter.pdf"),
        ("../../etc/passwd", "text/plain", "_.._etc_passwd.txt"),
        ("C:\\x", "text/xml", "C__x.xml"),
        ("a\r\nSet-Cookie: b", "application/pdf", "a Set-Cookie_ b.pdf"),
        ("gpj\u202eexe", "image/jpeg", "gpj exe.jpg"),
        ("", "application/pdf", "document.pdf"),
        ("...", "application/zip", "document.bin"),
        ("con", "text/plain", "document con.txt"),
        ("NUL.x", "text/plain", "document NUL.x.txt"),
        ("console", "text/plain", "console.txt"),
        ("x" * 500, "application/pdf", "x" * 116 + ".pdf"),
    ],
)
def test_file_names(title: str, media_type: str, name: str) -> None:
    assert safe_file_name(title, media_type) == name
    assert len(name) <= MAX_NAME_CHARACTERS


@pytest.mark.parametrize(
    ("title", "type_code", "class_code", "expected"),
    [
        ("  Lettre\n au \x07 confrère ", None, None, "Lettre au confrère"),
        ("", Code("96349-6"), None, "Lettre d'adressage"),
        ("", Code("X", "", "Leur mot"), None, "Leur mot"),
        ("", Code("X"), Code("31"), "Imagerie"),
        ("", None, Code("zz", "", "Classe"), "Classe"),
        ("\u200b", None, None, "Document"),
    ],
)
def test_titles(title: str, type_code: Code | None, class_code: Code | None, expected: str) -> None:
    assert human_title(title, type_code, class_code) == expected


def test_a_long_title_is_cut() -> None:
    assert human_title("x" * 5000, None) == "x" * (MAX_TITLE_CHARACTERS - 1) + "…"
