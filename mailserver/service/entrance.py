"""The entrance that every message passes, whoever hands it in: its trace lines, its limits, the antivirus."""

from datetime import datetime

from mailserver.mime.trace import Hop, format_received, format_return_path, format_scanned
from mailserver.model.address import Address
from mailserver.policy.decision import ACCEPT, Decision
from mailserver.policy.mail_rules import MailLimits, decide_scan
from mailserver.service.antivirus import Antivirus
from mailserver.service.intake import Intake
from mailserver.store.blob_folder import BlobFolder


class Entrance:
    """``antivirus`` is None where the operator configured none: nothing is then said of a scan."""

    def __init__(self, blobs: BlobFolder, limits: MailLimits, antivirus: Antivirus | None) -> None:
        self._blobs = blobs
        self.antivirus = antivirus
        self.limits = limits

    def begin(
        self, hop: Hop, sender: Address | None, now: datetime, limit_bytes: int | None = None
    ) -> Intake:
        """An intake with its trace lines: one Return-Path, one Received (without ``for``), between them the scan.

        ``limit_bytes``: of this message, in place of the largest one's. The scan's line stands before the octets that it is about: who takes an intake from here scans it or closes it.
        """
        scanned = b"" if self.antivirus is None else format_scanned(hop.host, now)
        trace = format_return_path(sender) + scanned + format_received(hop, now)
        most = self.limits.message_bytes if limit_bytes is None else limit_bytes
        intake = Intake(self._blobs, most + len(trace))
        intake.write_trace(trace)
        return intake

    def scan(self, intake: Intake) -> Decision:
        """Last of all decisions, as the dearest. Blocks. Raises Unavailable (disk)."""
        return ACCEPT if self.antivirus is None else decide_scan(self.antivirus.scan(intake))
