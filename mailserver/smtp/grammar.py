"""Command lines to values (RFC 5321 §4.1.1, RFC 1870 §3, RFC 6152 §2, RFC 6531 §3.4, RFC 4954 §4, RFC 3461 §4,
RFC 3030 §2, RFC 8689 §2).
Strict and own.

Two liberties that real clients need: one space after ``FROM:`` and ``TO:`` (Outlook), and spaces at a line's end.
No source route, no quoted local part, no address literal. Malformed's code names the reply (``smtp.replies``).
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from mailserver.model.address import Address, DomainName, parse_address
from mailserver.model.dsn import (
    ENVELOPE_ID_CHARACTERS,
    NO_MESSAGE_ASK,
    NO_RECIPIENT_ASK,
    ORIGINAL_CHARACTERS,
    MessageAsk,
    RecipientAsk,
    Returned,
    parse_notify,
    parse_xtext,
)
from mailserver.model.errors import Malformed

COMMAND_OCTETS = 2048
"""Of any command but AUTH: 512 plus what each extension adds, with room for UTF-8."""
_UNKNOWN_HOST = "unknown"
_PATH = re.compile(
    r"(?P<key>FROM|TO): ?<(?P<path>[^<>\s\x00-\x1f\x7f]*)>(?P<parameters>(?: .*)?)", re.IGNORECASE
)
# esmtp-param of RFC 5321 §4.1.2; values may be UTF-8 only where an extension says so, and none here does
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([\x21-\x3c\x3e-\x7e]+))?")
_HOST = re.compile(r"[A-Za-z0-9.:_\-\[\]]{1,255}")
_SIZE = re.compile(r"[0-9]{1,20}")
_CHUNK = re.compile(rb"([0-9]{1,20})( +LAST)?", re.IGNORECASE)
_MECHANISM = re.compile(r"[A-Za-z0-9_-]{1,20}")
_ORIGINAL = re.compile(r"rfc822;(.*)", re.IGNORECASE)
_POSTMASTER = "postmaster"


class Verb(StrEnum):
    """Commands whose argument says nothing to us."""

    DATA = "DATA"
    RSET = "RSET"
    QUIT = "QUIT"
    STARTTLS = "STARTTLS"
    NOOP = "NOOP"
    HELP = "HELP"
    VRFY = "VRFY"
    EXPN = "EXPN"


_WITHOUT_ARGUMENT = frozenset({Verb.DATA, Verb.RSET, Verb.QUIT, Verb.STARTTLS})


@dataclass(frozen=True, slots=True)
class Hello:
    """EHLO, or HELO when not ``is_extended``. ``name`` fits a trace line: ``unknown`` when the given one does not."""

    name: str
    is_extended: bool


@dataclass(frozen=True, slots=True)
class Mail:
    """MAIL FROM; ``sender`` is None for the null reverse-path."""

    sender: Address | None
    size_bytes: int = 0
    is_utf8: bool = False
    ask: MessageAsk = NO_MESSAGE_ASK


@dataclass(frozen=True, slots=True)
class Rcpt:
    """RCPT TO; ``recipient`` is None for ``<postmaster>``, which has no domain (RFC 5321 §4.5.1)."""

    recipient: Address | None
    ask: RecipientAsk = NO_RECIPIENT_ASK


@dataclass(frozen=True, slots=True)
class Auth:
    """AUTH; ``initial`` is None without an initial response."""

    mechanism: str
    initial: bytes | None = None

    def __repr__(self) -> str:
        return f"Auth({self.mechanism})"


@dataclass(frozen=True, slots=True)
class Bdat:
    """BDAT: so many octets of the message follow at once; with the last ones it is whole (RFC 3030 §2)."""

    size_bytes: int
    is_last: bool


Command = Hello | Mail | Rcpt | Auth | Bdat | Verb


def parse_command(line: bytes) -> Command:
    """One line without its CRLF → Command. Raises Malformed."""
    head, _, argument = line.rstrip(b" \t").partition(b" ")
    if head.upper() == b"BDAT":  # first: whatever is wrong with it, its octets follow and are no commands
        return _parse_chunk(argument)
    if len(line) > COMMAND_OCTETS and head.upper() != b"AUTH":
        raise Malformed("line-too-long")
    try:
        word, text = head.decode("ascii").upper(), argument.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("command-syntax") from None
    match word:
        case "EHLO" | "HELO":
            return Hello(_parse_host(text), word == "EHLO")
        case "MAIL":
            return _parse_mail(text)
        case "RCPT":
            return _parse_rcpt(text)
        case "AUTH":
            return _parse_auth(text)
        case _:
            return _parse_verb(word, text)


def asks_for_reports(command: Command) -> bool:
    """Whether a parameter is one of RFC 3461."""
    match command:
        case Mail():
            return command.ask.is_of_reports
        case Rcpt():
            return command.ask != NO_RECIPIENT_ASK
        case _:
            return False


def _parse_verb(word: str, text: str) -> Verb:
    try:
        verb = Verb(word)
    except ValueError:
        raise Malformed("command-unknown") from None
    if text and verb in _WITHOUT_ARGUMENT:
        raise Malformed("argument-syntax")
    return verb


def _parse_host(text: str) -> str:
    """A client's own name is a hint in the trace line, no more: a strange one does not stop its mail."""
    if not text.strip():
        raise Malformed("argument-syntax")
    return text if _HOST.fullmatch(text) else _UNKNOWN_HOST


