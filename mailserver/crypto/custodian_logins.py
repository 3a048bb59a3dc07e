"""Which person's token and which certificate open which account, as the custodian keeps it (K7).

The bindings lie in the custodian's own folder and only an administrator's connection changes them: a worker in
somebody's hands cannot bind itself to another's box, and what is removed cannot be put back from the database. What is
bound is found by a MAC and sealed, under keys that never leave.
"""

import hashlib
import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from mailserver.crypto.ctx import ctx
from mailserver.crypto.custodian_rates import LineCap
from mailserver.crypto.hkdf import derive, mac
from mailserver.crypto.secret import Secret
from mailserver.crypto.tokens import TokenCheck
from mailserver.crypto.wrap import Wrapper
from mailserver.crypto.x509 import CertificateFacts, certificate_facts, format_dn
from mailserver.model.errors import Conflict, Corrupt, Denied, Malformed, NotFound, Unavailable

_logger = logging.getLogger("pli.custodian")

SUBJECT_CHARACTERS = 4096
_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS login (
    account BLOB, kind TEXT, found_by BLOB, subject BLOB, made_at INTEGER, PRIMARY KEY (account, kind, found_by)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS login_by_subject ON login (kind, found_by);
COMMIT;
"""


class LoginKind(StrEnum):
    """What is bound: a person at a token's issuer, one certificate, or every certificate of one name."""

    TOKEN = "token"  # noqa: S105  a kind, not a secret
    CERTIFICATE = "certificate"
    CERTIFICATE_NAME = "certificate-name"


class ProofKind(StrEnum):
    """What a mail client shows. A token is judged here; of a certificate the mail process says that it was shown."""

    TOKEN = "token"  # noqa: S105  a kind, not a secret
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True)
class Proof:
    """``octets``: the token, or the certificate in DER."""

    kind: ProofKind
    octets: bytes

    def __repr__(self) -> str:
        return f"Proof({self.kind.value})"


@dataclass(frozen=True, slots=True)
class LoginBinding:
    """``subject``: the issuer's word for a person, a fingerprint in hexadecimal, or a subject and its issuer."""

    account: bytes
    kind: LoginKind
    subject: str
    made_at: datetime


def token_subject(issuer: str, subject: str) -> str:
    """The subject of a TOKEN binding; an issuer is a URL and holds no space."""
    return f"{issuer} {subject}"


def certificate_subjects(der: bytes, now: datetime) -> Sequence[tuple[LoginKind, str]]:
    """What a client's certificate may be bound by. Raises Denied("certificate") for one that is over, is not for
    clients or cannot be read.
    """
    try:
        facts = certificate_facts(der)
    except Malformed:
        raise Denied("certificate") from None
    if not (facts.has_client_auth and facts.is_valid_at(now)):
        raise Denied("certificate")
    return (
        (LoginKind.CERTIFICATE, facts.fingerprint_sha256),
        (LoginKind.CERTIFICATE_NAME, certificate_name(facts)),
    )


def certificate_name(facts: CertificateFacts) -> str:
    """Subject and issuer, as RFC 4514 writes them: a name counts only as its authority gave it."""
    return f"{format_dn(facts.dn)} / {format_dn(facts.issuer)}"


