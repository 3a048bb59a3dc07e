"""Which part of a result a client asks for: RETURN (…) and PARTIAL (RFC 4731 §4, RFC 5182 §3, RFC 9394 §4)."""

import re

from mailserver.imap.commands import ResultOption, ResultRange, Returns
from mailserver.imap.cursor import Cursor
from mailserver.imap.grammar import parse_number
from mailserver.model.errors import Malformed

MOST_OPTIONS = 16

# partial-range = nz-number ":" nz-number / MINUS nz-number ":" MINUS nz-number
_RANGE = re.compile(rb"(-?)([1-9][0-9]{0,9}):\1([1-9][0-9]{0,9})")


def parse_returns(cursor: Cursor) -> Returns:
    """``(MIN MAX …)``, after RETURN and its space; Malformed ``bad_result_option``."""
    found = cursor.listed(lambda: _parse_option(cursor), most=MOST_OPTIONS, may_be_empty=True)
    ranges = [each for each in found if isinstance(each, ResultRange)]
    if len(ranges) > 1:
        raise Malformed("bad_result_option", "PARTIAL twice")
    options = frozenset(each for each in found if isinstance(each, ResultOption))
    if not found:
        options = frozenset({ResultOption.ALL})
    return Returns(options, ranges[0] if ranges else None)


def parse_range(cursor: Cursor) -> ResultRange:
    """RFC 9394 §4 partial-range; Malformed ``bad_partial``."""
    found = cursor.take(_RANGE)
    if found is None:
        raise Malformed("bad_partial")
    sign = -1 if found[1] else 1
    return ResultRange(sign * parse_number(found[2]), sign * parse_number(found[3]))


def _parse_option(cursor: Cursor) -> ResultOption | ResultRange:
    name = cursor.keyword("bad_result_option")
    if name == "PARTIAL":
        cursor.space()
        return parse_range(cursor)
    try:
        return ResultOption(name)
    except ValueError:
        raise Malformed("bad_result_option") from None
