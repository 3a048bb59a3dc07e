"""Notices to ordinary addresses, through the operator's ordinary relay: codes and "something waits", never content.

How far the link is checked is the operator's word: a relay on the same host or network needs no proof of who it is, and
a notice is then not worth being held back; one on the Internet must show its name, and may ask for a password.
"""

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from mailserver.crypto.secret import Secret, random_id
from mailserver.gateway.smtp_link import LinkEnded, SmtpLink, Transfer
from mailserver.mime.composer import Letter, Person, format_notice
from mailserver.mime.dkim import DkimIdentity, format_dkim_signature
from mailserver.model.address import Address
from mailserver.model.dsn import MessageAsk, Notify, RecipientAsk, Returned
from mailserver.model.hop import LinkSecurity, NextHop
from mailserver.service.delivery_reports import AttemptResult, Cause, passing, refused
from mailserver.service.outbound import NoticeOrder
from mailserver.tls.contexts import web_client_context


@dataclass(frozen=True, slots=True)
class RelayAccess:
    """Where the relay is and how it is entered. ``authority`` None: the system's own."""

    hop: NextHop
    security: LinkSecurity = LinkSecurity.OPPORTUNISTIC
    authority: Path | None = None
    user: str = ""
    password: Secret | None = field(default=None, repr=False)


class OrdinaryRelay:
    """The relay of ``[relay]``: its address, who its mails are from, who signs them. Raises Malformed("web-authority").

    ``tags_sender``: each mail has a return path of its own, the sender's with a tag (RFC 5233), so that every report names
    it; ENVID and Message-ID do so anyway.
    """

    def __init__(
        self,
        access: RelayAccess,
        sender: Address,
        operator: str,
        hostname: str,
        identity: DkimIdentity | None = None,
        *,
        tags_sender: bool = False,
    ) -> None:
        self._access = access
        self._sender = sender
        self._operator = operator
        self._hostname = hostname
        self._identity = identity
        self._tags_sender = tags_sender
        self._context = _context_of(access)

    async def send(self, order: NoticeOrder, token: str, now: datetime) -> AttemptResult:
        """One connection, one notice, marked with ``token``; what became of it."""
        mail = self._format(order, token, now)
        link = SmtpLink(self._hostname)
        try:
            await self._enter(link)
            is_utf8 = not order.recipient.is_ascii
            if is_utf8 and not link.has_extension("smtputf8"):
                return refused(Cause.NEEDS_UTF8)
            transfer = Transfer(
                self._return_path(token),
                order.recipient,
                len(mail),
                is_utf8,
                MessageAsk(Returned.HEADERS, token),  # a code does not come back
                RecipientAsk(frozenset({Notify.FAILURE})),
            )
            return await link.transfer(transfer, _once(mail))
        except LinkEnded as ended:
            return ended.result
        except ssl.SSLError as error:
            words = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else ""
            return passing(Cause.LINK_LOST, words)
        finally:
            await link.quit()

    async def _enter(self, link: SmtpLink) -> None:
        """Connect, secure, log in. Raises LinkEnded, ssl.SSLError."""
        access = self._access
        await link.connect(access.hop, self._context if access.security is LinkSecurity.TLS else None)
        if access.security is not LinkSecurity.TLS:
            if link.has_extension("starttls"):
                await link.start_tls(self._context)
            elif access.security is LinkSecurity.STARTTLS:
                raise LinkEnded(
                    passing(Cause.LINK_LOST, "the relay offers no STARTTLS, which security demands")
                )
        if access.password is not None:
            await link.login(access.user, access.password)

    def _return_path(self, token: str) -> Address:
        sender = self._sender
        return Address(f"{sender.local}+{token}", sender.domain) if self._tags_sender else sender

    def _format(self, order: NoticeOrder, token: str, now: datetime) -> bytes:
        letter = Letter(
            Person(self._sender, self._operator),
            (Person(order.recipient),),
            order.subject,
            order.text,
            now,
            f"<{token}@{self._sender.domain}>",
        )
        mail = format_notice(letter, random_id().hex())
        if self._identity is None:
            return mail
        return format_dkim_signature(mail, self._identity, now) + mail


def _context_of(access: RelayAccess) -> ssl.SSLContext:
    if access.security is not LinkSecurity.OPPORTUNISTIC:
        return web_client_context(access.authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _once(octets: bytes) -> AsyncIterator[bytes]:
    yield octets
