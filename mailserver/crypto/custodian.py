"""The custodian (K7): the keys that the database must not meet, and the few verbs that use them.

It holds the custody pair, the harden key, the row key, the log's signing seeds and the master of hourly and service
keys, in a folder outside the data directory and its backups. No verb returns an AMK or a seed in clear. A mail client's
token it judges itself, against bindings of its own (``custodian_logins``). Every act on an account is journaled first;
passwords that are hardened, and logins that come often, are counted. One instance serves a folder.
"""

import contextlib
import re
import threading
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from mailserver.crypto.ctx import Raw, ctx
from mailserver.crypto.custodian_files import SEEDS, KeyFolder, format_seeds, parse_seeds
from mailserver.crypto.custodian_journal import Journal, JournalHead
from mailserver.crypto.custodian_logins import (
    LoginBinding,
    LoginBindings,
    LoginJudge,
    LoginKind,
    Proof,
    certificate_subjects,
)
from mailserver.crypto.custodian_rates import (
    MAIL_LIMIT,
    RELEASE_LIMIT,
    HardenCounts,
    HardenRate,
    LineCap,
    ReleaseCounts,
    ReleaseLimit,
    Standing,
)
from mailserver.crypto.custodian_verbs import Provisioned
from mailserver.crypto.hkdf import mac
from mailserver.crypto.log_keys import LogSigningKeys
from mailserver.crypto.roots import FIRST_EPOCH, AccountKeys
from mailserver.crypto.seal import KeyPair, PublicKey
from mailserver.crypto.secret import Secret, random_id, random_secret
from mailserver.crypto.slots import (
    SlotHeader,
    SlotKind,
    SlotScope,
    format_slot_header,
    open_slot_with,
    parse_slot_header,
    seal_slot_to,
)
from mailserver.crypto.tokens import TokenCheck
from mailserver.crypto.wrap import Wrapper
from mailserver.model.errors import Denied, Malformed, NotFound, OverLimit, PliError, Unavailable

Clock: TypeAlias = Callable[[], datetime]

KEYS_NAME = "custodian.keys"
JOURNAL_NAME = "journal"
LOGINS_NAME = "logins.sqlite"
HOURS_KEPT = 13
"""A session lives 12 h at most, so its hour's key must last until the end of the twelfth hour after it."""
_RELEASE, _RELEASE_MAIL = "release", "release-mail"
_PURPOSE = re.compile(r"[a-z][a-z0-9-]{0,31}")
_BASIS_LIMIT = 200


def utc_now() -> datetime:
    """The default clock."""
    return datetime.now(UTC)


