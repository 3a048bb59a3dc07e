from datetime import UTC, datetime, timedelta, timezone

import pytest

from mailserver.audit.wording import Language
from mailserver.imap import encode as e
from mailserver.imap.commands import BodySection, Partial, Section, SectionText, StatusItem
from mailserver.imap.flags import find_flag_bit, format_flags, split_flags
from mailserver.imap.replies import BYE_LOST
from mailserver.imap.session import Reply
from mailserver.imap.utf7 import decode_utf7, encode_utf7
from mailserver.model.account import Flag
from mailserver.model.errors import Malformed

OWN = 1 << 16


@pytest.mark.parametrize(
    ("octets", "wire"),
    [
        (b"", b'""'),
        (b'a "b" \\', b'"a \\"b\\" \\\\"'),
        (b"a\r\nb", b"{4}\r\na\r\nb"),
        (b"\xe9", b"{1}\r\n\xe9"),
        (b"a\0", b"{2}\r\na?"),
        (b"x" * 1001, b"{1001}\r\n" + b"x" * 1001),
    ],
)
def test_string(octets, wire):
    assert e.format_string(octets) == wire


def test_nstring_and_astring():
    assert e.format_nstring(None) == b"NIL"
    assert e.format_nstring(b"NIL") == b'"NIL"'
    assert [e.format_astring(text) for text in (b"a]", b"nil", b"a b", b"")] == [
        b"a]",
        b'"nil"',
        b'"a b"',
        b'""',
    ]


@pytest.mark.parametrize(
    ("name", "is_utf8", "wire"),
    [
        ("INBOX", False, b"INBOX"),
        ("Été & hiver", False, b'"&AMk-t&AOk- &- hiver"'),
        ("Été & hiver", True, '"Été & hiver"'.encode()),
        ("R&D", True, b"R&D"),
        ("é\n", True, b"{3}\r\n\xc3\xa9\n"),
    ],
)
def test_mailbox(name, is_utf8, wire):
    assert e.format_mailbox(name, is_utf8=is_utf8) == wire


@pytest.mark.parametrize(
    "wire",
    [b"\xe9", b"&", b"&A", b"&AOk", b"&AGE-", b"&AOl-", b"&AOk-&AOk-", b"&2AA-", b"&AOk=-", b"\x01", b"&A-"],
)
def test_utf7_refusal(wire):
    with pytest.raises(Malformed) as caught:
        decode_utf7(wire)
    assert caught.value.code == "bad_mailbox"


def test_utf7_half_a_pair():
    with pytest.raises(Malformed) as caught:
        encode_utf7("\ud800")
    assert caught.value.code == "bad_mailbox"


def test_utf7_example_of_the_rfc():
    assert decode_utf7(b"~peter/mail/&U,BTFw-/&ZeVnLIqe-") == "~peter/mail/台北/日本語"


def test_date_time():
    paris = timezone(timedelta(hours=2))
    assert e.format_date_time(datetime(2026, 2, 1, 0, 3, 4, tzinfo=paris)) == b'"31-Jan-2026 22:03:04 +0000"'
    assert e.format_date_time(datetime(2026, 2, 1, tzinfo=UTC)) == b'" 1-Feb-2026 00:00:00 +0000"'


def test_status_responses():
    assert e.format_tagged("a", e.Status.OK, "Done") == b"a OK Done\r\n"
    assert e.format_tagged("a", e.Status.NO, "", b"TRYCREATE") == b"a NO [TRYCREATE] No\r\n"
    assert e.format_untagged(e.Status.BYE, "é\r\nx") == b"* BYE ?x\r\n"
    assert e.format_untagged(e.Status.OK, "[no code]") == b"* OK .[no code]\r\n"
    assert e.format_continuation() == b"+ \r\n"
    assert e.format_continuation("idling") == b"+ idling\r\n"


def test_codes():
    assert e.code_number("UIDNEXT", 5) == b"UIDNEXT 5"
    assert e.code_bad_charset(["US-ASCII", "UTF-8"]) == b"BADCHARSET (US-ASCII UTF-8)"
    assert e.code_append_uid(7, [3]) == b"APPENDUID 7 3"
    assert e.code_copy_uid(7, [1, 2, 4], [9, 10, 11]) == b"COPYUID 7 1:2,4 9:11"
    assert e.code_permanent_flags(b"(\\Seen)", may_add=True) == b"PERMANENTFLAGS (\\Seen \\*)"
    assert e.code_permanent_flags(b"()", may_add=True) == b"PERMANENTFLAGS (\\*)"
    assert e.code_permanent_flags(b"()", may_add=False) == b"PERMANENTFLAGS ()"


