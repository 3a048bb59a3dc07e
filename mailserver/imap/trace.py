"""A raw trace of one account's connections that shows the protocol and no content: what an administrator looks at.

A token is shown when it is a word of the protocol, a number, a set or a date; everything else becomes its length:
strings, literals, mailbox names, search words. What is not known is masked, so that a new command leaks nothing.
"""

import re
from enum import StrEnum

_LITERAL = re.compile(rb"~?\{([0-9]{1,18})\+?\}$")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?')
_TOKEN = re.compile(r'(“\d+”|[^\s()\[\]<>"]+)')
_PLAIN = re.compile(r'[0-9*:,.+-]+|"?[0-9]{1,2}-[A-Za-z]{3}-[0-9]{4}"?|[A-Za-z][0-9]{0,5}|“\d+”|\{\d+\+?\}')
_STATUS = re.compile(rb"(\S{1,64} (?:OK|NO|BAD|BYE|PREAUTH)(?: \[[A-Z-]{1,40}\])?) [^\[\"]*$")
_CREDENTIALS = re.compile(rb"\S+ (?:LOGIN|AUTHENTICATE)\b", re.IGNORECASE)
_LINE_BYTES = 4096
_TAIL_BYTES = 32
"""Enough for the mark of a literal, which ends a line."""

WORDS = frozenset(
    """
    CAPABILITY NOOP LOGOUT ID ENABLE ENABLED SELECT EXAMINE CREATE DELETE RENAME SUBSCRIBE UNSUBSCRIBE LIST LSUB XLIST
    NAMESPACE STATUS APPEND IDLE DONE CHECK CLOSE UNSELECT EXPUNGE SEARCH SORT THREAD FETCH STORE COPY MOVE UID REPLACE
    GETQUOTA GETQUOTAROOT SETQUOTA QUOTA QUOTAROOT STORAGE MESSAGE GETMETADATA SETMETADATA METADATA NOTIFY SET NONE
    UNAUTHENTICATE GETACL SETACL DELETEACL LISTRIGHTS MYRIGHTS ACL CATENATE TEXT URL STARTTLS OK NO BAD BYE PREAUTH
    FLAGS PERMANENTFLAGS EXISTS RECENT UNSEEN UIDVALIDITY UIDNEXT HIGHESTMODSEQ MESSAGES SIZE DELETED READ-ONLY
    READ-WRITE CLOSED APPENDUID COPYUID MODIFIED VANISHED EARLIER CHANGEDSINCE UNCHANGEDSINCE CONDSTORE QRESYNC MODSEQ
    ENVELOPE BODY BODYSTRUCTURE BODY.PEEK BINARY BINARY.PEEK BINARY.SIZE INTERNALDATE SAVEDATE RFC822 RFC822.SIZE
    RFC822.HEADER RFC822.TEXT HEADER HEADER.FIELDS HEADER.FIELDS.NOT MIME FAST ALL FULL PREVIEW LAZY EMAILID THREADID
    MAILBOXID FLAGS.SILENT +FLAGS -FLAGS +FLAGS.SILENT -FLAGS.SILENT ESEARCH RETURN MIN MAX COUNT SAVE PARTIAL CHARSET
    TAG UTF-8 US-ASCII ANSWERED BCC BEFORE CC DRAFT FLAGGED FROM KEYWORD LARGER NEW NOT OLD ON OR SEEN SENTBEFORE SENTON
    SENTSINCE SINCE SMALLER SUBJECT TO UNANSWERED UNDELETED UNDRAFT UNFLAGGED UNKEYWORD YOUNGER OLDER SAVEDBEFORE
    SAVEDON SAVEDSINCE ARRIVAL DATE DISPLAY DISPLAYFROM DISPLAYTO REVERSE ORDEREDSUBJECT REFERENCES SUBSCRIBED CHILDREN
    SPECIAL-USE RECURSIVEMATCH REMOTE USE NIL INBOX IMAP4REV1 IMAP4REV2 UTF8=ACCEPT IMAP4rev1
    """.upper().split()
)
_MARKS = ("\\", "$")


class Direction(StrEnum):
    CLIENT = "client"
    SERVER = "server"


class Trace:
    """One direction of one connection: octets as they pass → masked lines. Bounded: a long line is cut."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._tail = b""
        self._skip = 0
        self._hides_next = False

    def feed(self, octets: bytes) -> list[str]:
        """The lines that ended with these octets."""
        lines = []
        at = 0
        while at < len(octets):
            if self._skip:
                step = min(self._skip, len(octets) - at)
                self._skip -= step
                at += step
                continue
            end = octets.find(b"\n", at) + 1
            stop = end or len(octets)
            self._held += octets[at : min(stop, at + max(0, _LINE_BYTES - len(self._held)))]
            self._tail = (self._tail + octets[max(at, stop - _TAIL_BYTES) : stop])[-_TAIL_BYTES:]
            at = stop
            if end:
                lines.append(self._take())
        return lines

    def _take(self) -> str:
        line, tail = bytes(self._held).rstrip(b"\r\n"), self._tail.rstrip(b"\r\n")
        self._held.clear()
        self._tail = b""
        mark = _LITERAL.search(tail)
        if mark is not None:
            self._skip = int(mark[1])
        if self._hides_next:
            self._hides_next = False
            return "…"
        if _CREDENTIALS.match(line):
            self._hides_next = True
            return mask_line(line[: line.find(b" ") + 1]) + " …"
        return mask_line(line)


def mask_line(line: bytes) -> str:
    """One line with everything that may be content replaced by its length in octets."""
    status = _STATUS.fullmatch(line)
    if status is not None:
        return status[1].decode("ascii", "replace")
    unquoted = _STRING.sub(lambda found: f"“{len(found[0])}”".encode(), line)
    return _TOKEN.sub(lambda found: _mask(found[0]), unquoted.decode("utf-8", "replace"))


def _mask(token: str) -> str:
    if token.startswith(_MARKS) and token.lstrip("\\$").isalpha():
        return token
    if token.upper() in WORDS or _PLAIN.fullmatch(token):
        return token
    return f"‹{len(token)}›"
