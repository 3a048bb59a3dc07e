"""CATENATE's URL parts (RFC 4469): octets of messages that the account holds, copied slice by slice in the pool.

Nothing is marked as seen. A message or part that is not there is BADURL, whatever the reason: a URL tells no more
about mailboxes than LIST does. Other accounts' boxes are not reached: what is read there is logged message by message.
"""

from collections.abc import Iterator

from mailserver.imap.message_url import MessageUrl, parse_message_url
from mailserver.imap.sections import SectionReader
from mailserver.imap.session import Selected, Session
from mailserver.model.errors import Malformed, NotFound
from mailserver.model.ids import MailboxId
from mailserver.service.named_mailboxes import NamedMailbox


class BadUrl(NotFound):
    """``url`` is what the client wrote."""

    def __init__(self, url: bytes) -> None:
        super().__init__("bad-url")
        self.url = url


def read_url(session: Session, url: bytes) -> Iterator[bytes]:
    """The octets that a URL names, in slices. Raises BadUrl; Corrupt when what it names was altered. Blocking."""
    try:
        target = parse_message_url(url)
        mailbox_id = _find_mailbox(session, target)
    except Malformed:
        raise BadUrl(url) from None
    content = None if mailbox_id is None else _find_content(session, mailbox_id, target)
    if content is None:
        raise BadUrl(url)
    return content


def _find_mailbox(session: Session, target: MessageUrl) -> MailboxId | None:
    if target.mailbox is None:
        found: Selected | NamedMailbox | None = session.selected
    else:
        found = session.open_names().find_mailbox(target.mailbox)
    if found is None or found.account is not session.account:
        return None
    return found.info.mailbox_id if target.uidvalidity in {None, found.info.row.uidvalidity} else None


def _find_content(session: Session, mailbox_id: MailboxId, target: MessageUrl) -> Iterator[bytes] | None:
    account, messages = session.open_account(), session.services.messages
    permit = session.permit(account)
    page = messages.page_with_octets(account, mailbox_id, [target.uid])
    if not page:
        return None
    return SectionReader(messages, account, permit, page[0]).find_content(target.section, target.partial)
