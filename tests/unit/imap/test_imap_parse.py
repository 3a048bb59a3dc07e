"""Commands from their wire form; refusals by code, with their tag."""

from datetime import UTC, datetime

import pytest

from mailserver.imap import commands as c
from mailserver.imap.framing import RawCommand
from mailserver.imap.grammar import parse_date, parse_date_time, parse_number
from mailserver.imap.parse import BadCommand, is_done, parse_command, parse_sasl_response
from mailserver.imap.sequence_set import STAR, SequenceSet
from mailserver.model.errors import Malformed


def sets(*ranges):
    return SequenceSet(ranges)


ONE = sets((1, 1))
PEEK_HEADER = c.BodySection(c.Section(text=c.SectionText.HEADER), is_peek=True)
FIELDS = c.Section(text=c.SectionText.HEADER_FIELDS, fields=("From", "To"))
NOT_FIELDS = c.Section((1, 2), c.SectionText.HEADER_FIELDS_NOT, ("X-A",))

GOOD = {
    b"CAPABILITY": c.Capability(),
    b"noop": c.Noop(),
    b"LOGOUT": c.Logout(),
    b"STARTTLS": c.StartTls(),
    b"NAMESPACE": c.Namespace(),
    b"IDLE": c.Idle(),
    b"CHECK": c.Check(),
    b"CLOSE": c.Close(),
    b"UNSELECT": c.Unselect(),
    b"EXPUNGE": c.Expunge(),
    b"UID EXPUNGE 1:3": c.Expunge(sets((1, 3))),
    b"AUTHENTICATE plain": c.Authenticate("PLAIN"),
    b"AUTHENTICATE PLAIN =": c.Authenticate("PLAIN", b""),
    b"AUTHENTICATE PLAIN AGEAYg==": c.Authenticate("PLAIN", b"\0a\0b"),
    b'LOGIN a@demo.example "p \\"q\\\\"': c.Login("a@demo.example", b'p "q\\'),
    b"unauthenticate": c.Unauthenticate(),
    b"ENABLE condstore X-Y": c.Enable(("CONDSTORE", "X-Y")),
    b"ID NIL": c.Id(),
    b"ID ()": c.Id(),
    b'ID ("name" "demo" "os" NIL)': c.Id((("name", "demo"), ("os", None))),
    b"SELECT inbox": c.Select("INBOX"),
    b"EXAMINE Sent": c.Select("Sent", is_read_only=True),
    b"SELECT x (CONDSTORE)": c.Select("x", wants_modseq=True),
    b"SELECT x (QRESYNC (7 9))": c.Select("x", False, True, c.Resync(7, 9)),
    b"SELECT x (QRESYNC (7 9 1:4))": c.Select("x", False, True, c.Resync(7, 9, sets((1, 4)))),
    b"SELECT x (QRESYNC (7 9 (1 5)))": c.Select("x", False, True, c.Resync(7, 9, None, ONE, sets((5, 5)))),
    b"SELECT x (QRESYNC (7 9 1:4 (1 5)) CONDSTORE)": c.Select(
        "x", False, True, c.Resync(7, 9, sets((1, 4)), ONE, sets((5, 5)))
    ),
    b"CREATE a/b": c.Create("a/b"),
    b"CREATE x (USE (\\Drafts \\Sent))": c.Create("x", ("\\Drafts", "\\Sent")),
    b"CREATE x (USE ())": c.Create("x"),
    b"DELETE &AOk-t&AOk-": c.Delete("été"),
    b'DELETE "\xc3\xa9"': c.Delete("é"),
    b"RENAME a b]": c.Rename("a", "b]"),
    b"SUBSCRIBE a": c.Subscribe("a"),
    b"UNSUBSCRIBE a": c.Unsubscribe("a"),
    b'LIST "" *': c.List("", ("*",)),
    b'LIST "" ""': c.List("", ("",)),
    b'LIST a/ "%"': c.List("a/", ("%",)),
    b'LIST () "" *': c.List("", ("*",), is_extended=True),
    b'LIST (subscribed RECURSIVEMATCH remote Subscribed) "" *': c.List(
        "",
        ("*",),
        frozenset({c.ListSelection.SUBSCRIBED, c.ListSelection.RECURSIVEMATCH, c.ListSelection.REMOTE}),
        is_extended=True,
    ),
    b'LIST "" ("a" b/% "")': c.List("", ("a", "b/%", ""), is_extended=True),
    b'LIST "" % RETURN ()': c.List("", ("%",), is_extended=True),
    b'LIST (SPECIAL-USE) "" (%) RETURN (children STATUS (UNSEEN SIZE) SUBSCRIBED STATUS (SIZE))': c.List(
        "",
        ("%",),
        frozenset({c.ListSelection.SPECIAL_USE}),
        frozenset({c.ListReturn.CHILDREN, c.ListReturn.SUBSCRIBED}),
        (c.StatusItem.UNSEEN, c.StatusItem.SIZE),
        is_extended=True,
    ),
    b'XLIST "" *': c.Xlist("", "*"),
    b'GETQUOTA ""': c.GetQuota(b""),
    b'GETQUOTA "User quota"': c.GetQuota(b"User quota"),
    b"GETQUOTAROOT inbox": c.GetQuotaRoot("INBOX"),
    b'SETQUOTA "" (storage 510 X-A 9223372036854775807)': c.SetQuota(
        b"", (("STORAGE", 510), ("X-A", 2**63 - 1))
    ),
    b"SETQUOTA x ()": c.SetQuota(b"x", ()),
    b'LSUB "" a%]': c.Lsub("", "a%]"),
    b"STATUS x (messages UNSEEN MESSAGES)": c.Status("x", (c.StatusItem.MESSAGES, c.StatusItem.UNSEEN)),
    b"FETCH 1 FAST": c.Fetch(ONE, (c.FetchItem.FLAGS, c.FetchItem.INTERNALDATE, c.FetchItem.RFC822_SIZE)),
    b"UID FETCH 1:* (FLAGS uid FLAGS)": c.Fetch(
        sets((1, STAR)), (c.FetchItem.FLAGS, c.FetchItem.UID), uid=True
    ),
    b"FETCH 1 BODY": c.Fetch(ONE, (c.FetchItem.BODY,)),
    b"FETCH 1 BODY[]": c.Fetch(ONE, (c.BodySection(c.Section()),)),
    b"FETCH 1 body.peek[header]": c.Fetch(ONE, (PEEK_HEADER,)),
    b"FETCH 1 BODY[1.2]<0.5>": c.Fetch(ONE, (c.BodySection(c.Section((1, 2)), c.Partial(0, 5)),)),
    b"FETCH 1 BODY[1.MIME]": c.Fetch(ONE, (c.BodySection(c.Section((1,), c.SectionText.MIME)),)),
    b'FETCH 1 BODY[HEADER.FIELDS (From "To")]': c.Fetch(ONE, (c.BodySection(FIELDS),)),
    b"FETCH 1 (BODY[1.2.HEADER.FIELDS.NOT (X-A)])": c.Fetch(ONE, (c.BodySection(NOT_FIELDS),)),
    b"FETCH 1 (binary[1.2]<3.4> BINARY.PEEK[] binary.size[7])": c.Fetch(
        ONE,
        (c.BinarySection((1, 2), c.Partial(3, 4)), c.BinarySection(is_peek=True), c.BinarySize((7,))),
    ),
    b"FETCH 1 PREVIEW": c.Fetch(ONE, (c.FetchItem.PREVIEW,)),
    b"FETCH 1 preview (lazy)": c.Fetch(ONE, (c.FetchItem.PREVIEW_LAZY,)),
    b"FETCH 1 (PREVIEW (LAZY) UID)": c.Fetch(ONE, (c.FetchItem.PREVIEW_LAZY, c.FetchItem.UID)),
    b"FETCH 1 PREVIEW (CHANGEDSINCE 5)": c.Fetch(ONE, (c.FetchItem.PREVIEW,), changed_since=5),
    b"FETCH 1 RFC822.HEADER": c.Fetch(
        ONE, (c.BodySection(c.Section(text=c.SectionText.HEADER), is_peek=True, label="RFC822.HEADER"),)
    ),
    b"FETCH 1 FLAGS (CHANGEDSINCE 0)": c.Fetch(ONE, (c.FetchItem.FLAGS,), changed_since=0),
    b"UID FETCH 1 FLAGS (CHANGEDSINCE 5 VANISHED)": c.Fetch(
        ONE, (c.FetchItem.FLAGS,), uid=True, changed_since=5, wants_vanished=True
    ),
    b"STORE 1 FLAGS (\\seen $Forwarded mine)": c.Store(
        ONE, c.StoreMode.REPLACE, ("\\Seen", "$Forwarded", "mine")
    ),
    b"UID STORE 1 +flags.silent \\Deleted \\Seen": c.Store(
        ONE, c.StoreMode.ADD, ("\\Deleted", "\\Seen"), is_silent=True, uid=True
    ),
    b"STORE 1 (UNCHANGEDSINCE 12) -FLAGS ()": c.Store(ONE, c.StoreMode.REMOVE, (), unchanged_since=12),
    b"COPY 1,3 x": c.Copy(sets((1, 1), (3, 3)), "x"),
    b"UID MOVE 4:2 x": c.Move(sets((2, 4)), "x", uid=True),
}


