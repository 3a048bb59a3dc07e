"""The outbound queue's orders: what a job says is sealed under the day's service key and shredded at its end (K20).

A relay job carries one recipient and the data key of the message; a notice carries the few words of a code or a
notification to an ordinary address.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mailserver.crypto.ctx import ctx
from mailserver.crypto.secret import Secret, random_id
from mailserver.model.address import Address, parse_address
from mailserver.model.dsn import (
    NO_MESSAGE_ASK,
    NO_RECIPIENT_ASK,
    MessageAsk,
    RecipientAsk,
    Returned,
    format_notify,
    parse_notify,
)
from mailserver.model.ids import AccountId, BlobId, JobId
from mailserver.model.phone import PhoneNumber, parse_phone
from mailserver.service.service_seals import ServiceSeals
from mailserver.store.jobs import JobRow, JobState, Lane

DAY_SECONDS = 86400
RELAY_SECONDS = 48 * 3600
_PURPOSE = "queue"


@dataclass(frozen=True, slots=True)
class RelayOrder:
    """``skip_bytes`` of trace (our Return-Path) are not sent to the peer; the asks are the sender's of RFC 3461."""

    sender: Address | None
    recipient: Address
    data_key: Secret
    size_bytes: int
    skip_bytes: int
    message_id: str
    message_ask: MessageAsk = NO_MESSAGE_ASK
    ask: RecipientAsk = NO_RECIPIENT_ASK


@dataclass(frozen=True, slots=True)
class NoticeOrder:
    """An ordinary e-mail without any health content."""

    recipient: Address
    subject: str
    text: str

    def __repr__(self) -> str:
        return "NoticeOrder(…)"


@dataclass(frozen=True, slots=True)
class SmsOrder:
    """An SMS without any health content."""

    number: PhoneNumber
    text: str

    def __repr__(self) -> str:
        return "SmsOrder(…)"


class Outbound:
    def __init__(self, seals: ServiceSeals) -> None:
        self._seals = seals

    def relay_job(self, account_id: AccountId, order: RelayOrder, blob_id: BlobId, now: datetime) -> JobRow:
        """One message to one recipient at another operator."""
        fields: dict[str, str | int] = {
            "sender": str(order.sender or ""),
            "recipient": str(order.recipient),
            "data_key": order.data_key.reveal().hex(),
            "size": order.size_bytes,
            "skip": order.skip_bytes,
            "message_id": order.message_id,
            "ret": order.message_ask.returned or "",
            "envid": order.message_ask.envelope_id,
            "notify": "" if order.ask.notify is None else format_notify(order.ask.notify),
            "orcpt": order.ask.original,
            "tls": "required" if order.message_ask.requires_tls else "",
        }
        hop = order.recipient.domain.name
        return self._job(account_id, (Lane.RELAY, hop, RELAY_SECONDS), fields, blob_id, now)

    def notice_job(
        self, account_id: AccountId, order: NoticeOrder | SmsOrder, life_seconds: int, now: datetime
    ) -> JobRow:
        """Dropped, unsent, once ``life_seconds`` are over."""
        if isinstance(order, SmsOrder):
            fields = {"number": str(order.number), "text": order.text}
        else:
            fields = {"recipient": str(order.recipient), "subject": order.subject, "text": order.text}
        return self._job(account_id, (Lane.NOTICE, "", life_seconds), fields, None, now)

    def _job(
        self,
        account_id: AccountId,
        route: tuple[Lane, str, int],
        fields: Mapping[str, str | int],
        blob_id: BlobId | None,
        now: datetime,
    ) -> JobRow:
        lane, hop, life_seconds = route
        job_id, at = JobId(random_id()), int(now.timestamp())
        epoch = at // DAY_SECONDS
        sealed = self._seals.seal(_PURPOSE, json.dumps(fields).encode(), ctx("job", job_id), epoch)
        return JobRow(
            job_id,
            account_id,
            lane,
            JobState.WAITING,
            hop,
            at,
            at,
            at + life_seconds,
            0,
            delay_noticed=False,
            key_epoch=epoch,
            blob_id=blob_id,
            order=sealed,
        )

    def open_relay(self, row: JobRow) -> RelayOrder:
        """The order inside a relay job. Raises Corrupt when it was altered or already shredded."""
        fields = self._open(row)
        sender = fields["sender"]
        return RelayOrder(
            parse_address(sender) if sender else None,
            parse_address(fields["recipient"]),
            Secret(bytes.fromhex(fields["data_key"])),
            int(fields["size"]),
            int(fields["skip"]),
            fields["message_id"],
            *_asks(fields),
        )

    def open_notice(self, row: JobRow) -> NoticeOrder | SmsOrder:
        """The order inside a notice job. Raises as ``open_relay``."""
        fields = self._open(row)
        if "number" in fields:
            return SmsOrder(parse_phone(fields["number"]), fields["text"])
        return NoticeOrder(parse_address(fields["recipient"]), fields["subject"], fields["text"])

    def _open(self, row: JobRow) -> dict[str, str]:
        plain = self._seals.open(_PURPOSE, row.order, ctx("job", row.job_id), row.key_epoch)
        return {name: str(value) for name, value in json.loads(plain).items()}

    def forget_day(self, epoch: int) -> None:
        """Shred a day's key once its last job is over."""
        self._seals.forget(_PURPOSE, epoch)


def _asks(fields: Mapping[str, str]) -> tuple[MessageAsk, RecipientAsk]:
    """What the sender asked to be told; orders of earlier versions do not say."""
    returned, notify = fields.get("ret"), fields.get("notify")
    return (
        MessageAsk(
            Returned(returned) if returned else None, fields.get("envid", ""), bool(fields.get("tls"))
        ),
        RecipientAsk(parse_notify(notify) if notify else None, fields.get("orcpt", "")),
    )
