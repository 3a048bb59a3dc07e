"""Which files of a large message stay behind, the note in their place, and every other octet untouched."""

from base64 import b64encode
from dataclasses import replace
from datetime import date
from hashlib import sha256

import pytest

from mailserver.mime.decode import decode_body
from mailserver.mime.kept_files import (
    FILES,
    NAME_BYTES,
    NOTE_NAME,
    KeptFile,
    KeptNote,
    choose_parts,
    cut_parts,
    file_name,
    parse_note,
)
from mailserver.mime.part import Part
from mailserver.mime.scanner import MessageScanner

HEAD = b"From: a@a.test\r\nSubject: Images\r\nMessage-ID: <1@a.test>\r\nMIME-Version: 1.0\r\n"
DAY = date(2026, 12, 27)
URL = "https://pli.a.test/kept/AAAAAAAAAAAAAAAAAAAAAA"
CODE = "abcd-efgh-ijkl-mnop-qrst-uvwx-yz23-4567"
LIMIT = 40_000


def parse(octets: bytes) -> Part:
    scanner = MessageScanner()
    scanner.feed(octets)
    return scanner.close()


def file_part(name: str, data: bytes, kind: str = "application/zip") -> bytes:
    encoded = b64encode(data)
    lines = b"".join(encoded[at : at + 76] + b"\r\n" for at in range(0, len(encoded), 76))
    head = f'Content-Type: {kind}\r\nContent-Disposition: attachment; filename="{name}"\r\n'
    return head.encode() + b"Content-Transfer-Encoding: base64\r\n\r\n" + lines


def mixed(*entities: bytes, kind: str = "multipart/mixed", boundary: bytes = b"front") -> bytes:
    parts = b"".join(b"--" + boundary + b"\r\n" + each for each in entities)
    return b'Content-Type: %b; boundary="%b"\r\n\r\n%b--%b--\r\n' % (kind.encode(), boundary, parts, boundary)


def text(words: str = "Bonjour.") -> bytes:
    return f"Content-Type: text/plain; charset=utf-8\r\n\r\n{words}\r\n".encode()


def names(parts: tuple[Part, ...] | None) -> list[str] | None:
    return None if parts is None else [file_name(part) for part in parts]


def note_of(parts: tuple[Part, ...]) -> KeptNote:
    files = tuple(KeptFile(file_name(part), part.content.content_type, 7, bytes(32)) for part in parts)
    return KeptNote(URL, CODE, DAY, files)


def reduce(octets: bytes, parts: tuple[Part, ...], note: KeptNote | None = None) -> bytes:
    heads = [octets[part.header_start : part.body_start] for part in parts]
    out, at = b"", 0
    for cut in cut_parts(parts, heads, note or note_of(parts)):
        out += octets[at : cut.start] + cut.octets
        at = cut.stop
    return out + octets[at:]


BIG, MIDDLE, SMALL = (
    file_part("big.zip", bytes(60_000)),
    file_part("middle.zip", bytes(20_000)),
    file_part("s", b"s"),
)
SIGNED = mixed(BIG, text(), kind="multipart/signed", boundary=b"signed")
FORWARDED = b"Content-Type: message/rfc822\r\n\r\n" + HEAD + mixed(BIG, boundary=b"inner")


@pytest.mark.parametrize(
    ("message", "chosen"),
    [
        (HEAD + mixed(text(), SMALL, BIG, MIDDLE), ["big.zip"]),
        (HEAD + mixed(text(), BIG, BIG, MIDDLE), ["big.zip", "big.zip"]),
        (HEAD + mixed(text(), MIDDLE, MIDDLE), ["middle.zip"]),
        (HEAD + mixed(mixed(text(), BIG, kind="multipart/related", boundary=b"in"), SMALL), ["big.zip"]),
        (HEAD + mixed(text(), FORWARDED), ["message.eml"]),
        (HEAD + BIG, ["big.zip"]),
        (HEAD + mixed(text("long " * 20_000), SMALL), None),
        (HEAD + SIGNED, None),
        (HEAD + mixed(text(), SIGNED), None),
        (HEAD + mixed(SIGNED, BIG), None),
        (HEAD + text("x" * 90_000), None),
        (HEAD + mixed(*[file_part(f"{n}.jpg", bytes(1_000)) for n in range(FILES * 2)]), None),
    ],
)
def test_the_fewest_files_stay(message: bytes, chosen: list[str] | None) -> None:
    assert names(choose_parts(parse(message), len(message), LIMIT)) == chosen


