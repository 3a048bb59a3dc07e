"""SEARCH's key tree."""

from datetime import date

import pytest

from mailserver.imap.commands import ResultOption, Returns
from mailserver.imap.framing import RawCommand
from mailserver.imap.parse import BadCommand, parse_command
from mailserver.imap.search_keys import (
    AgeKey,
    AndKey,
    DateField,
    DateKey,
    DateOrder,
    EmailIdKey,
    EveryKey,
    FlagKey,
    HeaderKey,
    ModseqKey,
    NotKey,
    OrKey,
    RecentKey,
    SetKey,
    SizeKey,
    TextKey,
)
from mailserver.imap.sequence_set import SAVED, STAR, SequenceSet

DAY = date(2026, 2, 1)
SEEN = FlagKey("\\Seen")
INTERNAL, SENT = DateField.INTERNAL, DateField.SENT


def search(*texts, literals=()):
    return parse_command(RawCommand((b"a " + texts[0], *texts[1:]), literals))[1]


KEYS = {
    b"ALL": EveryKey(),
    b"seen": SEEN,
    b"UNDRAFT": FlagKey("\\Draft", is_set=False),
    b"NEW": AndKey((RecentKey(), FlagKey("\\Seen", is_set=False))),
    b"OLD": NotKey(RecentKey()),
    b"RECENT": RecentKey(),
    b"KEYWORD $junk": FlagKey("$Junk"),
    b"UNKEYWORD mine": FlagKey("mine", is_set=False),
    b"BEFORE 1-Feb-2026": DateKey(INTERNAL, DateOrder.BEFORE, DAY),
    b'ON "01-FEB-2026"': DateKey(INTERNAL, DateOrder.ON, DAY),
    b"SINCE 1-Feb-2026": DateKey(INTERNAL, DateOrder.SINCE, DAY),
    b"SENTBEFORE 1-Feb-2026": DateKey(SENT, DateOrder.BEFORE, DAY),
    b"SENTON 1-Feb-2026": DateKey(SENT, DateOrder.ON, DAY),
    b"SENTSINCE 1-Feb-2026": DateKey(SENT, DateOrder.SINCE, DAY),
    b"SAVEDBEFORE 1-Feb-2026": DateKey(DateField.SAVED, DateOrder.BEFORE, DAY),
    b"SAVEDON 1-Feb-2026": DateKey(DateField.SAVED, DateOrder.ON, DAY),
    b"SAVEDSINCE 1-Feb-2026": DateKey(DateField.SAVED, DateOrder.SINCE, DAY),
    b"SAVEDATESUPPORTED": EveryKey(),
    b"UNSEEN YOUNGER 259200": AndKey((FlagKey("\\Seen", is_set=False), AgeKey(259200, is_younger=True))),
    b"OLDER 1": AgeKey(1, is_younger=False),
    b"EMAILID M" + b"0f" * 16: EmailIdKey(b"\x0f" * 16),
    b'EMAILID "else"': EmailIdKey(None),
    b"THREADID T1": NotKey(EveryKey()),
    b"LARGER 5": SizeKey(5, is_larger=True),
    b"SMALLER 5": SizeKey(5, is_larger=False),
    b"1,3:*": SetKey(SequenceSet(((1, 1), (3, STAR))), uid=False),
    b"UID 4": SetKey(SequenceSet(((4, 4),)), uid=True),
    b"$": SetKey(SAVED, uid=False),
    b"UID $ SEEN": AndKey((SetKey(SAVED, uid=True), SEEN)),
    b"MODSEQ 7": ModseqKey(7),
    b'MODSEQ "/flags/\\\\draft" all 7': ModseqKey(7),
    b"HEADER X-Spam yes": HeaderKey("x-spam", "yes"),
    b'HEADER Subject ""': HeaderKey("subject", ""),
    b"FROM a": HeaderKey("from", "a"),
    b"TO a": HeaderKey("to", "a"),
    b"CC a": HeaderKey("cc", "a"),
    b"BCC a": HeaderKey("bcc", "a"),
    b'SUBJECT "\xc3\xa9t\xc3\xa9"': HeaderKey("subject", "été"),
    b"BODY a": TextKey("a", with_header=False),
    b"TEXT a": TextKey("a", with_header=True),
    b"SEEN 1": AndKey((SEEN, SetKey(SequenceSet(((1, 1),)), uid=False))),
    b"NOT NOT SEEN": NotKey(NotKey(SEEN)),
    b"OR SEEN (ALL SEEN)": OrKey(SEEN, AndKey((EveryKey(), SEEN))),
    b"((SEEN))": SEEN,
}


@pytest.mark.parametrize("text", KEYS)
def test_key(text):
    assert search(b"SEARCH " + text).key == KEYS[text]


BAD = {
    b"": "bad_search_key",
    b"COLOUR red": "bad_search_key",
    b"()": "bad_search_key",
    b"(SEEN": "missing_space",
    b"OR SEEN": "missing_space",
    b"NOT": "missing_space",
    b"ON 31-Feb-2026": "bad_date",
    b"ON 1-Foo-2026": "bad_date",
    b'ON "1-Feb-2026': "bad_date",
    b"LARGER x": "bad_number",
    b"OLDER 0": "bad_number",
    b"YOUNGER 4294967296": "bad_number",
    b"EMAILID a.b": "bad_object_id",
    b"THREADID " + b"a" * 256: "bad_object_id",
    b"HEADER a:b c": "bad_field_name",
    b'SUBJECT "\xff"': "bad_text",
    b"CHARSET KLINGON COLOUR": "bad_search_key",
    b"RETURN ALL": "bad_syntax",
    b"RETURN ()": "missing_space",
    b"RETURN (SAVE) $x": "trailing_octets",
    b"$,1": "trailing_octets",
    b"CHARSET UTF-8": "missing_space",
    b"KEYWORD (": "bad_flag",
    b"(" * 51 + b"ALL" + b")" * 51: "too_deep",
    b"NOT " * 51 + b"ALL": "too_deep",
    b"1," * 6000 + b"1 UID " + b"1," * 6000 + b"1": "too_many_ranges",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: repr(text[:30]))
def test_refusal(text):
    with pytest.raises(BadCommand) as caught:
        search(b"SEARCH " + text)
    assert (caught.value.code, caught.value.tag) == (BAD[text], "a")


def test_return_and_charset():
    found = search(b"SEARCH RETURN (MIN) CHARSET utf-8 ALL")
    assert (found.returns, found.charset) == (Returns(frozenset({ResultOption.MIN})), "UTF-8")
    assert search(b"SEARCH ALL").returns is None


def test_a_charset_that_we_lack_is_read_over():
    found = search(b"SEARCH CHARSET KLINGON TEXT ", b"", literals=(b"\xff",))
    assert found.charset == "KLINGON"


def test_nesting_just_fits():
    assert search(b"SEARCH " + b"(" * 50 + b"ALL" + b")" * 50).key == EveryKey()


def test_charset_and_literal():
    found = search(b"UID SEARCH CHARSET iso-8859-1 TEXT ", b"", literals=(b"\xe9",))
    assert (found.key, found.charset, found.uid) == (TextKey("é", with_header=True), "ISO-8859-1", True)