def test_data_responses():
    assert e.format_capability(["IMAP4rev1", "IDLE"]) == b"* CAPABILITY IMAP4rev1 IDLE\r\n"
    assert e.format_enabled([]) == b"* ENABLED\r\n"
    assert e.format_enabled(["CONDSTORE"]) == b"* ENABLED CONDSTORE\r\n"
    assert e.format_id([]) == b"* ID NIL\r\n"
    assert e.format_id([("name", "Pli")]) == b'* ID ("name" "Pli")\r\n'
    assert e.format_namespace() == b'* NAMESPACE (("" "/")) NIL NIL\r\n'
    assert e.format_list(["\\Noselect"], "") == b'* LIST (\\Noselect) "/" ""\r\n'
    assert e.format_list([], "é", is_utf8=True, verb="LSUB") == b'* LSUB () "/" "\xc3\xa9"\r\n'
    child_info = e.format_child_info(["SUBSCRIBED", "SPECIAL-USE"])
    assert e.format_list([], "a", more=child_info) == (
        b'* LIST () "/" a ("CHILDINFO" ("SUBSCRIBED" "SPECIAL-USE"))\r\n'
    )
    assert e.format_old_name("\u00e9") == b'"OLDNAME" (&AOk-)'
    assert e.format_quota(b"User quota", [("STORAGE", 10, 512), ("MESSAGE", 1, 2)]) == (
        b'* QUOTA "User quota" (STORAGE 10 512 MESSAGE 1 2)\r\n'
    )
    assert e.format_quota_root("\u00e9", [b"", b"x"]) == b'* QUOTAROOT &AOk- "" x\r\n'
    assert e.format_quota_root("\u00e9", [], is_utf8=True) == b'* QUOTAROOT "\xc3\xa9"\r\n'
    assert e.format_status("x", [(StatusItem.MESSAGES, 3), (StatusItem.UIDNEXT, 4)]) == (
        b"* STATUS x (MESSAGES 3 UIDNEXT 4)\r\n"
    )
    assert e.format_flags_response(b"(\\Seen)") == b"* FLAGS (\\Seen)\r\n"


def test_fetch_joins_ready_pieces():
    envelope = b"ENVELOPE (NIL {1}\r\n\xe9)"
    assert e.format_fetch(3, [b"UID 4", envelope]) == b"* 3 FETCH (UID 4 " + envelope + b")\r\n"


@pytest.mark.parametrize(
    ("item", "label"),
    [
        (BodySection(Section()), b"BODY[]"),
        (BodySection(Section((1, 2)), Partial(5, 10), is_peek=True), b"BODY[1.2]<5>"),
        (BodySection(Section((1,), SectionText.MIME)), b"BODY[1.MIME]"),
        (
            BodySection(Section((), SectionText.HEADER_FIELDS, ("From", "a(b"))),
            b'BODY[HEADER.FIELDS (From "a(b")]',
        ),
        (BodySection(Section(), label="RFC822"), b"RFC822"),
    ],
)
def test_body_label(item, label):
    assert e.format_body_label(item) == label


def test_format_flags():
    assert format_flags(0) == b"()"
    assert format_flags(Flag.SEEN | Flag.JUNK) == b"(\\Seen $Junk)"
    assert format_flags(Flag.SEEN | OWN | OWN << 2, ("mine", "other"), True) == b"(\\Seen mine \\Recent)"
    assert format_flags(OWN | OWN << 1, ("not an atom", "é")) == b"()"


def test_split_flags():
    assert split_flags(["\\Seen", "MINE", "new", "New"], ("mine",)) == (Flag.SEEN | OWN, ("new",))
    assert find_flag_bit("$mdnsent", ()) == Flag.MDN_SENT
    assert find_flag_bit("mine", ()) is None


def test_the_operators_language_comes_first() -> None:
    assert BYE_LOST.words(Language.ENGLISH) == (
        "You no longer have access to this shared mailbox / Vous n'avez plus acces a cette boite partagee"
    )
    assert BYE_LOST.words(Language.FRENCH).startswith(
        "Vous n'avez plus acces a cette boite partagee / You no"
    )
    assert Reply(e.Status.BAD, "Expected DONE").words(Language.FRENCH) == "Expected DONE"
