"""What happened, as the person will read it: the closed family of audit events (L1, L2).

An event says who, on whose behalf, what, when, from where, by which client and with what result; never content.
``canonical_bytes`` is the one encoding that is committed to: JSON with sorted keys, no spaces, UTF-8, versioned;
``parse_event`` accepts nothing else, so that one event has one form.
"""

import json
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import ip_network

from mailserver.model.errors import Malformed

EVENT_VERSION = 1
EVENT_BYTES = 16 * 1024
"""Longest canonical form."""
TEXT_LENGTH = 500
"""Longest single text, in characters."""
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class EventKind(StrEnum):
    """The acts that L1 lists. ``mailbox-read`` is one per app password, network and day."""

    LOGIN = "login"
    LOGIN_FAILED = "login-failed"
    DOCUMENT_OPENED = "document-opened"
    MESSAGE_OPENED = "message-opened"
    MAILBOX_READ = "mailbox-read"
    SEARCHED = "searched"
    DELIVERED = "delivered"
    SENT = "sent"
    FILED = "filed"
    FETCHED = "fetched"
    REPLACED = "replaced"
    HIDDEN = "hidden"
    SHOWN = "shown"
    SHARED = "shared"
    UNSHARED = "unshared"
    GRANT_GIVEN = "grant-given"
    GRANT_ENDED = "grant-ended"
    BLOCKED = "blocked"
    UNBLOCKED = "unblocked"
    BREAK_GLASS = "break-glass"
    EXPORTED = "exported"
    DELETED = "deleted"
    KEY_CHANGED = "key-changed"
    SLOT_ADDED = "slot-added"
    SLOT_REMOVED = "slot-removed"
    SETTING_CHANGED = "setting-changed"
    CUSTODIAN_ACT = "custodian-act"
    ADMINISTRATOR_ACT = "administrator-act"
    SUPPORT_ACT = "support-act"
    LOG_READ = "log-read"
    LOG_REOPENED = "log-reopened"


class ActorKind(StrEnum):
    PATIENT = "patient"
    REPRESENTATIVE = "representative"
    PROFESSIONAL = "professional"
    STRUCTURE = "structure"
    APPLICATION = "application"
    ADMINISTRATOR = "administrator"
    SUPPORT = "support"
    CUSTODIAN = "custodian"
    SYSTEM = "system"
    UNIDENTIFIED = "unidentified"


class ObjectKind(StrEnum):
    ACCOUNT = "account"
    APP_PASSWORD = "app-password"  # noqa: S105 - the name of a kind of object
    CONTACT = "contact"
    DOCUMENT = "document"
    FILE = "file"
    GRANT = "grant"
    KEY = "key"
    LOG = "log"
    MAILBOX = "mailbox"
    MESSAGE = "message"
    PERSON = "person"
    SETTING = "setting"
    SLOT = "slot"
    SPACE = "space"


class ParameterName(StrEnum):
    """What may be said beside the object. ``count`` and ``until`` are numbers and dates as text."""

    ACT = "act"
    AUTHOR = "author"
    COUNT = "count"
    DEVICE = "device"
    FINGERPRINT = "fingerprint"
    PATIENT = "patient"
    REASON = "reason"
    RECIPIENT = "recipient"
    UNTIL = "until"


class EventResult(StrEnum):
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


def readable(text: str, length: int = TEXT_LENGTH) -> str:
    """``text`` made fit for an event: controls and invisible direction marks become spaces, runs of spaces one.

    A title comes from outside; nothing in it may break a line or turn a sentence round.
    """
    # what has a control or a mark in it is not printable; a space of another script is not either, and stays
    spaced = text if text.isprintable() else "".join(" " if _is_hidden(char) else char for char in text)
    return " ".join(spaced.split())[:length].rstrip()


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _check_text(text: str) -> None:
    if len(text) > TEXT_LENGTH or (not text.isascii() and any(map(_is_hidden, text))):
        raise Malformed("event-text")
    if text.isascii() and text and not text.isprintable():
        raise Malformed("event-text")


@dataclass(frozen=True, slots=True)
class Actor:
    """A verified identity. ``handle`` is the address or role that was used; the rest may be empty."""

    kind: ActorKind
    name: str
    handle: str = ""
    profession: str = ""
    structure: str = ""

    def __post_init__(self) -> None:
        for text in (self.name, self.handle, self.profession, self.structure):
            _check_text(text)
        if not self.name and self.kind is not ActorKind.UNIDENTIFIED:
            raise Malformed("event-actor")


