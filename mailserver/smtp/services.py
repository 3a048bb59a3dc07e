"""What the SMTP edge is given: use cases, what is shared with the other edges, and limits."""

from dataclasses import dataclass

from mailserver.audit.wording import Language
from mailserver.model.address import DomainName
from mailserver.service.keys import Keys
from mailserver.service.mail_logins import MailLogins
from mailserver.service.receive import Reception
from mailserver.service.submit import Submission
from mailserver.service.throttle import Throttle
from mailserver.service.wakeups import Wakeups


@dataclass(frozen=True, slots=True)
class SmtpServices:
    """``first_language`` comes first in what people and peers are told. ``home`` is the domain of ``<postmaster>``; ``throttle`` is the one that IMAP and the web use too (S9)."""

    reception: Reception
    submission: Submission
    keys: Keys
    logins: MailLogins
    wakeups: Wakeups
    throttle: Throttle
    hostname: str
    home: DomainName
    connections: int = 5000
    connections_per_address: int = 200
    first_language: Language = Language.FRENCH
