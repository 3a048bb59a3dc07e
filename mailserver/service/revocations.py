"""Whether a peer's certificate is still good: the operator's revocation lists, and its OCSP responder.

A list that revokes settles it; else the responder is asked, its answer kept until it ends; when it does not answer,
the last good lists decide. Each list is checked before it takes the place of the one held, never by an older one. Only
addresses of the configuration are called, never one that a certificate names.
"""

import hashlib
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from mailserver.config.rules import is_web_source
from mailserver.crypto.ocsp import ANSWER_BYTES, REQUEST_TYPE, OcspAnswer, format_request, parse_answer
from mailserver.crypto.revocation_lists import (
    LIST_BYTES,
    Authorities,
    ChainLink,
    RevocationList,
    Standing,
    judge_by_lists,
)
from mailserver.model.errors import Malformed, PliError, Unavailable
from mailserver.service.web_exchange import Question, exchange

FOLDER = "revocation"
FETCH_SECONDS = 60.0
ANSWER_SECONDS = 5.0
SILENCE_SECONDS = 60.0
"""How long a responder that did not answer is left alone."""
UNKNOWN_KEPT = timedelta(seconds=60)
PEERS = 4096

logger = logging.getLogger("pli.tls")
T = TypeVar("T")
Seen = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Sources:
    """``authority``: PEM of who may sign; ``lists``: files and web addresses; ``responder``: empty for none."""

    authority: Path
    lists: tuple[str, ...]
    data_folder: Path
    responder: str = ""

    @property
    def web_lists(self) -> dict[str, Path]:
        """Address → where its last good list is kept."""
        folder = self.data_folder / FOLDER
        names = {
            url: hashlib.sha256(url.encode()).hexdigest()[:16] for url in self.lists if is_web_source(url)
        }
        return {url: folder / f"{name}.crl" for url, name in names.items()}

    @property
    def paths(self) -> dict[str, Path]:
        """Source → the file that holds its list."""
        return {each: self.web_lists.get(each, Path(each)) for each in self.lists}


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    value: T
    until: datetime


