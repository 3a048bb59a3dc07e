"""The tokens of IMAP, each regular expression under its ABNF (RFC 9051 §9, RFC 3501 §9).

Patterns are compiled once, anchored by ``match`` at a cursor, and possessive where they repeat, so that no input
makes them back-track. Octets above 126 are outside every pattern except the quoted string's.
"""

import re
from datetime import UTC, date, datetime, timedelta, timezone

from mailserver.model.account import FLAG_NAMES
from mailserver.model.errors import Malformed

# tag = 1*<any ASTRING-CHAR except "+">
TAG = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\+]++')

# atom = 1*ATOM-CHAR; atom-specials = "(" / ")" / "{" / SP / CTL / list-wildcards / quoted-specials / resp-specials
ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]++')

# astring = 1*ASTRING-CHAR / string; ASTRING-CHAR = ATOM-CHAR / resp-specials
ASTRING_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]++')

# list-mailbox = 1*list-char / string; list-char = ATOM-CHAR / list-wildcards / resp-specials
LIST_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){"\\]++')

# quoted = DQUOTE *QUOTED-CHAR DQUOTE; QUOTED-CHAR = <any TEXT-CHAR except quoted-specials> / "\" quoted-specials
#          / UTF8-2 / UTF8-3 / UTF8-4 (RFC 9051; whether the octets are UTF-8 is judged when they become text)
QUOTED = re.compile(rb'"((?:[^\x00\r\n"\\]++|\\["\\])*+)"')
QUOTED_ESCAPE = re.compile(rb'\\(["\\])')

# literal = "{" number64 ["+"] "}" CRLF *CHAR8 (RFC 7888 §7); literal8 = "~" literal (its tilde stays in the text)
LITERAL_MARK = re.compile(rb"\{([0-9]++)(\+?)\}")

# number = 1*DIGIT (0 <= n < 4,294,967,296); mod-sequence values are 63 bits (RFC 7162 §7)
NUMBER = re.compile(rb"[0-9]{1,20}+")

# seq-number = nz-number / "*"; sequence-set = (seq-number / seq-range) ["," sequence-set] / seq-last-command
# seq-last-command = "$" (RFC 5182 §3)
SEQUENCE_RANGE = re.compile(rb"([1-9][0-9]{0,9}|\*)(?::([1-9][0-9]{0,9}|\*))?")
SEQUENCE_SET = re.compile(rb"[0-9*:,]++|\$")

# flag = "\Answered" / … / flag-keyword / flag-extension; flag-extension = "\" atom
FLAG = re.compile(rb'\\?[^\x00-\x20\x7f-\xff(){%*"\\\]]++')

# date-text = date-day "-" date-month "-" date-year; date-day = 1*2DIGIT; date = date-text / DQUOTE date-text DQUOTE
DATE = re.compile(rb'("?)([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})\1')

# date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE
DATE_TIME = re.compile(
    rb'"([ 0-9][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"'
)

# section-part = nz-number *("." nz-number); the name after it is section-text
SECTION_PART = re.compile(rb"[1-9][0-9]{0,8}(?:\.[1-9][0-9]{0,8})*+")
SECTION_TEXT = re.compile(rb"(HEADER\.FIELDS\.NOT|HEADER\.FIELDS|HEADER|TEXT|MIME)(?=[\] ])", re.IGNORECASE)

# partial = "<" number64 "." nz-number64 ">"
PARTIAL = re.compile(rb"<([0-9]{1,20})\.([0-9]{1,20})>")

# header-fld-name = astring; RFC 5322 §3.6.8: printable US-ASCII except colon
FIELD_NAME = re.compile(rb"[\x21-\x39\x3b-\x7e]++")

# objectid = 1*255(ALPHA / DIGIT / "_" / "-") (RFC 8474 §7)
OBJECT_ID = re.compile(rb"[A-Za-z0-9_-]{1,255}+")

# fetch-att names before any "[" or "<"
FETCH_NAME = re.compile(rb"[A-Za-z0-9.]++")

# base64 = *(4base64-char) [base64-terminal]
BASE64 = re.compile(rb"[A-Za-z0-9+/]*+={0,2}")

MAX_NUMBER = 2**32 - 1
MAX_NUMBER64 = 2**63 - 1

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""RFC 9051 §9 date-month; never taken from a locale."""

_MONTH_NUMBERS = {name.upper().encode(): number for number, name in enumerate(MONTHS, 1)}
_FLAG_SPELLING = {name.lower(): name for name in FLAG_NAMES}
_NOT_STORABLE = frozenset({"\\recent", "\\*"})


def find_tag(text: bytes) -> str | None:
    """The tag that opens a command line, or None when no tag can be read there."""
    found = TAG.match(text)
    if found is None or text[found.end() : found.end() + 1] not in {b"", b" "}:
        return None
    return found[0].decode("ascii")


def parse_number(digits: bytes, *, highest: int = MAX_NUMBER) -> int:
    """A decimal number from 0 to ``highest``; Malformed ``bad_number``."""
    if not NUMBER.fullmatch(digits) or int(digits) > highest:
        raise Malformed("bad_number")
    return int(digits)


def parse_flag(text: bytes) -> str:
    r"""One flag in its canonical spelling (flags are case-insensitive, RFC 9051 §2.3.2).

    Malformed ``bad_flag`` for a system flag that does not exist and for \Recent, which no client may set.
    """
    name = text.decode("ascii")
    known = _FLAG_SPELLING.get(name.lower())
    if known is not None:
        return known
    if name.startswith("\\"):
        detail = "not for clients to set" if name.lower() in _NOT_STORABLE else "no such system flag"
        raise Malformed("bad_flag", detail)
    return name


def parse_date(text: bytes) -> date:
    """RFC 9051 §9 date; Malformed ``bad_date``."""
    found = DATE.fullmatch(text)
    if found is None:
        raise Malformed("bad_date")
    try:
        return date(int(found[4]), _month(found[3]), int(found[2]))
    except ValueError:
        raise Malformed("bad_date") from None


def parse_date_time(text: bytes) -> datetime:
    """RFC 9051 §9 date-time, as an aware UTC time; Malformed ``bad_date``."""
    found = DATE_TIME.fullmatch(text)
    if found is None:
        raise Malformed("bad_date")
    offset = timedelta(hours=int(found[8]), minutes=int(found[9]))
    try:
        zone = timezone(-offset if found[7] == b"-" else offset)
        local = datetime(
            int(found[3]),
            _month(found[2]),
            int(found[1]),
            int(found[4]),
            int(found[5]),
            min(int(found[6]), 59),  # a leap second is kept as the second before it
            tzinfo=zone,
        )
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Malformed("bad_date") from None


def _month(name: bytes) -> int:
    number = _MONTH_NUMBERS.get(name.upper())
    if number is None:
        raise Malformed("bad_date")
    return number
