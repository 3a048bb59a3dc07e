"""Object identifiers on the wire (RFC 8474 §7): a letter, then the stored id in hexadecimal digits.

So none begins with a digit, none differs from another by case alone, and none reads NIL (§8.1). They stay the same
through COPY and MOVE (a message's) and RENAME (a mailbox's), and are never used again.
"""

from mailserver.model.ids import EmailId, MailboxId


def format_email_id(email_id: EmailId) -> bytes:
    """EMAILID, in its parentheses: one for each message, the same for every copy of it."""
    return b"(M" + email_id.hex().encode("ascii") + b")"


def format_mailbox_id(mailbox_id: MailboxId) -> bytes:
    """MAILBOXID, in its parentheses."""
    return b"(F" + mailbox_id.hex().encode("ascii") + b")"


def code_mailbox_id(mailbox_id: MailboxId) -> bytes:
    """The response code of SELECT and CREATE (RFC 8474 §4.1, §4.2)."""
    return b"MAILBOXID " + format_mailbox_id(mailbox_id)