class _Memory(Generic[T]):
    """What is known of the last certificates seen, by digest; the oldest leaves first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, _Kept[T]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: bytes, now: datetime) -> T | None:
        found = self._kept.get(key)
        return None if found is None or found.until < now else found.value

    def keep(self, key: bytes, value: T, until: datetime) -> None:
        with self._lock:
            self._kept[key] = _Kept(value, until)
            self._kept.move_to_end(key)
            while len(self._kept) > PEERS:
                self._kept.popitem(last=False)

    def forget(self) -> None:
        with self._lock:
            self._kept.clear()


class Revocations:
    """One per process. ``find_known`` never blocks; ``refresh``, ``fetch`` and ``check`` do: pool threads only."""

    def __init__(
        self,
        sources: Sources,
        ask: Callable[[Question], bytes] = exchange,
        clock: Callable[[], float] = time.monotonic,
        *,
        tells: bool = True,
    ) -> None:
        """``tells``: this process writes what becomes of lists into the log, so that each line is there once."""
        self._tells = tells
        self._sources = sources
        self._ask = ask
        self._clock = clock
        self._authorities: Authorities | None = None
        self._lists: dict[str, RevocationList] = {}
        self._seen: Seen | None = None
        self._standings: _Memory[Standing] = _Memory()
        self._answers: _Memory[OcspAnswer] = _Memory()
        self._silent_until = 0.0
        self._refreshing = threading.Lock()

    @property
    def are_configured(self) -> bool:
        return bool(self._sources.lists or self._sources.responder)

    @property
    def fetches(self) -> bool:
        """Whether any list comes from the web."""
        return bool(self._sources.web_lists)

    def find_overdue(self, now: datetime) -> tuple[str, ...]:
        """The sources without a list that is in date, as the log names them."""
        held = self._lists
        return tuple(
            name_of(each)
            for each in self._sources.lists
            if each not in held or not held[each].is_current_at(now)
        )

    def find_known(self, leaf_der: bytes, now: datetime) -> Standing | None:
        """What an earlier ``check`` found, while it counts."""
        if not self.are_configured:
            return Standing.UNCHECKED
        return self._standings.find(_digest(leaf_der), now)

    def check(self, leaf_der: bytes, now: datetime) -> Standing:
        """Lists, then the responder. Any trouble is UNKNOWN, never GOOD."""
        known = self.find_known(leaf_der, now)
        if known is not None:
            return known
        self.refresh(now)
        standing, until = self._judge(leaf_der, now)
        self._standings.keep(_digest(leaf_der), standing, until)
        return standing

    def _judge(self, leaf_der: bytes, now: datetime) -> tuple[Standing, datetime]:
        authorities, held = self._authorities, tuple(self._lists.values())
        soon = now + UNKNOWN_KEPT
        if authorities is None:
            return Standing.UNKNOWN, soon
        try:
            chain = authorities.find_chain(leaf_der)
        except Malformed:
            return Standing.UNKNOWN, soon
        by_lists = judge_by_lists(chain, held, now)
        ends = min((each.next_update for each in held if each.is_current_at(now)), default=soon)
        if by_lists is Standing.REVOKED or not chain:
            return by_lists, soon
        answer = self._find_answer(chain[0], leaf_der, now)
        if answer is not None and answer.standing is not Standing.UNKNOWN:
            return answer.standing, answer.until
        is_awaited = bool(self._sources.responder)
        return by_lists, soon if by_lists is Standing.UNKNOWN or is_awaited else ends

    def _find_answer(self, link: ChainLink, leaf_der: bytes, now: datetime) -> OcspAnswer | None:
        """The responder's, kept or fresh; None when there is none to be had."""
        if not self._sources.responder:
            return None
        kept = self._answers.find(_digest(leaf_der), now)
        if kept is not None or self._clock() < self._silent_until:
            return kept
        question = Question(
            self._sources.responder, ANSWER_BYTES, ANSWER_SECONDS, format_request(link), REQUEST_TYPE
        )
        try:
            answer = parse_answer(self._ask(question), link, now)
        except PliError as error:
            self._silent_until = self._clock() + SILENCE_SECONDS
            logger.warning(
                "OCSP responder gave no answer", extra={"code": error.code, "detail": error.detail}
            )
            return None
        self._answers.keep(_digest(leaf_der), answer, answer.until)
        return answer

    def refresh(self, now: datetime) -> None:
        """Read authority and lists again when a file has changed. A bad one leaves the last good one in force."""
        with self._refreshing:
            paths = self._sources.paths
            seen = tuple(_state(each) for each in (self._sources.authority, *paths.values()))
            if seen == self._seen:
                return
            self._seen = seen
            try:
                self._authorities = Authorities(self._sources.authority.read_bytes())
            except (OSError, Malformed) as error:
                code = error.code if isinstance(error, Malformed) else type(error).__name__
                logger.error("authority file not taken, the last good one is kept", extra={"code": code})  # noqa: TRY400 # no trace of use
            if self._authorities is not None:
                self._read_lists(self._authorities, paths, now)
            self._standings.forget()

    def _read_lists(self, authorities: Authorities, paths: dict[str, Path], now: datetime) -> None:
        lists = dict(self._lists)
        for source, path in paths.items():
            try:
                lists[source] = self._judge_list(source, _read(path), authorities, now)
            except FileNotFoundError:
                if not is_web_source(source):  # else: not fetched yet
                    self._tell_not_taken(source, "missing")
            except (OSError, Malformed) as error:
                self._tell_not_taken(source, error.code if isinstance(error, Malformed) else "unreadable")
            if self._tells and lists.get(source) != self._lists.get(source):
                logger.info("revocation list taken", extra=_fields_of(source, lists[source]))
        self._lists = lists

    def fetch(self, now: datetime) -> bool:
        """Fetch every list of the web into its file; whether all came. One process does this, the others ``refresh``."""
        self.refresh(now)
        are_all_taken = True
        for url, path in self._sources.web_lists.items():
            try:
                octets = self._ask(Question(url, LIST_BYTES, FETCH_SECONDS))
                if self._authorities is None:
                    raise Malformed("authority-syntax")
                if self._judge_list(url, octets, self._authorities, now) != self._lists.get(url):
                    _replace(path, octets)
            except PliError as error:
                self._tell_not_taken(url, error.code, error.detail)
                are_all_taken = False
        self.refresh(now)
        return are_all_taken

    def _judge_list(
        self, source: str, octets: bytes, authorities: Authorities, now: datetime
    ) -> RevocationList:
        """Raises Malformed: also for one that is older than the one held."""
        found = authorities.read_list(octets, now)
        held = self._lists.get(source)
        if held is not None and held.issuer == found.issuer and found.this_update < held.this_update:
            raise Malformed("crl-older")
        return found

    def _tell_not_taken(self, source: str, code: str, detail: str = "") -> None:
        if self._tells:
            fields = {"source": name_of(source), "code": code, "detail": detail}
            logger.error("revocation list not taken, the last good one is kept", extra=fields)


def name_of(source: str) -> str:
    """Host of an address, name of a file: what the log says of a source."""
    return (urlsplit(source).hostname or "") if is_web_source(source) else Path(source).name


def _fields_of(source: str, found: RevocationList) -> dict[str, object]:
    until = found.next_update.isoformat(timespec="seconds")
    return {"source": name_of(source), "revoked": len(found.serials), "until": until}


def _read(path: Path) -> bytes:
    """Raises OSError, Malformed("crl-length")."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > LIST_BYTES:
            raise Malformed("crl-length")
        return file.read(size)  # what is asked for is allocated at once


def _replace(path: Path, octets: bytes) -> None:
    """In one step. Raises Unavailable("revocation-disk")."""
    partial = path.with_suffix(".new")
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with partial.open("wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise Unavailable("revocation-disk", type(error).__name__) from error


def _digest(der: bytes) -> bytes:
    return hashlib.sha256(der).digest()


def _state(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)
