"""No committed file names the machine it was written on, a package index, a person's mail domain, or a private key."""

import base64
import binascii
import re
from collections.abc import Callable

import pytest
from architecture.source_tree import ROOT, repository_files, text_of

# Written in pieces, so that this file does not match itself.
MACHINE_PATHS = re.compile(r"(?<![\w.$}/-])/(?:" + "root|work|tmp|opt|home" + r")/[\w.-]")
INDEXES = re.compile(
    r"--(?:extra-)?index-" + r"url\b|--find-" + r"links\b|--trusted-" + r"host\b|"
    r"\b(?:pypi\.(?:org|python\.org)|pythonhosted\.org|registry\.(?:npmjs\.org|yarnpkg\.com)|deb\.debian\.org)\b"
)
MAILBOX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+'-]*@(?P<domain>(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,})\b")
INVENTED = re.compile(r"(?i)(?:^|\.)(?:example|test|invalid|localhost|example\.[a-z]{2,})$")
PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s+((?:[A-Za-z0-9+/=]{16,}\s*){2,})-----END"
)

TEST_DATA = "tests/data/"
VERBATIM = {"LICENSE"}
NEVER_TEXT = {".png", ".ico", ".woff2", ".zip", ".pdf", ".eml", ".der"}

# path → why it may name a mail domain that is in use. The list only shrinks.
REAL_DOMAINS: dict[str, str] = {}


def committed_texts() -> list[tuple[str, str]]:
    found = []
    for path in repository_files():
        name = path.relative_to(ROOT).as_posix()
        if name in VERBATIM or path.suffix in NEVER_TEXT:
            continue
        text = text_of(path)
        if text is not None:
            found.append((name, text))
    return found


def machine_paths(text: str) -> list[str]:
    return MACHINE_PATHS.findall(text)


def index_addresses(text: str) -> list[str]:
    return INDEXES.findall(text)


def real_domains(text: str) -> list[str]:
    return [match["domain"] for match in MAILBOX.finditer(text) if not INVENTED.search(match["domain"])]


def private_keys(text: str) -> list[str]:
    return [body[:20] for body in PRIVATE_KEY.findall(text) if is_der(body)]


def is_der(body: str) -> bool:
    try:
        return base64.b64decode("".join(body.split()), validate=True).startswith(b"\x30")
    except binascii.Error:
        return False


def offenders(look: Callable[[str], list[str]]) -> dict[str, list[str]]:
    return {name: found for name, text in committed_texts() if (found := look(text))}


def test_no_machine_path() -> None:
    assert not offenders(machine_paths)


def test_no_index_address() -> None:
    assert not offenders(index_addresses)


def test_mail_domains_are_invented() -> None:
    found = {
        name: domains for name, domains in offenders(real_domains).items() if not name.startswith(TEST_DATA)
    }
    named = {name: domains for name, domains in found.items() if name not in REAL_DOMAINS}
    assert not named, f"mail domains that may be somebody's: {named}"
    assert not REAL_DOMAINS.keys() - found.keys(), "no longer needed"


def test_no_private_key() -> None:
    assert not [name for name in offenders(private_keys) if not name.startswith(TEST_DATA)]


def test_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "GNU AFFERO GENERAL PUBLIC LICENSE" in text.splitlines()[0]
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize(
    "text", ["cd /" + "work/main", '"/' + 'tmp/x"', "(/" + "home/ann/x)", "/" + "root/.cache"]
)
def test_machine_paths_are_seen(text: str) -> None:
    assert machine_paths(text)


@pytest.mark.parametrize(
    "text", ["/var/lib/pli", "GET /work", "a/tmp/b", "https://example.org/" + "work/x", "$HOME/" + "tmp/x"]
)
def test_other_paths_are_not(text: str) -> None:
    assert not machine_paths(text)


@pytest.mark.parametrize(
    ("address", "is_invented"),
    [
        ("ann@a.localhost", True),
        ("ann@hospital.example", True),
        ("ann@mail.example.org", True),
        ("ann@medical.test", True),
        ("ann@" + "gmail.com", False),
        ("ann@" + "example-clinic.fr", False),
        ("ann@" + "chu.mssante.fr", False),
    ],
)
def test_domains_are_judged(address: str, is_invented: bool) -> None:
    assert (real_domains(f"To: <{address}>") == []) is is_invented


def test_private_keys_are_seen() -> None:
    body = base64.encodebytes(b"\x30" + bytes(200)).decode()
    text = "-----BEGIN " + "PRIVATE KEY-----\n" + body + "-----END " + "PRIVATE KEY-----\n"
    assert private_keys(text)
    assert not private_keys("-----BEGIN " + "PRIVATE KEY-----")
