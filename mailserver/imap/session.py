"""What a verb works with: the services, the session's state, and the wire as far as a verb may touch it.

One command of a connection runs at a time, so a Session needs no lock. Blocking work goes through ``call``, one hop per
use case; what is sent goes through ``send`` and, when there is much of it, ``drain``.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import ParamSpec, Protocol, TypeVar

from mailserver.audit.events import Origin, readable
from mailserver.audit.wording import Language
from mailserver.imap.encode import Status, code_number, format_untagged
from mailserver.imap.notifier import Notifier
from mailserver.imap.states import CAPABILITIES, Feature, State
from mailserver.imap.view import Dialect, MailboxView
from mailserver.model.account import Flag
from mailserver.model.errors import Denied
from mailserver.model.ids import AccountId
from mailserver.policy.wording import in_both
from mailserver.service.absence_settings import AbsenceSettings
from mailserver.service.box_rights import BoxRights
from mailserver.service.boxes import Boxes
from mailserver.service.keys import Keys, OpenAccount
from mailserver.service.mail_logins import MailLogins
from mailserver.service.mail_permit import MailPermit, MailPermits
from mailserver.service.mailboxes import Mailboxes, MailboxInfo
from mailserver.service.messages import Messages, OpenedItem
from mailserver.service.named_mailboxes import NamedMailboxes
from mailserver.service.sasl import TOKEN_MECHANISMS, Mechanism
from mailserver.service.search_index import SearchIndex
from mailserver.service.throttle import Throttle, network_of
from mailserver.service.wakeups import Waiter, Wakeups
from mailserver.store.blob_folder import BlobFolder

P = ParamSpec("P")
T = TypeVar("T")

CLIENT_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class ImapServices:
    """What the server is made of. ``limit_bytes``: the largest message APPEND takes."""

    keys: Keys
    logins: MailLogins
    mailboxes: Mailboxes
    boxes: Boxes
    rights: BoxRights
    messages: Messages
    search_index: SearchIndex
    permits: MailPermits
    absence_settings: AbsenceSettings
    blobs: BlobFolder
    wakeups: Wakeups
    throttle: Throttle
    limit_bytes: int
    hostname: str
    first_language: Language = Language.FRENCH


@dataclass(frozen=True, slots=True)
class Reply:
    """The tagged answer to a command; ``code`` is the inside of the brackets."""

    status: Status
    text: str
    code: bytes = b""
    french: str = ""
    """Beside ``text`` in English, where a person may read it; in ASCII on the wire."""

    def words(self, first: Language) -> str:
        return " / ".join(in_both(self.text, self.french, first)) if self.french else self.text

    @property
    def is_done(self) -> bool:
        return self.status is Status.OK


def done(verb: str, code: bytes = b"") -> Reply:
    """OK, in the words every verb uses."""
    return Reply(Status.OK, f"{verb} completed", code)


class Wire(Protocol):
    """The connection, seen from a verb."""

    def send(self, octets: bytes) -> None:
        """Queue octets; never blocks."""

    async def drain(self) -> None:
        """Wait until the peer has taken most of what was sent. Raises ConnectionError when it is gone."""

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work in the pool."""

    def watch(self, account: OpenAccount) -> None:
        """News of this account wake the connection, and a revocation has its keys let go. From any thread."""


@dataclass(slots=True)
class Selected:
    """The selected mailbox, under the keys of ``account``. ``modseq``: everything up to it is in the view;
    ``told_modseq``: and everything up to this has been told, expunges too.
    """

    account: OpenAccount
    info: MailboxInfo
    view: MailboxView
    modseq: int
    is_read_only: bool
    told_modseq: int = field(init=False)

    def __post_init__(self) -> None:
        self.told_modseq = self.modseq

    def deleted_uids(self) -> list[int]:
        r"""What is \Deleted as far as this session knows."""
        pairs = zip(self.view.uids, self.view.flags, strict=True)
        return [uid for uid, flags in pairs if flags & Flag.DELETED]