def _parse_mail(text: str) -> Mail:
    path, parameters = _parse_path(text, "FROM")
    size, is_utf8 = 0, False
    for name, value in parameters.items():
        match name:
            case "SIZE":  # RFC 1870 §3
                size = _parse_size(value)
            case "BODY":  # RFC 6152 §2: both are taken as they come
                if (value or "").upper() not in {"7BIT", "8BITMIME"}:
                    raise Malformed("parameter-value")
            case "SMTPUTF8":  # RFC 6531 §3.4
                if value is not None:
                    raise Malformed("parameter-value")
                is_utf8 = True
            case "AUTH":  # RFC 4954 §5: who wrote first is known from the login alone
                if value is None:
                    raise Malformed("parameter-value")
            case "RET" | "ENVID" | "REQUIRETLS":
                continue
            case _:
                raise Malformed("parameter-unknown")
    ask = _parse_message_ask(parameters)
    sender = _parse_mailbox(path, "sender-syntax") if path else None
    if not path.isascii() and not is_utf8:
        raise Malformed("address-utf8")
    return Mail(sender, size, is_utf8, ask)


def _parse_message_ask(parameters: dict[str, str | None]) -> MessageAsk:
    """RFC 3461 §4.3 and §4.4, RFC 8689 §2."""
    returned, envelope_id = None, ""
    try:
        if "RET" in parameters:
            returned = Returned((parameters["RET"] or "").upper())
        if "ENVID" in parameters:
            envelope_id = parse_xtext(parameters["ENVID"] or "", ENVELOPE_ID_CHARACTERS)
    except (Malformed, ValueError):
        raise Malformed("parameter-value") from None
    if parameters.get("REQUIRETLS") is not None:
        raise Malformed("parameter-value")
    return MessageAsk(returned, envelope_id, "REQUIRETLS" in parameters)


def _parse_rcpt(text: str) -> Rcpt:
    path, parameters = _parse_path(text, "TO")
    ask = _parse_recipient_ask(parameters)
    if path.lower() == _POSTMASTER:
        return Rcpt(None, ask)
    return Rcpt(_parse_mailbox(path, "recipient-syntax"), ask)


def _parse_recipient_ask(parameters: dict[str, str | None]) -> RecipientAsk:
    """RFC 3461 §4.1 and §4.2; the one type of address is rfc822."""
    if parameters.keys() - {"NOTIFY", "ORCPT"}:
        raise Malformed("parameter-unknown")
    notify, original = None, ""
    try:
        if "NOTIFY" in parameters:
            notify = parse_notify(parameters["NOTIFY"] or "")
        if "ORCPT" in parameters:
            found = _ORIGINAL.fullmatch(parameters["ORCPT"] or "")
            original = parse_xtext(found[1] if found else "", ORIGINAL_CHARACTERS)
    except Malformed:
        raise Malformed("parameter-value") from None
    return RecipientAsk(notify, original)


def _parse_path(text: str, key: str) -> tuple[str, dict[str, str | None]]:
    found = _PATH.fullmatch(text)
    if found is None or found["key"].upper() != key:
        raise Malformed("argument-syntax")
    parameters: dict[str, str | None] = {}
    for word in found["parameters"].split():
        parameter = _PARAMETER.fullmatch(word)
        if parameter is None or parameter[1].upper() in parameters:
            raise Malformed("parameter-value")
        parameters[parameter[1].upper()] = parameter[2]
    return found["path"], parameters


def _parse_mailbox(path: str, code: str) -> Address:
    """Spelled out: no last dot (RFC 5321 §4.1.2), and no domain that IDNA would have to fold into another."""
    try:
        address = parse_address(path)
    except Malformed:
        raise Malformed(code) from None
    domain = path.rpartition("@")[2].lower()
    is_whole = domain == address.domain.name if domain.isascii() else domain == _u_labels(address.domain)
    if not is_whole:
        raise Malformed(code)
    return address


def _u_labels(domain: DomainName) -> str:
    return domain.name.encode("ascii").decode("idna")


def _parse_chunk(argument: bytes) -> Bdat:
    found = _CHUNK.fullmatch(argument)
    if found is None:
        raise Malformed("chunk-syntax")
    return Bdat(int(found[1]), found[2] is not None)


def _parse_size(value: str | None) -> int:
    if value is None or not _SIZE.fullmatch(value):
        raise Malformed("parameter-value")
    return int(value)


def _parse_auth(text: str) -> Auth:
    mechanism, _, initial = text.partition(" ")
    if not _MECHANISM.fullmatch(mechanism):
        raise Malformed("argument-syntax")
    return Auth(mechanism.upper(), initial.encode() if initial else None)
