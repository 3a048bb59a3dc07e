"""The annotation that says that nobody reads an account's messages for some days, for who uses a mail client only.

``/private/vendor/pli/away`` beside one's own account, ``/shared/vendor/pli/away`` beside a shared box's INBOX. The value
is JSON (``model.absence``) and lies where deliveries find it, not in the sealed record of the other annotations.
"""

from datetime import UTC, datetime

from mailserver.imap.replies import AWAY_REFUSED
from mailserver.imap.session import Reply, Session
from mailserver.model.absence import format_absence, parse_absence
from mailserver.model.account import Role
from mailserver.model.errors import Corrupt, Denied, Malformed
from mailserver.service.keys import OpenAccount
from mailserver.service.named_mailboxes import NamedMailbox

OWN = "/private/vendor/pli/away"
OF_BOX = "/shared/vendor/pli/away"
AWAY_ENTRIES = frozenset({OWN, OF_BOX})


def load_away(session: Session, account: OpenAccount, name: str) -> dict[str, bytes]:
    """The entry as it is told; nothing where nobody is away, or to who may not set it."""
    try:
        absence = session.services.absence_settings.find_absence(account, datetime.now(UTC))
    except (Denied, Corrupt):
        return {}
    return {} if absence is None else {name: format_absence(absence)}


def set_away(session: Session, found: NamedMailbox | None, values: dict[str, bytes | None]) -> Reply | None:
    """None once it is set, or taken away by NIL; it stands alone in its command. ``found``: None beside the account.

    Raises Denied.
    """
    (name, value), *others = values.items()
    account = _account_of(session, found, name)
    if others or account is None:
        return AWAY_REFUSED
    try:
        absence = None if value is None else parse_absence(value)
        session.services.absence_settings.change(account, absence, session.origin(), datetime.now(UTC))
    except Malformed:
        return AWAY_REFUSED
    return None


def _account_of(session: Session, found: NamedMailbox | None, name: str) -> OpenAccount | None:
    """Whose absence the entry is; None where it has no such meaning."""
    if found is None:
        return session.open_account() if name == OWN else None
    is_box = found.account is not session.account and found.info.role is Role.INBOX
    return found.account if is_box and name == OF_BOX else None
