"""The one error tree.

Every error carries a ``code`` (a stable word that edges map to a reply) and a ``detail`` that is safe to log and to
show: it never holds message content, a subject, a mail address, a name or an insurance number.
"""


class PliError(Exception):
    """Base of every expected failure. ``str(error)`` is safe to log."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


class Malformed(PliError):
    """Bytes that do not follow their grammar."""


class NotFound(PliError):
    """Something named does not exist."""


class Conflict(PliError):
    """The state has changed, or the name is taken."""


class Denied(PliError):
    """Authentication failed or the right is missing."""


class OverLimit(PliError):
    """A size, count, rate or step limit was passed."""


class Unavailable(PliError):
    """A dependency (disk, database, custodian) cannot answer now; trying again may work."""


class Corrupt(PliError):
    """Stored bytes fail their authentication: altered, swapped or damaged."""
