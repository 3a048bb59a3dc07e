"""The receipt that a patient's space gives for a message with documents: *processed* when they were filed, a code of
900–906 with its reason when the archive was set aside (facts/mssante §3.6).

Only to who handed the message in, only when Disposition-Notification-To is the return path itself (a loop
guard, RFC 8098 §2.1), never for what nobody typed. The job that carries it to another operator is written in the Unit
that files or sets aside: it leaves exactly when that is true. Its envelope sender is null: nothing ever comes back for it.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from mailserver.config import OperatorConfig
from mailserver.crypto.secret import random_id
from mailserver.documents.mss_headers import compute_mss_headers
from mailserver.documents.reasons import EXPLANATIONS, SetAside
from mailserver.mime.composer import Letter, Person
from mailserver.mime.reports import Receipt, receipt_subject, stream_mdn
from mailserver.mime.trace import format_return_path
from mailserver.model.address import Address, parse_domain
from mailserver.model.errors import Malformed
from mailserver.model.ids import AccountId
from mailserver.service.arrival import Arrival
from mailserver.service.directory import Directory
from mailserver.service.intake import Intake
from mailserver.service.outbound import Outbound, RelayOrder
from mailserver.service.sealing import SealedBlob, seal_octets, shared_octets
from mailserver.store import items
from mailserver.store.accounts import AccountRow
from mailserver.store.database import Connection
from mailserver.store.jobs import JobRow
from mailserver.store.store import Store

WHOLE_BYTES = 20 * 1024 * 1024
"""A larger original comes back as its header alone: the receipt must fit what a peer takes (25 MB)."""
_WORDS_BYTES = 1024 * 1024
_READ_BYTES = 64 * 1024
_LABELS = {
    900: "Version non prise en charge",
    901: "Auteur non autorisé",
    902: "Patient inconnu",
    903: "INS absente",
    904: "INS différente",
    905: "INS incomplète",
    906: "Autre erreur",
}
_FILED = (
    "Les documents de ce message ont été classés automatiquement dans l'espace du patient. Cela ne dit pas qu'il les a "
    "lus.\n\n--\nThe documents of this message were filed automatically in the patient's space. It does not say that they "
    "were read.\n"
)


@dataclass(frozen=True, slots=True)
class PreparedReceipt:
    """A receipt as a job of the patient's account, ready for the Unit."""

    account_id: AccountId
    blob: SealedBlob
    job: JobRow

    def place(self, store: Store, connection: Connection) -> None:
        items.add_blob(connection, self.account_id, self.blob.row)
        store.jobs.add_jobs(connection, [self.job])


class IntegrationReceipts:
    def __init__(
        self, store: Store, directory: Directory, outbound: Outbound, operator: OperatorConfig
    ) -> None:
        self._store = store
        self._directory = directory
        self._outbound = outbound
        self._hostname = parse_domain(operator.hostname)
        self._product_reference = operator.product_reference

    def prepare(self, arrival: Arrival, account: AccountRow, case: SetAside | None) -> PreparedReceipt | None:
        """The receipt of a patient's message with documents; ``case`` is None when they are filed. None when nothing was
        asked. Blocks: pool threads only. Raises Unavailable.
        """
        asked = _find_asked(arrival)
        if asked is None or self._directory.is_ours(asked.domain):
            return None
        intake = self._write(arrival, account, asked, case)
        if intake is None:
            return None
        with contextlib.closing(intake):
            return self._prepare(account.account_id, asked, intake, arrival.received_at)

    def write_here(
        self, arrival: Arrival, account: AccountRow, case: SetAside | None
    ) -> tuple[AccountRow, Intake] | None:
        """The same for a sender of ours: the account and the mail, which the caller closes."""
        asked = _find_asked(arrival)
        if asked is None or not self._directory.is_ours(asked.domain):
            return None
        with self._store.database.read() as connection:
            sender = self._directory.find_account(connection, asked)
        intake = None if sender is None else self._write(arrival, account, asked, case)
        return None if sender is None or intake is None else (sender, intake)

    def _write(
        self, arrival: Arrival, account: AccountRow, asked: Address, case: SetAside | None
    ) -> Intake | None:
        with self._store.database.read() as connection:
            addresses = self._directory.list_addresses(connection, account.account_id)
        recipient = next((each for each in addresses if each.key in arrival.written_to), None)
        if recipient is None:
            return None
        original = arrival.intake.size_bytes - arrival.intake.trace_bytes
        intake = Intake(self._store.blobs, 2 * original + _WORDS_BYTES)
        try:
            intake.write_trace(format_return_path(None))
            for chunk in self._stream(arrival, recipient, asked, case):
                intake.write(chunk)
            intake.finish()
        except (
            Malformed
        ):  # a Message-ID or subject that cannot be written again: nothing could be matched with it
            intake.close()
            return None
        except BaseException:
            intake.close()
            raise
        return intake

    def _prepare(
        self, account_id: AccountId, asked: Address, intake: Intake, now: datetime
    ) -> PreparedReceipt:
        small = intake.small
        blob = seal_octets(small) if small is not None else shared_octets(intake.keep())
        order = RelayOrder(None, asked, blob.data_key, intake.size_bytes, intake.trace_bytes, "")
        return PreparedReceipt(
            account_id, blob, self._outbound.relay_job(account_id, order, blob.row.blob_id, now)
        )

    def _stream(
        self, arrival: Arrival, recipient: Address, asked: Address, case: SetAside | None
    ) -> Iterable[bytes]:
        facts = arrival.facts
        error, text = None, _FILED
        if case is not None:
            words = EXPLANATIONS[case.reason]
            code = int(case.mdn_code)
            error = (str(code), _LABELS[code])
            text = f"Code {code} : {_LABELS[code]}\n\n{words.french}\n\n--\nCode {code}\n\n{words.english}\n"
        receipt = Receipt(f"{self._hostname}; Pli", recipient, facts.message_id, facts.subject, error)
        nonce = random_id().hex()
        letter = Letter(
            Person(recipient),
            (Person(asked),),
            receipt_subject(receipt),
            text,
            arrival.received_at,
            f"<receipt.{nonce}@{self._hostname}>",
            in_reply_to=facts.message_id,
            references=(facts.message_id,),
            # the archive that comes back is the asker's: its codes would announce new documents
            fields=compute_mss_headers(None, self._product_reference).fields(),
        )
        return stream_mdn(letter, nonce, receipt, _original(arrival.intake))


def _find_asked(arrival: Arrival) -> Address | None:
    """Where a receipt goes: the return path, when it was asked for there."""
    facts, sender = arrival.facts, arrival.sender
    if sender is None or facts.receipt_to is None or facts.receipt_to.key != sender.key:
        return None
    is_answerable = not facts.is_automatic and not facts.is_report and bool(facts.message_id)
    return facts.receipt_to if is_answerable else None


def _original(intake: Intake) -> Iterable[bytes]:
    """As it was handed in, without our trace."""
    start, stop = intake.trace_bytes, intake.size_bytes
    if stop - start > WHOLE_BYTES:
        head = intake.read(start, start + 4 * _READ_BYTES)
        yield head[: head.find(b"\r\n\r\n") + 2]
        return
    for at in range(start, stop, _READ_BYTES):
        yield intake.read(at, min(at + _READ_BYTES, stop))
