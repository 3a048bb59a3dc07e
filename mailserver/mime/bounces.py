"""What a delivery report from ordinary mail says of an address (RFC 3464): which recipients failed for good, with which
status; and the words of the report that may name the mail it is about. Pure; reads a bounded number of octets.

Anybody can write such a report: nothing here is believed. A report without a machine part says nothing.
"""

import re
from dataclasses import dataclass

from mailserver.mime.headers import HeaderBlock
from mailserver.mime.part import Part
from mailserver.mime.report_parts import (
    MACHINE_BYTES,
    STATUSES,
    Read,
    find_machine_part,
    find_once,
    find_original,
    read_head,
    read_part,
    reported_names,
    split_groups,
)
from mailserver.model.address import Address

WORDS = 50
WORD_BYTES = 1000
_RETURN_PATHS = (b"to", b"delivered-to", b"x-original-to", b"envelope-to")
"""Where a mailbox's server writes the address that the report came to, tag and all."""
_STATUS = re.compile(rb"[245]\.[0-9]{1,3}\.[0-9]{1,3}\b")  # RFC 3463 §2
# some write 5.0.0, and the status that they were given only in the reply (RFC 3464 §2.3.6, RFC 2034 §4)
_SMTP_REPLY = re.compile(rb"smtp[ \t]*;[ \t]*5[0-9]{2}[ \t-]+#?(5\.[0-9]{1,3}\.[0-9]{1,3})\b", re.IGNORECASE)
_UNTOLD = b"5.0.0"


@dataclass(frozen=True, slots=True, repr=False)
class Failure:
    """One recipient that will not get the mail: the addresses it may have been known by, and the status."""

    names: tuple[Address, ...]
    status: str

    def __repr__(self) -> str:
        return f"Failure({self.status})"


@dataclass(frozen=True, slots=True, repr=False)
class Bounce:
    """``words`` are values that may hold the mail's own marks: return paths, ENVID, Message-ID. ``failures`` may be empty:
    a report of a delay, or of success.
    """

    words: tuple[bytes, ...]
    failures: tuple[Failure, ...]

    def __repr__(self) -> str:
        return f"Bounce({self.failures!r})"


def find_bounce(root: Part, read: Read) -> Bounce | None:
    """The one delivery report in a message; None for everything else."""
    found = find_machine_part(root, STATUSES)
    if found is None:
        return None
    report, part = found
    groups = list(split_groups(read_part(part, read, MACHINE_BYTES).lstrip(b"\r\n")))
    head = read_head(root, read)
    original = find_original(report, read)
    words = [value for name in _RETURN_PATHS for value in head.find_all(name)]
    words += [groups[0].find(b"original-envelope-id") or b""]
    words += [] if original is None else [original.find(b"message-id") or b""]
    failures = [each for each in map(_find_failure, groups) if each is not None]
    return Bounce(tuple(word[:WORD_BYTES] for word in words[:WORDS] if word), tuple(failures))


def _find_failure(fields: HeaderBlock) -> Failure | None:
    """RFC 3464 §2.3.3: "failed" and nothing else is final. Who could not be reached is the final recipient: a box that
    forwards, to a dead one too, is not dead itself.
    """
    action = (find_once(fields, b"action") or b"").split(None, 1)
    names = reported_names([fields.find(b"final-recipient")])
    names = names or reported_names([fields.find(b"original-recipient")])
    status = _STATUS.match(find_once(fields, b"status") or b"")
    if not action or action[0].lower() != b"failed" or not names or status is None:
        return None
    stated = status[0]
    if stated == _UNTOLD:
        reply = _SMTP_REPLY.match((fields.find(b"diagnostic-code") or b"")[:WORD_BYTES])
        stated = reply[1] if reply else stated
    return Failure(names, stated.decode())
