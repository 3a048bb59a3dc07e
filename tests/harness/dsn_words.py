"""Delivery reports as ordinary mail servers write them, about a notice with a given mark."""

HEAD = "From: MAILER-DAEMON@relais.example\r\nTo: {to}\r\nSubject: Undelivered Mail Returned to Sender\r\n"
REPORT = (
    "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
    "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
)
PLAIN_SENDER = "ne-pas-repondre@a.localhost"


def dsn(
    recipient: str,
    *,
    status: str = "5.1.1",
    action: str = "failed",
    to: str = PLAIN_SENDER,
    envid: str = "",
    original: str = "",
    more: str = "",
) -> bytes:
    """``envid`` and ``original`` (its Message-ID) are left out when empty; ``more`` are further fields of the recipient."""
    asked = f"Original-Envelope-Id: {envid}\r\n" if envid else ""
    returned = f"Message-ID: {original}\r\nSubject: Pli : un message vous attend\r\n" if original else ""
    return (
        HEAD.format(to=to)
        + REPORT
        + "--b\r\nContent-Type: text/plain\r\n\r\nI am sorry.\r\n"
        + f"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; relais.example\r\n{asked}\r\n"
        + f"Final-Recipient: rfc822; {recipient}\r\nAction: {action}\r\nStatus: {status}\r\n{more}\r\n"
        + (f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\n{returned}\r\n" if original else "")
        + "--b--\r\n"
    ).encode()


def qmail_words(recipient: str, token: str) -> bytes:
    """A bounce of a server that knows no report format."""
    return (
        HEAD.format(to=f"ne-pas-repondre+{token}@a.localhost")
        + f"\r\nHi. This is the qmail-send program.\r\n\r\n<{recipient}>:\r\nSorry, no mailbox here by that name. "
        f"(#5.1.1)\r\n\r\n--- Below this line is a copy of the message.\r\n\r\nMessage-ID: <{token}@a.localhost>\r\n"
    ).encode()
