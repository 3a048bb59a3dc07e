"""Previews: which text, how it reads, how long it is, and what it may cost."""

import time
from dataclasses import replace

import pytest
from unit.mime.mime_messages import crlf, summary_of

from mailserver.mime.preview import HTML_BYTES, PREVIEW_BYTES, PREVIEW_CHARACTERS, first_words, strip_markup
from mailserver.mime.summary_wire import SummaryView, format_summary, parse_summary


def preview(octets: bytes) -> str:
    return first_words(summary_of(octets), lambda start, stop: octets[start:stop])


def html(text: str) -> str:
    return preview(crlf("Content-Type: text/html; charset=utf-8\n\n") + text.encode())


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Subject: x\n\nBonjour,\n\n  voici   les résultats.\n", "Bonjour, voici les résultats."),
        ("Subject: x\n\n", ""),
        ("Subject: x\n\n \n\t\n", ""),
        ("Content-Transfer-Encoding: base64\n\nUsOpc3VsdGF0cyBpY2k=\n", "Résultats ici"),
        ("Content-Transfer-Encoding: quoted-printable\n\nR=C3=A9sul=\ntats\n", "Résultats"),
        (
            "Content-Type: text/plain; charset=iso-8859-15\nContent-Transfer-Encoding: quoted-printable\n\n12 =A4\n",
            "12 €",
        ),
        ("Subject: x\n\n> Avez-vous reçu ?\nOui, merci.\n-- \nDr Fictif\n", "Oui, merci."),
        ("Subject: x\n\n> tout est cité\n", "> tout est cité"),
        ("Content-Type: text/html\n\n<p>Bonjour</p><p>Camille</p>", "Bonjour Camille"),
        ("Content-Type: application/pdf\n\nnon", ""),
        ("Content-Type: text/plain; name=a.txt\n\nun fichier", ""),
        ("Content-Type: text/calendar\n\nBEGIN:VCALENDAR", ""),
        (
            (
                "Content-Type: multipart/alternative; boundary=b\n\n--b\n\nle texte\n"
                "--b\nContent-Type: text/html\n\n<b>le HTML</b>\n--b--\n"
            ),
            "le texte",
        ),
        (
            (
                "Content-Type: multipart/alternative; boundary=b\n\n--b\n\n \n"
                "--b\nContent-Type: text/html\n\n<b>le HTML</b>\n--b--\n"
            ),
            "le HTML",
        ),
        (
            (
                "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Disposition: attachment\n\nle fichier\n"
                "--b\n\nle texte\n--b--\n"
            ),
            "le texte",
        ),
        (
            "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: y\n\ntransmis\n--b--\n",
            "",
        ),
    ],
)
def test_which_text(message: str, words: str) -> None:
    assert preview(crlf(message)) == words


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        ("<html><head><title>non</title><style>p{}</style></head><body>oui</body>", "oui"),
        ("<head><style>p{}</style><body>oui", "oui"),
        ("<STYLE type=x>p{}</sTyLe >oui<script>non()</script>", "oui"),
        ("avant<!-- <p>non</p> -->après", "avantaprès"),
        ("<![if mso]>x<![endif]>", "x"),
        ("un <b>mo</b>t,<br>puis<hr/>un autre", "un mot, puis un autre"),
        ("5 &lt; 6 &amp; &eacute;t&#233; &nbsp; &copy", "5 < 6 & été ©"),
        ("5 < 6 et 7 <8", "5 < 6 et 7 <8"),
        ("jamais fini <p", "jamais fini"),
        ("jamais fini <!-- <p>", "jamais fini"),
        ("jamais fini <style>p{}", "jamais fini"),
        ('<img alt="x">\u200c\u00a0\u200c\u00a0\u034f\u00a0\u200b oui', "oui"),
        ("<custom-tag>oui</custom-tag>", "oui"),
    ],
)
def test_markup(markup: str, words: str) -> None:
    assert html(markup) == words


def test_length_limits() -> None:
    assert preview(crlf("\nmot " * 500)) == ("mot " * 50).strip()
    assert len(preview(crlf("\n" + "a" * 5000))) == PREVIEW_CHARACTERS
    wide = preview(crlf("\n" + "é" * 5000))
    assert len(wide.encode()) == PREVIEW_BYTES
    assert set(preview(crlf("\n" + "漢" * 5000))) == {"漢"}


def test_no_control_and_no_turned_text() -> None:
    text = preview(crlf("\na\x00\x1b[31mb\u202egnp.exe\u2066c\x85d"))
    assert text == "a[31mbgnp.exec d"


@pytest.mark.parametrize(
    "text",
    ["<" * HTML_BYTES, "<a" * HTML_BYTES, "<!--" * HTML_BYTES, "<style>" * HTML_BYTES, "&" * HTML_BYTES, "<p>&#x;" * HTML_BYTES,
     "\u200c" * HTML_BYTES, "</" * HTML_BYTES, "<p>" * HTML_BYTES, "&aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" * HTML_BYTES],
    ids=lambda text: text[:7],
)  # fmt: skip
def test_hostile_markup_is_cheap(text: str) -> None:
    start = time.process_time()
    html(text)
    assert time.process_time() - start < 0.25  # 5 ms or less measured on an idle core


def test_only_the_beginning_is_read() -> None:
    octets = crlf("Content-Type: text/html\n\n<p>oui") + b"x" * 10_000_000
    reads: list[int] = []

    def read(start: int, stop: int) -> bytes:
        reads.append(stop - start)
        return octets[start:stop]

    first_words(summary_of(octets), read)
    assert sum(reads) <= HTML_BYTES


def test_markup_is_text_again_only_once() -> None:
    assert strip_markup("&lt;b&gt;") == "<b>"


def test_a_summary_carries_it_and_older_ones_open() -> None:
    old = summary_of(crlf("Subject: x\n\nBonjour"))
    new = replace(old, preview="Bonjour à tous")
    for summary, octets in ((old, None), (new, "Bonjour à tous".encode()), (replace(old, preview=""), b"")):
        wire = format_summary(summary)
        assert parse_summary(wire) == summary
        assert SummaryView(wire).preview == octets
    assert (format_summary(old)[0], format_summary(new)[0]) == (1, 2)
