"""Sample mails: each parses in both line-end forms, and structures agree with what their authors expect."""

import json
from pathlib import Path

import pytest
from unit.mime.mime_messages import DATA, paths, read_list, scan, summary_of

from mailserver.mime.summary_wire import format_summary, parse_summary

STRUCTURE = sorted((DATA / "mime/structure").glob("*.eml"))
MALFORMED = sorted((DATA / "mime/malformed").glob("*.eml"))
HEALTH = sorted((DATA / "xdm").glob("mail-*.eml"))


def test_the_samples_are_there() -> None:
    assert (len(STRUCTURE), len(MALFORMED), len(HEALTH)) == (5, 23, 6)


@pytest.mark.parametrize(
    "path", [*STRUCTURE, *MALFORMED, *HEALTH], ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_every_sample_parses(path: Path) -> None:
    octets = path.read_bytes()
    bare = octets.replace(b"\r\n", b"\n")
    trees = []
    for form in (bare, bare.replace(b"\n", b"\r\n")):
        summary = summary_of(form)
        assert parse_summary(format_summary(summary)) == summary
        for tree in (summary.envelope, summary.body, summary.bodystructure):
            read_list(tree)
        trees.append(paths(scan(form)))
    assert trees[0] == trees[1]


@pytest.mark.parametrize("path", STRUCTURE, ids=lambda path: path.stem)
def test_structure_is_what_its_authors_expect(path: Path) -> None:
    """Same offsets for every part they list; nested messages and what is below them are theirs to count apart."""
    expected = json.loads(path.with_suffix(".json").read_text())["parts"]
    offsets = {(part.header_start, part.body_start, part.body_end) for part in scan(path.read_bytes()).walk()}
    listed = [(part["offset_header"], part["offset_body"], part["offset_end"]) for part in expected]
    assert len(listed) > 2
    assert set(listed) <= offsets


# names of the parts' types, parents before children; o = taken as octets
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("000", "mixed plain plain plain html"),
        ("001", "mixed o plain"),
        ("002", "o"),
        ("003", "mixed mixed plain"),
        ("005", "mixed mixed plain"),
        ("007", "mixed mixed plain"),
        ("008", "mixed mixed plain html"),
        ("009", "mixed mixed plain plain plain"),
        ("010", "rfc822 rfc822 plain"),
        ("012", "mixed mixed rfc822 plain rfc822 plain rfc822 plain"),
        ("015", "signed plain pgp-signature"),
        ("017", "o"),
        ("020", "related alternative html plain png"),
        ("022", "mixed plain rfc822 plain"),
    ],
)
def test_malformed_structures(name: str, expected: str) -> None:
    found = paths(scan((DATA / f"mime/malformed/{name}.eml").read_bytes()))
    kinds = [content_type.partition("/")[2].replace("octet-stream", "o") for _, content_type in found]
    assert " ".join(kinds) == expected


def test_health_mails() -> None:
    by_name = {path.stem[:6]: summary_of(path.read_bytes()) for path in HEALTH}
    assert [item.filename for item in by_name["mail-1"].attachments] == [
        "IHE_XDM.zip",
        "20260302_Lettre_adressage_PAT-TROIS_DOMINIQUE.pdf",
    ]
    assert by_name["mail-1"].subject == "XDM/1.0/DDM+Lettre d'adressage PAT-TROIS DOMINIQUE 28/03/1979"
    assert by_name["mail-4"].subject.startswith("[KO Intégration système !][902] ")
    assert by_name["mail-3"].in_reply_to.startswith("<xdm-0001@")
