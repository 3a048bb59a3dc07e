"""Every refusal: code, enhanced code, cause and remedy in two languages, within 512 octets of ASCII."""

import re

import pytest

from mailserver.audit.wording import Language
from mailserver.model.errors import Conflict, Corrupt, Denied, Unavailable
from mailserver.smtp.framing import LineFault
from mailserver.smtp.replies import (
    HELP,
    TROUBLES,
    format_accepted,
    format_lines,
    refuse_error,
    refuse_form,
    refuse_incident,
)

LINE = re.compile(rb"([2-5][0-9]{2})[ -](([245])\.[0-9]\.[0-9]{1,2}) [ -~]+\r\n")


@pytest.mark.parametrize("word", sorted(TROUBLES))
def test_each_trouble(word):
    refusal = refuse_form(word)
    lines = refusal.octets(Language.FRENCH).splitlines(keepends=True)
    assert len(lines) == 2
    for line in lines:
        found = LINE.fullmatch(line)
        assert found is not None, line
        assert len(line) <= 512
        assert found[1][:1] == found[3], "class of both codes"
        assert line.count(b". ") + line.count(b": ") >= 1, "a cause and a remedy"
    assert lines[0][3:4] == b"-"
    assert lines[1][3:4] == b" "
    assert refusal.code == TROUBLES[word].code


@pytest.mark.parametrize(
    ("first", "head"),
    [
        (Language.FRENCH, b"530-5.7.0 Vous n'etes pas identifie."),
        (Language.ENGLISH, b"530-5.7.0 You are not logged in."),
    ],
)
def test_the_operators_language_comes_first(first, head):
    reply = refuse_form("auth-required").octets(first)
    assert reply.startswith(head)
    assert b"\r\n530 5.7.0 " in reply


def test_line_faults_have_words():
    assert {fault.value for fault in LineFault} <= TROUBLES.keys()


@pytest.mark.parametrize(
    ("error", "head"),
    [
        (Unavailable("disk-full"), b"452-4.3.1"),
        (Unavailable("disk-io"), b"451-4.3.0"),
        (Unavailable("stopping"), b"421-4.3.2"),
        (Unavailable("database"), b"451-4.3.0"),
        (Denied("scope"), b"550-5.7.0"),
    ],
)
def test_expected_errors(error, head):
    assert refuse_error(error).octets(Language.FRENCH).startswith(head)


@pytest.mark.parametrize("error", [Corrupt("seal"), Conflict("moved"), Denied("login")])
def test_other_errors_are_incidents(error):
    assert refuse_error(error) is None


def test_an_incident_shows_its_id_only():
    assert (
        refuse_incident("0a1b2c3d").octets(Language.FRENCH).startswith(b"451-4.3.0 (incident 0a1b2c3d)\r\n")
    )


def test_shapes():
    assert format_lines(250, ["a", "b"]) == b"250-a\r\n250 b\r\n"
    assert HELP.endswith(b"\r\n")
    assert format_accepted("0f") == b"250 2.6.0 Accepted as 0f\r\n"
