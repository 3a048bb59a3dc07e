"""What EHLO is answered: what is true of this connection now (RFC 5321 §4.1.1.1)."""

from collections.abc import Sequence

from mailserver.smtp.link import Link, Role


def list_extensions(
    link: Link, limits: tuple[int, int], mechanisms: Sequence[str], *, offers_dsn: bool
) -> list[str]:
    """EHLO keywords with their arguments. ``limits``: octets of a message, recipients of one."""
    size_bytes, recipients = limits
    keywords = [f"SIZE {size_bytes}"]  # RFC 1870 §3
    keywords += ["8BITMIME", "SMTPUTF8"]  # RFC 6152 §2, RFC 6531 §3.1
    keywords += ["PIPELINING", "ENHANCEDSTATUSCODES"]  # RFC 2920 §3, RFC 2034 §3
    keywords += ["CHUNKING", f"LIMITS RCPTMAX={recipients}"]  # RFC 3030 §2, RFC 9422 §4.1
    keywords.append("REQUIRETLS" if link.is_tls else "STARTTLS")  # RFC 8689 §2, RFC 3207 §2
    if link.is_tls and link.role is Role.SUBMISSION:
        keywords.append(f"AUTH {' '.join(mechanisms)}")  # RFC 4954 §3
    if offers_dsn:
        keywords.append("DSN")  # RFC 3461 §4
    return keywords


def name_protocol(link: Link, *, is_extended: bool, is_utf8: bool, is_login: bool) -> str:
    """RFC 3848's and RFC 6531 §4.3's names of how a message came."""
    if not is_extended:
        return "SMTP"
    return f"{'UTF8SMTP' if is_utf8 else 'ESMTP'}{'S' if link.is_tls else ''}{'A' if is_login else ''}"