@pytest.mark.parametrize("line", GOOD)
def test_command(line):
    assert parse_command(RawCommand((b"a1 " + line,))) == ("a1", GOOD[line])


BAD = {
    b"": "unknown_command",
    b"XYZZY": "unknown_command",
    b"XYZZY 1": "unknown_command",
    b"UID": "missing_space",
    b"UID NOOP": "unknown_command",
    b"UID EXPUNGE": "missing_space",
    b"NOOP ": "trailing_octets",
    b"UNAUTHENTICATE ": "trailing_octets",
    b"NO\rOP": "unknown_command",
    b"LOGIN a": "missing_space",
    b"LOGIN a (": "bad_string",
    b'LOGIN a "b': "bad_string",
    b'LOGIN a "b\\c"': "bad_string",
    b'LOGIN "\xff" b': "bad_text",
    b"AUTHENTICATE PLAIN A": "bad_base64",
    b"AUTHENTICATE (": "bad_syntax",
    b"ID x": "bad_syntax",
    b'ID ("a" ': "bad_string",
    b"ID (a": "bad_string",
    b'ID ("a" x)': "bad_string",
    b'ID (a "b")': "bad_string",
    b'ID ("' + b"a" * 31 + b'" NIL)': "too_long",
    b"ID (" + b" ".join([b'"a" "b"'] * 31) + b")": "too_many_items",
    b'SELECT ""': "bad_mailbox",
    b"SELECT &": "bad_mailbox",
    b"SELECT &AAE-": "bad_mailbox",
    b"SELECT " + b"a" * 1025: "bad_mailbox",
    b"SELECT x (FOO)": "bad_parameter",
    b"SELECT x (QRESYNC (7 9 (1)))": "bad_parameter",
    b"SELECT x (QRESYNC (7 99999999999999999999))": "bad_number",
    b"CREATE x (ROLE (\\Sent))": "bad_parameter",
    b"CREATE x (USE (Sent))": "bad_parameter",
    b'LIST "" (': "bad_mailbox",
    b'LIST (RECURSIVEMATCH) "" *': "bad_list_option",
    b'LIST (REMOTE RECURSIVEMATCH) "" *': "bad_list_option",
    b'LIST (COLOUR) "" *': "bad_list_option",
    b'LIST "" ()': "bad_mailbox",
    b'LIST "" (a': "missing_space",
    b'LIST "" (' + b" ".join([b"a"] * 101) + b")": "too_many_items",
    b'LIST "" * RETURN': "missing_space",
    b'LIST "" * COLOUR ()': "bad_list_option",
    b'LIST "" * RETURN (COLOUR)': "bad_list_option",
    b'LIST "" * RETURN (STATUS)': "missing_space",
    b'LIST "" * RETURN (STATUS ())': "bad_syntax",
    b'XLIST ""': "missing_space",
    b"GETQUOTA": "missing_space",
    b"GETQUOTAROOT ": "bad_string",
    b"SETQUOTA x": "missing_space",
    b"SETQUOTA x (STORAGE)": "missing_space",
    b"SETQUOTA x (STORAGE -1)": "bad_number",
    b"SETQUOTA x (STORAGE 9223372036854775808)": "bad_number",
    b"STATUS x ()": "bad_syntax",
    b"STATUS x (COLOUR)": "bad_status_item",
    b"APPEND x (\\Seen)": "missing_space",
    b"APPEND x abc": "missing_message",
    b"FETCH 0 FLAGS": "bad_sequence_set",
    b"FETCH 1:2:3 FLAGS": "bad_sequence_set",
    b"FETCH , FLAGS": "bad_sequence_set",
    b"FETCH 4294967296 FLAGS": "bad_sequence_set",
    b"FETCH x FLAGS": "bad_sequence_set",
    b"FETCH " + b"1," * 10000 + b"1 FLAGS": "too_many_ranges",
    b"FETCH 1 COLOUR": "bad_fetch_item",
    b"FETCH 1 (FAST)": "bad_fetch_item",
    b"FETCH 1 (": "bad_fetch_item",
    b"FETCH 1 ()": "bad_fetch_item",
    b"FETCH 1 BODY[": "bad_section",
    b"FETCH 1 BODY[MIME]": "bad_section",
    b"FETCH 1 BODY[1 TEXT]": "bad_section",
    b"FETCH 1 BODY[0]": "bad_section",
    b"FETCH 1 BODY[TEXT ]": "bad_section",
    b"FETCH 1 BODY[HEADER.FIELDS ()]": "bad_string",
    b'FETCH 1 BODY[HEADER.FIELDS ("a:")]': "bad_field_name",
    b"FETCH 1 PREVIEW (EAGER)": "bad_modifier",
    b"FETCH 1 (PREVIEW (EAGER))": "bad_fetch_item",
    b"FETCH 1 BINARY": "bad_section",
    b"FETCH 1 BINARY[HEADER]": "bad_section",
    b"FETCH 1 BINARY.PEEK[1.TEXT]": "bad_section",
    b"FETCH 1 BINARY.SIZE[1": "bad_section",
    b"FETCH 1 BINARY.SIZE[1]<0.1>": "trailing_octets",
    b"FETCH 1 BODY[]<0.0>": "bad_partial",
    b"FETCH 1 BODY[]<5>": "bad_partial",
    b"FETCH 1 FLAGS (FOO)": "bad_modifier",
    b"FETCH 1 FLAGS (VANISHED VANISHED)": "bad_modifier",
    b"FETCH 1 FLAGS (CHANGEDSINCE 5 VANISHED)": "bad_modifier",
    b"STORE 1 COLOUR red": "bad_store_item",
    b"STORE 1 FLAGS \\Recent": "bad_flag",
    b"STORE 1 FLAGS \\Foo": "bad_flag",
    b"STORE 1 FLAGS ": "bad_flag",
    b"STORE 1 FLAGS" + b" a" * 93: "too_many_items",
    b"STORE 1 (CHANGEDSINCE 5) FLAGS a": "bad_modifier",
}