@dataclass(frozen=True, slots=True)
class AuditObject:
    """What was acted on: its kind, the words a patient knows it by, and parameters in the order of their names."""

    kind: ObjectKind
    words: str = ""
    parameters: tuple[tuple[ParameterName, str], ...] = ()

    def __post_init__(self) -> None:
        _check_text(self.words)
        names = [name for name, _ in self.parameters]
        if names != sorted(set(names)):
            raise Malformed("event-parameters")
        for _, value in self.parameters:
            _check_text(value)


@dataclass(frozen=True, slots=True)
class Origin:
    """From where: an address or a network in prefix form (empty for an act of the server), and which client."""

    network: str = ""
    client: str = ""

    def __post_init__(self) -> None:
        _check_text(self.client)
        if self.network:
            try:
                ip_network(self.network)
            except ValueError as error:
                raise Malformed("event-network") from error


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One act (L2). ``when`` is aware UTC."""

    kind: EventKind
    when: datetime
    who: Actor
    what: AuditObject
    origin: Origin = Origin()
    on_behalf_of: Actor | None = None
    result: EventResult = EventResult.DONE

    def __post_init__(self) -> None:
        if self.when.utcoffset() is None or self.when.tzinfo is not UTC:
            raise Malformed("event-time")


def canonical_bytes(event: AuditEvent) -> bytes:
    """The bytes that the log commits to. Raises Malformed when they are too long."""
    fields: dict[str, object] = {
        "v": EVENT_VERSION,
        "kind": event.kind.value,
        "when": format_time(event.when),
        "who": _actor_fields(event.who),
        "what": {
            "kind": event.what.kind.value,
            "words": event.what.words,
            "parameters": {name.value: value for name, value in event.what.parameters},
        },
        "origin": {"network": event.origin.network, "client": event.origin.client},
        "result": event.result.value,
    }
    if event.on_behalf_of is not None:
        fields["behalf"] = _actor_fields(event.on_behalf_of)
    raw = json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    if len(raw) > EVENT_BYTES:
        raise Malformed("event-length")
    return raw


def format_time(when: datetime) -> str:
    """RFC 3339 in UTC with microseconds; years are four digits on every platform."""
    day = f"{when.year:04d}-{when.month:02d}-{when.day:02d}"
    return f"{day}T{when.hour:02d}:{when.minute:02d}:{when.second:02d}.{when.microsecond:06d}Z"


def _actor_fields(actor: Actor) -> dict[str, str]:
    return {
        "kind": actor.kind.value,
        "name": actor.name,
        "handle": actor.handle,
        "profession": actor.profession,
        "structure": actor.structure,
    }


def parse_event(raw: bytes) -> AuditEvent:
    """Inverse of ``canonical_bytes``; any other spelling of the same event is Malformed."""
    if len(raw) > EVENT_BYTES:
        raise Malformed("event-length")
    try:
        event = _event_from(json.loads(raw.decode()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Malformed("event-syntax") from error
    if canonical_bytes(event) != raw:
        raise Malformed("event-not-canonical")
    return event


def _event_from(fields: dict[str, dict[str, str]]) -> AuditEvent:
    """Shapes are only assumed here: whatever does not come back as the same bytes is refused by the caller."""
    what: dict[str, object] = dict(fields["what"])
    parameters = what["parameters"]
    if not isinstance(parameters, dict):
        raise TypeError("parameters")
    behalf = fields.get("behalf")
    return AuditEvent(
        kind=EventKind(str(fields["kind"])),
        when=datetime.strptime(str(fields["when"]), _TIME).replace(tzinfo=UTC),
        who=_actor_from(fields["who"]),
        what=AuditObject(
            ObjectKind(str(what["kind"])),
            str(what["words"]),
            tuple((ParameterName(name), str(value)) for name, value in parameters.items()),
        ),
        origin=Origin(str(fields["origin"]["network"]), str(fields["origin"]["client"])),
        on_behalf_of=None if behalf is None else _actor_from(behalf),
        result=EventResult(str(fields["result"])),
    )


def _actor_from(fields: dict[str, str]) -> Actor:
    texts = [str(fields[name]) for name in ("name", "handle", "profession", "structure")]
    return Actor(ActorKind(fields["kind"]), *texts)
