"""Notices to ordinary addresses, through the operator's ordinary relay: codes and "something waits", never content.

The link is encrypted when the relay offers it, without proof of who it is: a relay on the same host or network needs
no more, and a notice is not worth being held back.
"""

import ssl
from collections.abc import AsyncIterator
from datetime import datetime

from mailserver.crypto.secret import random_id
from mailserver.gateway.smtp_link import LinkEnded, SmtpLink, Transfer
from mailserver.mime.composer import Letter, Person, format_mail
from mailserver.model.address import Address
from mailserver.model.hop import NextHop
from mailserver.service.delivery_reports import AttemptResult, Cause, passing, refused
from mailserver.service.outbound import NoticeOrder


class OrdinaryRelay:
    """The relay of ``[relay]``: its address, and who its mails are from."""

    def __init__(self, hop: NextHop, sender: Address, operator: str, hostname: str) -> None:
        self._hop = hop
        self._sender = sender
        self._operator = operator
        self._hostname = hostname
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    async def send(self, order: NoticeOrder, now: datetime) -> AttemptResult:
        """One connection, one notice; what became of it."""
        mail = self._format(order, now)
        link = SmtpLink(self._hostname)
        try:
            await link.connect(self._hop)
            if link.has_extension("starttls"):
                await link.start_tls(self._context)
            is_utf8 = not order.recipient.is_ascii
            if is_utf8 and not link.has_extension("smtputf8"):
                return refused(Cause.NEEDS_UTF8)
            transfer = Transfer(self._sender, order.recipient, len(mail), is_utf8)
            return await link.transfer(transfer, _once(mail))
        except LinkEnded as ended:
            return ended.result
        except ssl.SSLError:
            return passing(Cause.LINK_LOST)
        finally:
            await link.quit()

    def _format(self, order: NoticeOrder, now: datetime) -> bytes:
        letter = Letter(
            Person(self._sender, self._operator),
            (Person(order.recipient),),
            order.subject,
            order.text,
            now,
            f"<{random_id().hex()}@{self._sender.domain}>",
            # RFC 3834 §5: no automatic answer is wanted
            fields=(("Auto-Submitted", "auto-generated"),),
        )
        return format_mail(letter, random_id().hex())


async def _once(octets: bytes) -> AsyncIterator[bytes]:
    yield octets