@pytest.mark.parametrize("line", BAD, ids=lambda line: repr(line[:40]))
def test_refusal(line):
    with pytest.raises(BadCommand) as caught:
        parse_command(RawCommand((b"a1 " + line,)))
    assert (caught.value.code, caught.value.tag) == (BAD[line], "a1")


@pytest.mark.parametrize(
    "line", [b"", b" NOOP", b"a+ NOOP", b"* NOOP", b'"a" NOOP', b"a\x00 NOOP", b"\xe9 NOOP"]
)
def test_no_tag(line):
    with pytest.raises(BadCommand) as caught:
        parse_command(RawCommand((line,)))
    assert (caught.value.code, caught.value.tag) == ("no_tag", None)


def test_tag_alone():
    with pytest.raises(BadCommand) as caught:
        parse_command(RawCommand((b"a1",)))
    assert (caught.value.code, caught.value.tag) == ("missing_space", "a1")


def test_literals_stand_for_strings():
    raw = RawCommand((b"a LOGIN ", b" ", b""), (b"me", b"p\r\n"))
    assert parse_command(raw) == ("a", c.Login("me", b"p\r\n"))


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (RawCommand((b"a LOGIN ", b" b"), (b"\0",)), "bad_literal"),
        (RawCommand((b"a NOOP", b""), (b"x",)), "trailing_octets"),
        (RawCommand((b"a NOOP ", b""), (b"x",)), "trailing_octets"),
        (RawCommand((b"a ", b""), (b"NOOP",)), "unknown_command"),
        (RawCommand((b"a SELECT x", b""), (b"x",)), "trailing_octets"),
    ],
)
def test_misplaced_literals(raw, code):
    with pytest.raises(BadCommand) as caught:
        parse_command(raw)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("text", "flags", "date"),
    [
        (b"", (), None),
        (b"() ", (), None),
        (b"(\\Seen \\SEEN) ", ("\\Seen",), None),
        (b'" 1-Feb-2026 10:20:30 +0200" ', (), datetime(2026, 2, 1, 8, 20, 30, tzinfo=UTC)),
        (b'(a) "01-feb-2026 10:20:60 -0130" ', ("a",), datetime(2026, 2, 1, 11, 50, 59, tzinfo=UTC)),
    ],
)
def test_append(text, flags, date):
    raw = RawCommand((b"a APPEND x " + text,), streamed_bytes=9)
    steps = (c.MessageBegins(flags, date), c.OctetsFollow(9))
    assert parse_command(raw) == ("a", c.Append("x", steps))