class LoginBindings:
    """The file of bindings. Safe to call from several threads."""

    def __init__(self, path: Path, key: Secret) -> None:
        """Made when it is missing: then nothing is bound. Raises Corrupt or Unavailable("login-bindings")."""
        self._index_key = derive(key, "login-bindings-index")
        self._seal = Wrapper(derive(key, "login-bindings-seal"))
        self._lock = threading.Lock()
        with _told():
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
            # TRUNCATE syncs the emptied journal; what is removed is overwritten
            for statement in (
                "PRAGMA journal_mode=TRUNCATE",
                "PRAGMA synchronous=FULL",
                "PRAGMA secure_delete=ON",
            ):
                self._db.execute(statement)
            self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def add(self, account: bytes, kind: LoginKind, subject: str, now: datetime) -> None:
        """Durable when it returns. Raises Conflict("login-bound") when it is bound already, Malformed("login-subject")."""
        if not (0 < len(subject) <= SUBJECT_CHARACTERS and subject.isprintable()):
            raise Malformed("login-subject")
        sealed = self._seal.wrap(subject.encode(), _context(account, kind))
        row = (account, kind.value, self._found_by(kind, subject), sealed, int(now.timestamp()))
        try:
            self._run("INSERT INTO login VALUES (?, ?, ?, ?, ?)", *row)
        except sqlite3.IntegrityError:
            raise Conflict("login-bound") from None

    def remove(self, account: bytes, kind: LoginKind, subject: str) -> None:
        """Durable when it returns. Raises NotFound("login-binding")."""
        where = (account, kind.value, self._found_by(kind, subject))
        gone = self._run(
            "DELETE FROM login WHERE account = ? AND kind = ? AND found_by = ? RETURNING kind", *where
        )
        if not gone:
            raise NotFound("login-binding")

    def is_bound(self, account: bytes, kind: LoginKind, subject: str) -> bool:
        where = (account, kind.value, self._found_by(kind, subject))
        return bool(self._run("SELECT 1 FROM login WHERE account = ? AND kind = ? AND found_by = ?", *where))

    def find_accounts(self, kind: LoginKind, subject: str) -> list[bytes]:
        """The accounts that are bound to this, always in the same order."""
        where = (kind.value, self._found_by(kind, subject))
        query = "SELECT account FROM login WHERE kind = ? AND found_by = ? ORDER BY account"
        return [row[0] for row in self._run(query, *where)]

    def list_bindings(self, kind: LoginKind, account: bytes = b"") -> list[LoginBinding]:
        """Those of one kind, of one account or of all."""
        query = "SELECT account, subject, made_at FROM login WHERE kind = ? AND (? = x'' OR account = ?) ORDER BY account, made_at"
        rows = self._run(query, kind.value, account, account)
        return [
            LoginBinding(
                owner,
                kind,
                self._seal.unwrap(sealed, _context(owner, kind)).decode(),
                datetime.fromtimestamp(made_at, UTC),
            )
            for owner, sealed, made_at in rows
        ]

    def label(self, kind: LoginKind, subject: str) -> str:
        """What the journal calls a subject: it tells two apart, and confirms no guess."""
        return self._found_by(kind, subject).hex()[:16]

    def _found_by(self, kind: LoginKind, subject: str) -> bytes:
        return mac(self._index_key, "login-binding", kind.value, subject)

    def _run(self, statement: str, *values: bytes | str | int) -> list[tuple[bytes, bytes, int]]:
        with self._lock, _told():
            return self._db.execute(statement, values).fetchall()


class LoginJudge:
    """Whether what a mail client shows opens an account. ``tokens`` is None where none is taken."""

    def __init__(self, bindings: LoginBindings, tokens: TokenCheck | None) -> None:
        self._bindings = bindings
        self._tokens = tokens
        self._refused = LineCap()
        self._lock = threading.Lock()

    def judge(self, account: bytes, proof: Proof, now: datetime) -> str:
        """The basis of the login, for the journal: it tells one token from another, and not what it is. Raises Denied,
        Unavailable("token-issuer"). Why it was refused is the operator's to read, in a word, and nobody else's (K22).
        """
        try:
            return self._judge(account, proof, now)
        except Denied as error:
            self._tell_refused(error.code, now)
            raise

    def _tell_refused(self, code: str, now: datetime) -> None:
        """Who tries without end writes some lines a minute, and no more."""
        with self._lock:
            lines = self._refused.note(code.encode(), now)
        for told, more in lines:
            if more:
                _logger.info("more logins were refused", extra={"code": told.decode(), "count": more})
            else:
                _logger.info("a login was refused", extra={"code": code})

    def _judge(self, account: bytes, proof: Proof, now: datetime) -> str:
        label = hashlib.sha256(proof.octets).hexdigest()[:16]
        if proof.kind is ProofKind.CERTIFICATE:
            subjects: Sequence[tuple[LoginKind, str]] = certificate_subjects(proof.octets, now)
            basis = f"certificate {label}, on the word of the mail process"
        elif self._tokens is None:
            raise Denied("token-off")
        else:
            holder = self._tokens.check(proof.octets, now)
            subjects = ((LoginKind.TOKEN, token_subject(holder.issuer, holder.subject)),)
            basis = f"token {label}"
        if not any(self._bindings.is_bound(account, kind, subject) for kind, subject in subjects):
            raise Denied("login-unbound")
        return basis


def _context(account: bytes, kind: LoginKind) -> bytes:
    return ctx("login-binding-subject", account, kind.value)


@contextmanager
def _told() -> Iterator[None]:
    """A disk that refuses is Unavailable, a damaged file Corrupt; a row that is there already is the caller's."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except (sqlite3.OperationalError, OSError):
        raise Unavailable("login-bindings") from None
    except sqlite3.DatabaseError:
        raise Corrupt("login-bindings") from None