class Custodian:
    """The keys of one folder, open and locked. Its verbs may be called from any thread."""

    def __init__(
        self, folder: KeyFolder, now: Clock, limit: ReleaseLimit, tokens: TokenCheck | None = None
    ) -> None:
        """Use ``open`` or ``create``. NotFound("keys") for an empty folder, Corrupt("custodian-keys") for a damaged one.

        ``tokens`` judges tokens; None: none is taken.
        """
        content = folder.find_file(KEYS_NAME)
        if content is None:
            raise NotFound("keys")
        custody, harden, row, log_ed25519, log_mldsa, master = parse_seeds(content)
        self._custody = KeyPair.from_seed(custody)
        self._harden = harden
        self._row = row
        self._log_keys = LogSigningKeys(log_ed25519, log_mldsa)
        self._master = Wrapper(master)
        self._folder = folder
        self._now = now
        self._lock = threading.RLock()
        self._journal = Journal(folder.open_append(JOURNAL_NAME))
        self._released = {_RELEASE: ReleaseCounts(limit), _RELEASE_MAIL: ReleaseCounts(MAIL_LIMIT)}
        for line in self._journal.recent:
            if line.verb in self._released:
                self._released[line.verb].note(line.account, line.time)
        self._harden_rate = HardenRate()
        self._hardened = HardenCounts()
        self._verified = LineCap()
        self._is_closed = False
        self._log_is_late = False
        self._set_aside: frozenset[bytes] = frozenset()
        self._purged_hour = -1
        self._purge_hours()
        logins_key = self._load_key("logins", ctx("logins-key"), may_create=True)
        self._logins = LoginBindings(folder.path(LOGINS_NAME), logins_key)
        self._judge = LoginJudge(self._logins, tokens)

    @classmethod
    def create(cls, folder: Path, now: Clock = utc_now, limit: ReleaseLimit = RELEASE_LIMIT) -> "Custodian":
        """Make fresh keys and open them; Conflict("keys-exist") when the folder has keys already."""
        opened = KeyFolder.create(folder)
        try:
            opened.add_file(KEYS_NAME, format_seeds([random_secret() for _ in range(SEEDS)]))
            return cls(opened, now, limit)
        except BaseException:
            opened.close()
            raise

    @classmethod
    def open(
        cls,
        folder: Path,
        now: Clock = utc_now,
        limit: ReleaseLimit = RELEASE_LIMIT,
        tokens: TokenCheck | None = None,
    ) -> "Custodian":
        """Open existing keys; errors as KeyFolder's and ``__init__``'s."""
        opened = KeyFolder(folder)
        try:
            return cls(opened, now, limit, tokens)
        except BaseException:
            opened.close()
            raise

    def close(self) -> None:
        """Give the folder back to whoever opens it next."""
        self._is_closed = True
        with contextlib.suppress(PliError):
            self._journal_hardened(self._now())
            self._journal_verified(self._verified.end())
        self._journal.close()
        self._logins.close()
        self._folder.close()

    @property
    def custody_public(self) -> bytes:
        """The public key that custody slots are sealed to."""
        return self._custody.public

    @property
    def journal_head(self) -> JournalHead:
        """Where the journal stands now."""
        return self._journal.head

    def provision(self, account: bytes) -> Provisioned:
        """Random AMK for ``account``; only its public keys and its custody slot leave."""
        keys = AccountKeys(random_secret())
        header = SlotHeader(account, random_id(), SlotKind.CUSTODY, SlotScope.CUSTODY, random_id())
        body = seal_slot_to(header, self._custody.public, keys.amk.reveal())
        provisioned = Provisioned(
            keys.mail.pair(FIRST_EPOCH).public,
            keys.space.pair(FIRST_EPOCH).public,
            keys.signing.public,
            format_slot_header(header),
            body,
        )
        with self._lock:
            self._journal.append(self._now(), "provision", account, "", sync=True)
        return provisioned

    def harden(
        self, account: bytes, slot: bytes, value: bytes, standing: Standing = Standing.STRANGER
    ) -> bytes:
        """K3: HMAC(harden key, ctx("harden", account, slot, Raw(value))); OverLimit("harden-rate") to who guesses.

        The journal has a count every ten minutes, with the accounts that were asked for often.
        """
        hardened = mac(self._harden, "harden", account, slot, Raw(value))
        with self._lock:
            if self._is_closed:  # what could not be counted is not done
                raise Unavailable("custodian")
            now = self._now()
            if self._hardened.is_due(now):
                self._journal_hardened(now)
            try:
                self._harden_rate.take(account, standing, now)
            except OverLimit:
                self._hardened.note(account, now, is_refused=True)
                raise
            self._hardened.note(account, now, is_refused=False)
        return hardened

    def _journal_hardened(self, now: datetime) -> None:
        for account, basis in self._hardened.lines():
            self._journal.append(now, "harden", account, basis, sync=False)
        self._hardened.clear()

    def mark_log(self, *, is_late: bool, set_aside: Collection[bytes] = ()) -> None:
        """K7: while entries do not reach the signed tree, nothing is released; for accounts ``set_aside`` neither."""
        self._log_is_late, self._set_aside = is_late, frozenset(set_aside)

    def release(
        self, account: bytes, custody_header: bytes, custody_body: bytes, session_public: bytes, basis: str
    ) -> bytes:
        """The AMK of a custody slot, sealed to ``session_public`` with info = ctx("release", account).

        1. The slot is this account's custody slot (Denied("custody-slot")) and opens (Corrupt("unseal")).
        2. The log keeps up (Unavailable("log-late")): what is released must be seen by its owner.
        3. The account has not had too many releases (OverLimit("release-rate")).
        4. The act is in the journal, with its basis (short, without private data), before the answer leaves.
        """
        _check_basis(basis)
        amk = self._open_custody(account, custody_header, custody_body)
        sealed = PublicKey(session_public).seal(amk, ctx("release", account))
        self._note_release(_RELEASE, account, basis)
        return sealed

    def release_mail(
        self, account: bytes, custody_header: bytes, custody_body: bytes, session_public: bytes, proof: Proof
    ) -> bytes:
        """The mail root, and nothing else of the account, for a login: sealed to ``session_public`` with
        info = ctx("release-mail", account). As ``release``, once ``proof`` was judged as by ``verify_login``.
        """
        basis = self._judge.judge(account, proof, self._now())
        amk = self._open_custody(account, custody_header, custody_body)
        mail = AccountKeys(Secret(amk)).mail.secret
        sealed = PublicKey(session_public).seal(mail.reveal(), ctx("release-mail", account))
        self._note_release(_RELEASE_MAIL, account, basis)
        return sealed

    def verify_login(self, account: bytes, proof: Proof) -> None:
        """A login that needs no key. A token is judged here, and its holder must be bound to the account; of a
        certificate it is the mail process's word that it was shown. Raises Denied, Unavailable("token-issuer").
        """
        basis = self._judge.judge(account, proof, self._now())
        with self._lock:
            self._journal_verified(self._verified.note(account, self._now()), basis)

    def _journal_verified(self, lines: Iterable[tuple[bytes, int]], basis: str = "") -> None:
        for account, more in lines:
            said = f"{more} more within a minute" if more else basis
            self._journal.append(self._now(), "login", account, said, sync=False)

    def find_certificate_accounts(self, certificate: bytes) -> list[bytes]:
        """The accounts that a client's certificate (DER) may open. Raises Denied("certificate")."""
        subjects = certificate_subjects(certificate, self._now())
        found = [each for kind, subject in subjects for each in self._logins.find_accounts(kind, subject)]
        return sorted(set(found))

    def bind_login(self, account: bytes, kind: LoginKind, subject: str) -> None:
        """Journaled, then done. Raises Conflict("login-bound"), Malformed("login-subject")."""
        self._note_binding("bind", account, kind, subject)
        self._logins.add(account, kind, subject, self._now())

    def unbind_login(self, account: bytes, kind: LoginKind, subject: str) -> None:
        """Journaled, then done. Raises NotFound("login-binding")."""
        self._note_binding("unbind", account, kind, subject)
        self._logins.remove(account, kind, subject)

    def list_logins(self, kind: LoginKind, account: bytes = b"") -> list[LoginBinding]:
        """What is bound, to one account or to any."""
        return self._logins.list_bindings(kind, account)

    def _open_custody(self, account: bytes, header_bytes: bytes, body: bytes) -> bytes:
        header = parse_slot_header(header_bytes)
        if header.account != account or header.kind is not SlotKind.CUSTODY:
            raise Denied("custody-slot")
        if self._log_is_late or account in self._set_aside:
            raise Unavailable("log-late")
        return open_slot_with(header_bytes, body, self._custody)

    def _note_release(self, verb: str, account: bytes, basis: str) -> None:
        """In the journal and counted, or refused, before the answer leaves."""
        with self._lock:
            now, released = self._now(), self._released[verb]
            released.demand(account.hex(), now)
            self._journal.append(now, verb, account, basis, sync=True)
            released.note(account.hex(), now)

    def _note_binding(self, verb: str, account: bytes, kind: LoginKind, subject: str) -> None:
        with self._lock:
            basis = f"{kind.value} {self._logins.label(kind, subject)}"
            self._journal.append(self._now(), verb, account, basis, sync=True)

    def note_act(self, basis: str) -> None:
        """An administrator's act on no account in particular (short, without private data), in the journal before it
        is done. Raises Malformed, Unavailable("custodian-journal").
        """
        _check_basis(basis)
        with self._lock:
            self._journal.append(self._now(), "act", b"", basis, sync=True)

    def row_key(self) -> Secret:
        """The key of row MACs (K23)."""
        return self._row

    def log_keys(self) -> LogSigningKeys:
        """The log's signing keys (L7); they never cross the channel."""
        return self._log_keys

    def hourly_key(self, hour: int) -> Secret:
        """The random key of an hour (Unix time // 3600), kept for HOURS_KEPT hours.

        It is made on first use during its hour, or within one hour of it (nodes' clocks differ). NotFound("hourly-key")
        for any other hour that has none: sessions of that hour are over.
        """
        with self._lock:
            current = self._purge_hours()
            may_create = abs(hour - current) <= 1
            return self._load_key(f"hour-{hour}", ctx("hourly-key", hour), may_create=may_create)

    def service_key(self, purpose: str, epoch: int) -> Secret:
        """The random key of (purpose, epoch), made on first use; purpose is lower-case letters, digits and hyphens."""
        name, context = _service_name(purpose, epoch)
        with self._lock:
            return self._load_key(name, context, may_create=True)

    def drop_service_key(self, purpose: str, epoch: int) -> None:
        """Shred the key of (purpose, epoch); asking for it again makes another."""
        name, _context = _service_name(purpose, epoch)
        with self._lock:
            self._folder.remove_file(name)

    def _load_key(self, name: str, context: bytes, *, may_create: bool) -> Secret:
        stored = self._folder.find_file(name)
        if stored is not None:
            return Secret(self._master.unwrap(stored, context))
        if not may_create:
            raise NotFound("hourly-key")
        key = random_secret()
        self._folder.add_file(name, self._master.wrap(key.reveal(), context))
        return key

    def _purge_hours(self) -> int:
        """Shred the keys of hours that no session can need; return the current hour."""
        current = int(self._now().timestamp()) // 3600
        if current == self._purged_hour:
            return current
        for name in self._folder.list_files("hour-"):
            if int(name.removeprefix("hour-")) <= current - HOURS_KEPT:
                self._folder.remove_file(name)
        self._purged_hour = current
        return current


def _check_basis(basis: str) -> None:
    if not 0 < len(basis) <= _BASIS_LIMIT:
        raise Malformed("release-basis")


def _service_name(purpose: str, epoch: int) -> tuple[str, bytes]:
    if _PURPOSE.fullmatch(purpose) is None:
        raise Malformed("service-purpose")
    return f"service-{purpose}-{epoch}", ctx("service-key", purpose, epoch)
