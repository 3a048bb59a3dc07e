"""Read receipts of patients: sent by itself when a patient first opens on the pages a message that asked for one, which they
may not refuse (``facts/mssante`` §3.6), whatever a mail client marked before. Nothing follows from what a mail client
fetches, which it does ahead of any reader: it offers the receipt itself (RFC 3503), and says that it did. Only to the address that the message came back to (RFC 8098 §2.1), once, and never
for what nobody typed. Whatever prevents it is logged by its code, and the message opens all the same.
"""

import contextlib
import logging
from datetime import datetime

from mailserver.audit.events import Origin
from mailserver.config import OperatorConfig
from mailserver.documents.mss_headers import compute_mss_headers
from mailserver.mime.composer import Letter, Person, reply_headers
from mailserver.mime.displayed import Displayed, format_displayed
from mailserver.mime.trace import Hop
from mailserver.model.account import AccountKind, Flag
from mailserver.model.address import Address, parse_domain
from mailserver.model.errors import PliError
from mailserver.service.header_facts import HeaderFacts
from mailserver.service.keys import OpenAccount
from mailserver.service.sendings import SubmittedEnvelope
from mailserver.service.submit import Submission
from mailserver.service.web_mailbox import OpenMessage, WebMailbox
from mailserver.store import space_rows
from mailserver.store.database import Connection
from mailserver.store.store import Store
from mailserver.store.writer import Unit

_TEXT = (
    "Ce message a été ouvert par son destinataire dans son espace. Cela ne dit pas s'il l'a lu ou compris.\n\n"
    "--\nThis message was opened by its recipient. It does not say that it was read or understood.\n"
)
logger = logging.getLogger("pli.web")


class DisplayedReceipts:
    def __init__(
        self, store: Store, mailbox: WebMailbox, submission: Submission, operator: OperatorConfig
    ) -> None:
        self._store = store
        self._mailbox = mailbox
        self._submission = submission
        self._hostname = parse_domain(operator.hostname)
        self._product_reference = operator.product_reference

    def is_asked(self, account: OpenAccount, facts: HeaderFacts) -> bool:
        """Whether this account's opening of the message is told to its sender."""
        return (
            account.account.kind is AccountKind.PATIENT
            and facts.receipt_to is not None
            and facts.return_path is not None
            and facts.receipt_to.key == facts.return_path.key
            and not facts.is_automatic
            and bool(facts.message_id)
        )

    def send_receipt(self, account: OpenAccount, message: OpenMessage, origin: Origin, now: datetime) -> None:
        """At the first opening of a message that asked for it; any other call does nothing."""
        facts = message.facts()
        if message.line.flags & Flag.MDN_SENT:
            return
        if facts.receipt_to is None or not self.is_asked(account, facts):
            return
        try:
            if self._claim(account, message, now):
                self._send(account, message, facts.receipt_to, origin, now)
        except PliError as error:
            logger.warning("a read receipt was not sent", extra={"code": error.code})

    def _claim(self, account: OpenAccount, message: OpenMessage, now: datetime) -> bool:
        """True for one of several openings at once."""
        mark = self._store.macs.sign("displayed", (account.account_id, message.item.row.item_id))

        def run(connection: Connection) -> bool:
            if space_rows.has_delivery(connection, account.account_id, mark):
                return False
            space_rows.add_delivery(connection, account.account_id, mark, int(now.timestamp()))
            return True

        return self._store.writer.commit(Unit(account.account_id, run))

    def _send(
        self, account: OpenAccount, message: OpenMessage, to: Address, origin: Origin, now: datetime
    ) -> None:
        sender, nonce = account.addresses[0], message.item.row.item_id.hex()
        decision, destination = self._submission.decide_recipient(to, 0, now)
        if destination is None:
            logger.info("a read receipt was refused", extra={"reason": decision.reason.value})
            return
        headers = reply_headers(message.summary)
        letter = Letter(
            Person(sender, account.profile.name),
            (Person(to),),
            f"Lu : {message.line.subject}",
            _TEXT,
            now,
            f"<displayed.{nonce}@{sender.domain.name}>",
            in_reply_to=headers.in_reply_to,
            references=headers.references,
            fields=compute_mss_headers(None, self._product_reference).fields(),
        )
        displayed = Displayed(self._hostname, sender, message.facts().message_id)
        hop = Hop("web", "127.0.0.1", self._hostname.name, "HTTPS", nonce)
        with contextlib.closing(self._submission.begin(hop, None, now)) as intake:
            intake.write(format_displayed(letter, nonce, displayed))
            intake.finish()
            verdict = self._submission.accept(
                account, SubmittedEnvelope(None, (destination,), origin), intake, now
            )
            for commit in verdict.commits:
                commit.result()
        if verdict.decision.accepted:
            self._mailbox.mark(account, message.item, Flag.MDN_SENT)
        else:
            logger.info("a read receipt was refused", extra={"reason": verdict.decision.reason.value})