@dataclass(slots=True)
class Session:
    """One connection's state. ``has_news`` is set by the change feed and cleared by who looks."""

    services: ImapServices
    wire: Wire
    peer: str
    state: State
    account: OpenAccount | None = None
    names: NamedMailboxes | None = None
    selected: Selected | None = None
    waiters: dict[AccountId, Waiter] = field(default_factory=dict)
    has_news: bool = False
    has_untold: bool = False
    """News of the selected mailbox that a client did not want to hear between commands."""
    tag: str = ""
    """Of the command that runs."""
    client: str = ""
    certificate: bytes | None = field(default=None, repr=False)
    """What the client showed in the TLS handshake, DER, its chain verified."""
    enabled: set[Feature] = field(default_factory=set)
    notifier: Notifier | None = None
    _opened: MailPermit | None = field(default=None, repr=False)
    _searching: MailPermit | None = field(default=None, repr=False)
    _is_searching: bool = False
    _permits: dict[AccountId, MailPermit] = field(default_factory=dict, repr=False)

    def capabilities(self) -> tuple[str, ...]:
        """What this connection is told that the server can do (RFC 9051 §6.1.1), less what its account hides."""
        names = CAPABILITIES[self.state]
        if self.state is State.NOT_AUTHENTICATED:
            names += tuple(f"AUTH={each}" for each in self.further_mechanisms())
        hidden = self.account.profile.hidden_capabilities if self.account is not None else ()
        limit = f"APPENDLIMIT={self.services.limit_bytes}"  # RFC 7889 §2: the same for all mailboxes
        return tuple(limit if name == "APPENDLIMIT" else name for name in names if name not in hidden)

    def further_mechanisms(self) -> tuple[Mechanism, ...]:
        """Ways of logging in that depend on the configuration and on this connection."""
        tokens = TOKEN_MECHANISMS if self.services.logins.policy.takes_tokens else ()
        return tokens if self.certificate is None else (*tokens, Mechanism.EXTERNAL)

    def forget_login(self) -> None:
        """RFC 8437 §3: whatever came with a login goes, its keys first; TLS and what ID said stay."""
        fresh = Session(self.services, self.wire, self.peer, State.NOT_AUTHENTICATED, client=self.client)
        fresh.certificate = self.certificate
        for each in fields(fresh):
            setattr(self, each.name, getattr(fresh, each.name))

    def open_account(self) -> OpenAccount:
        """The account of this connection. Raises Denied before login."""
        if self.account is None:
            raise Denied("login")
        return self.account

    def open_names(self) -> NamedMailboxes:
        """The one way from a client's mailbox name to a mailbox and its keys. Raises Denied before login."""
        if self.names is None:
            raise Denied("login")
        return self.names

    def open_mailbox(self) -> Selected:
        """The selected mailbox. Raises Denied when there is none."""
        if self.selected is None:
            raise Denied("no-mailbox")
        return self.selected

    @property
    def is_utf8(self) -> bool:
        """Mailbox names come and go as UTF-8 (RFC 6855 §3, RFC 9051 §5.1)."""
        return not self.enabled.isdisjoint({Feature.UTF8, Feature.REV2})

    def dialect(self, *, with_uid: bool = False) -> Dialect:
        """What this client is told along with flags, by what it enabled."""
        has = self.enabled
        return Dialect(
            with_uid=with_uid or Feature.CONDSTORE in has,  # RFC 7162 §3.2.4, which QRESYNC implies too
            with_modseq=Feature.CONDSTORE in has,
            with_recent=Feature.REV2 not in has,
            with_vanished=Feature.QRESYNC in has,
        )

    def enable_condstore(self) -> None:
        """The client shows that it knows mod-sequences (RFC 7162 §3.1): from now on it is told them."""
        if Feature.CONDSTORE in self.enabled:
            return
        self.enabled.add(Feature.CONDSTORE)
        if self.selected is not None:
            self.wire.send(
                format_untagged(
                    Status.OK, "Changes so far", code_number("HIGHESTMODSEQ", self.selected.modseq)
                )
            )

    def origin(self) -> Origin:
        """From where this client works, as the log tells it."""
        return Origin(network_of(self.peer), readable(self.client, CLIENT_CHARACTERS))

    def permit(self, account: OpenAccount | None = None) -> MailPermit:
        """Leave to read bodies today, in the account of the selected mailbox unless another is named; of a shared box
        headers alone. Logged before it is given (L1). Blocking: for the pool.
        """
        now, account = datetime.now(UTC), account or self.open_mailbox().account
        permit = self._permits.get(account.account_id)
        if permit is None or permit.day != now.date():
            permit = self.services.permits.permit(account, self.origin(), now)
            self._permits[account.account_id] = permit
        return permit

    def permit_messages(self, opened: Sequence[OpenedItem]) -> MailPermit:
        """Leave to open these messages of the selected mailbox, in a shared box each with its entry. Blocking."""
        account = self.open_mailbox().account
        if account.member is None:
            return self.permit()
        summaries = {item.row.item_id: item.summary for item in opened}
        self._opened = self.services.permits.permit_messages(account, summaries, datetime.now(UTC))
        return self._opened

    def permit_pieces(self, opened: Sequence[OpenedItem]) -> MailPermit:
        """Leave for later pieces of messages: that of the last reading, when it opened them all. Blocking."""
        last = self._opened
        is_same = last is not None and last.account_id == self.open_mailbox().account.account_id
        if last is not None and is_same and last.covers(*(item.row.item_id for item in opened)):
            return last
        return self.permit_messages(opened)

    @contextmanager
    def one_search(self) -> Iterator[None]:
        """What ``permit_search`` gives meanwhile is one leave, logged when it is first asked for."""
        self._searching = None
        self._is_searching = True
        try:
            yield
        finally:
            self._searching, self._is_searching = None, False

    def permit_search(self) -> MailPermit:
        """Leave to look into every message of the selected mailbox. Blocking."""
        selected, leave = self.open_mailbox(), self._searching
        if selected.account.member is None:
            return self.permit()
        if leave is None:
            permits = self.services.permits
            leave = permits.permit_search(selected.account, selected.info.name, datetime.now(UTC))
            self._searching = leave if self._is_searching else None
        return leave


def now_seconds() -> int:
    return int(datetime.now(UTC).timestamp())