def test_append_of_a_literal8():
    raw = RawCommand((b"a APPEND x () ~",), streamed_bytes=9)
    steps = (c.MessageBegins(), c.OctetsFollow(9, is_binary=True))
    assert parse_command(raw) == ("a", c.Append("x", steps))


@pytest.mark.parametrize(
    ("parse", "octets"),
    [
        (parse_date, b"1 Feb 2026"),
        (parse_date_time, b"now"),
        (parse_number, b""),
        (parse_number, b"4294967296"),
    ],
)
def test_values_refuse_what_they_cannot_hold(parse, octets):
    with pytest.raises(Malformed) as caught:
        parse(octets)
    assert caught.value.code == ("bad_number" if parse is parse_number else "bad_date")


@pytest.mark.parametrize(
    "date",
    [
        b" 1-Foo-2026 10:20:30 +0200",
        b"31-Feb-2026 10:20:30 +0200",
        b" 1-Feb-2026 10:20:30 +9999",
        b" 1-Jan-0001 00:00:00 +0100",
        b"1-Feb-2026 10:20:30 +0200",
    ],
)
def test_append_bad_date(date):
    with pytest.raises(BadCommand) as caught:
        parse_command(RawCommand((b'a APPEND x "' + date + b'" ',), streamed_bytes=9))
    assert caught.value.code == "bad_date"


def test_utf8_names_once_enabled():
    assert parse_command(RawCommand((b"a SELECT R&D",)), is_utf8=True) == ("a", c.Select("R&D"))


def test_sasl_response():
    assert parse_sasl_response(b"*") is None
    assert parse_sasl_response(b"") == b""
    assert parse_sasl_response(b"AA==") == b"\0"
    with pytest.raises(Malformed) as caught:
        parse_sasl_response(b"AA==\n")
    assert caught.value.code == "bad_base64"


def test_done():
    assert is_done(b"done")
    assert not is_done(b"DONE ")


def test_credentials_never_show():
    _, login = parse_command(RawCommand((b"a LOGIN me secret",)))
    _, sasl = parse_command(RawCommand((b"a AUTHENTICATE PLAIN AAAA",)))
    assert "secret" not in repr(login)
    assert "x00" not in repr(sasl)