def test_every_other_octet_stays_as_it_was() -> None:
    message = HEAD + mixed(text(), SMALL, BIG, MIDDLE) + b"an epilogue\r\n"
    root = parse(message)
    (big,) = parts = choose_parts(root, len(message), LIMIT)
    reduced = reduce(message, parts)
    assert reduced.startswith(message[: big.header_start])
    assert reduced.endswith(message[big.body_end :])
    before, after = list(root.walk()), list(parse(reduced).walk())
    assert [each.path for each in before] == [each.path for each in after]
    assert len(reduced) < LIMIT


def test_the_note_says_it_to_people_and_to_software() -> None:
    name = "Échographie d’Élise – “1”.zip"
    message = HEAD + mixed(text(), BIG)
    parts = choose_parts(parse(message), len(message), LIMIT)
    file = KeptFile(name, "application/zip", 314_572_800, sha256(b"x").digest())
    note = KeptNote(URL, CODE, DAY, (file,))
    reduced = reduce(message, parts, note)
    _root, _text, part = parse(reduced).walk()
    assert (part.content.content_type, part.content.charset, part.content.disposition) == (
        "text/plain",
        "utf-8",
        "inline",
    )
    assert part.content.filename == NOTE_NAME
    assert parse_note(reduced[part.header_start : part.body_start]) == note
    words = decode_body(reduced[part.body_start : part.body_end], "base64").decode()
    for said in (URL, CODE, name, "300,0 Mo", "300.0 MB", "27/12/2026", "2026-12-27"):
        assert said in words
    assert max(map(len, reduced.split(b"\r\n"))) <= 998


@pytest.mark.parametrize("boundary", [b"-", b"You", b"x.zip", b"Pour"])
def test_no_boundary_can_stand_in_the_note(boundary: bytes) -> None:
    message = HEAD + mixed(text(), BIG, boundary=boundary)
    parts = choose_parts(parse(message), len(message), LIMIT)
    note = KeptNote(URL, CODE, DAY, (KeptFile("--x.zip --You --Pour", "application/zip", 1, bytes(32)),))
    assert len(list(parse(reduce(message, parts, note)).walk())) == 3


def test_a_message_that_is_one_file_keeps_its_header() -> None:
    message = HEAD + BIG
    parts = choose_parts(parse(message), len(message), LIMIT)
    reduced = reduce(message, parts)
    assert reduced.startswith(HEAD)
    assert parse(reduced).content.content_type == "text/plain"
    assert reduced.count(b"Content-Type:") == 1


def test_fifty_files_with_the_longest_names_fit_into_the_limits() -> None:
    longest = "\U0001f600" * 80 + ".zip"
    entities = [file_part(longest, bytes(3_500)) for _ in range(FILES)]
    message = HEAD + mixed(text(), *entities, file_part("x" * 300 + ".zip", bytes(90_000)))
    parts = choose_parts(parse(message), len(message), 260_000)
    assert parts is not None
    every = tuple(parse(message).walk())[2 : FILES + 2]
    reduced = reduce(message, every)
    part = list(parse(reduced).walk())[2]
    found = parse_note(reduced[part.header_start : part.body_start])
    assert found is not None
    assert len(found.files) == FILES
    assert all(len(each.filename.encode()) <= NAME_BYTES for each in found.files)
    assert len(reduced) - len(message) + sum(each.size_bytes for each in every) < 4096 + FILES * 3 * 1024


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("", "fichier"),
        ("a b.zip", "a b.zip"),
        ("x" * 300 + ".dcm", "x" * 196 + ".dcm"),
        ("é" * 150 + ".zip", "é" * 98 + ".zip"),
        ("." + "y" * 300, "." + "y" * 199),
    ],
)
def test_names_are_cut_before_their_ending(name: str, kept: str) -> None:
    (_root, part) = parse(HEAD + mixed(file_part(name or "x", b"x"))).walk()
    named = replace(
        part, content=replace(part.content, disposition_parameters=((b"filename", name.encode()),))
    )
    assert file_name(named) == kept


GOOD = f'Content-Kept: {URL}; code="{CODE}"; until="2026-12-27"\r\n'
FILE = f'Content-Kept-File: application/zip; filename="a.zip"; size="7"; sha-256="{"0" * 64}"\r\n'


@pytest.mark.parametrize(
    "head",
    [
        "",
        "Content-Type: text/plain\r\n",
        GOOD,
        FILE,
        GOOD.replace("https", "http") + FILE,
        GOOD.replace(CODE, "a<b>") + FILE,
        GOOD.replace("2026-12-27", "bientôt") + FILE,
        GOOD + FILE.replace('"7"', '"-7"'),
        GOOD + FILE.replace("0" * 64, "0" * 63),
        GOOD + FILE.replace("application/zip", "zip"),
    ],
)
def test_what_is_no_note_is_none(head: str) -> None:
    assert parse_note(GOOD.encode() + FILE.encode()) is not None
    assert parse_note(head.encode()) is None
