"""The notice lane's ways out: a mail through the ordinary relay, or an SMS; and what the answer says of an address."""

import asyncio
import logging
from concurrent.futures import Executor
from datetime import datetime

from mailserver.gateway.ordinary_relay import OrdinaryRelay
from mailserver.gateway.sms_provider import SmsProvider
from mailserver.model.errors import PliError
from mailserver.service.contacts import Contacts
from mailserver.service.delivery_reports import AttemptResult, Cause, refused
from mailserver.service.outbound import NoticeOrder, SmsOrder
from mailserver.store.jobs import JobRow

logger = logging.getLogger("pli.gateway")


class NoticeSender:
    """``relay`` and ``sms`` are None when none is configured: such notices are dropped, and the log says so."""

    def __init__(
        self, relay: OrdinaryRelay | None, sms: SmsProvider | None, contacts: Contacts, pool: Executor
    ) -> None:
        self._relay = relay
        self._sms = sms
        self._contacts = contacts
        self._pool = pool

    async def send(self, row: JobRow, order: NoticeOrder | SmsOrder, now: datetime) -> AttemptResult:
        """One attempt. An address that the relay says is none is marked, one that takes mail again is no longer."""
        loop = asyncio.get_running_loop()
        if isinstance(order, SmsOrder):
            if self._sms is None:
                return refused(Cause.NO_RELAY, "notice dropped: set url in [sms] to send SMS")
            # not in the pool, which serves people too: a slow provider holds up no mailbox
            return await loop.run_in_executor(None, self._sms.send, order)
        if self._relay is None:
            return refused(Cause.NO_RELAY, "notice dropped: set host and sender in [relay] to send notices")
        result = await self._relay.send(order, self._contacts.token_of(row.job_id), now)
        try:
            await loop.run_in_executor(self._pool, self._contacts.note, row, order, result)
        except PliError as error:
            logger.warning("address not marked", extra={"job": row.job_id.hex(), "code": error.code})
        return result
