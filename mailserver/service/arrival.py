"""A message that was accepted and is about to be delivered."""

from dataclasses import dataclass
from datetime import datetime

from mailserver.mime.notices import MessageNotice
from mailserver.mime.summary import HeaderSummary
from mailserver.model.address import Address
from mailserver.model.ids import AccountId
from mailserver.service.header_facts import HeaderFacts
from mailserver.service.intake import Intake
from mailserver.service.kept_files import Kept


@dataclass(frozen=True, slots=True)
class Arrival:
    """``source`` is the peer's DN or the submitting account: what folds retries (R2).

    ``away``: recipients who may be away; ``is_told``: the sender was shown who is, before sending; ``kept``:
    files that stay here, which the sender's Unit writes; ``notice``: what it tells of a message that somebody sent, when
    it is a notice; ``written_to``: the keys of the addresses that it is for.
    """

    intake: Intake
    summary: HeaderSummary
    facts: HeaderFacts
    sender: Address | None
    source: str
    received_at: datetime
    away: frozenset[AccountId] = frozenset()
    is_told: bool = False
    kept: Kept | None = None
    notice: MessageNotice | None = None
    written_to: frozenset[str] = frozenset()
