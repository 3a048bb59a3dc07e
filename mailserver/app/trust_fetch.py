"""Fetching the trust lists that have an address, in the one worker that keeps them.

What was fetched is checked as the source would check it, then takes the place of the source's file; every worker finds
it there by its own watch. So a bad answer changes nothing, and a list that somebody puts there by hand works the same.
"""

import asyncio
import logging
import random
import ssl
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailserver.app.rounds import keep_doing
from mailserver.config import Config
from mailserver.crypto.xmldsig import DOCUMENT_BYTES
from mailserver.model.errors import PliError, Unavailable
from mailserver.policy.trust_files import read_list_file, replace_durably
from mailserver.policy.trust_source import TrustSource
from mailserver.sync.fetch_record import RECORD_BYTES, FetchRecord, format_record, parse_record
from mailserver.sync.https_fetch import NO_VALIDATORS, Fetched, FetchLimits, Validators, fetch
from mailserver.tls.contexts import web_client_context

LOOK_SECONDS = 5.0
LIMITS = FetchLimits(DOCUMENT_BYTES)

logger = logging.getLogger("pli.trust")


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """``authority`` None: the system's."""

    folder: Path
    authority: Path | None
    period: timedelta
    limits: FetchLimits = LIMITS

    @classmethod
    def of(cls, config: Config) -> "FetchSettings":
        """The settings of [trust]."""
        trust = config.trust
        authority = config.path(trust.authority) if trust.authority else None
        return cls(config.data_folder, authority, timedelta(minutes=trust.fetch_minutes))


class TrustFetch:
    """``run`` in the event loop of the worker that keeps ``source``; files and signatures are the pool's."""

    def __init__(
        self, source: TrustSource, settings: FetchSettings, draw: Callable[[], float] = random.random
    ) -> None:
        self._source = source
        self._settings = settings
        self._draw = draw
        self._jitter = draw()
        self.record = load_record(settings.folder, source)

    async def run(self, pool: Executor) -> None:
        """Until cancelled."""

        async def look() -> None:
            await self.round(pool, datetime.now(UTC))

        await keep_doing("trust fetch", LOOK_SECONDS, look)

    async def round(self, pool: Executor, now: datetime) -> None:
        """Fetch when it is time; say when it begins to fail and when it works again."""
        if not self.record.is_due(now, self._settings.period, self._jitter):
            return
        self._jitter = self._draw()
        before = self.record.error
        self.record = await self._fetched(pool, now)
        name, error = self._source.plan.name, self.record.error
        if error and error != before:
            logger.error(
                "trust list not fetched, the last good one is kept", extra={"list": name, "code": error}
            )
        elif before and not error:
            logger.info("trust list fetched again", extra={"list": name})
        await asyncio.get_running_loop().run_in_executor(pool, self._save)

    async def _fetched(self, pool: Executor, now: datetime) -> FetchRecord:
        loop = asyncio.get_running_loop()
        try:
            context, validators = await loop.run_in_executor(pool, self._prepare)
            found = await fetch(self._source.plan.url, context, validators, self._settings.limits)
            await loop.run_in_executor(pool, self._take, found, now)
        except PliError as error:
            return self.record.after_failure(now, error)
        return self.record.after_success(now, found.body, found.validators)

    def _prepare(self) -> tuple[ssl.SSLContext, Validators]:
        context = web_client_context(self._settings.authority)
        try:
            return context, self.record.validators_for(read_list_file(self._source.plan.file))
        except PliError:  # no list here yet
            return context, NO_VALIDATORS

    def _take(self, found: Fetched, now: datetime) -> None:
        """Put what came in the place of the source's file, when the source would take it and it is another one."""
        if found.body is None:
            return
        self._source.verify(found.body, now)
        file = self._source.plan.file
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.exists() and read_list_file(file) == found.body:
                return
        except OSError as error:
            raise Unavailable("trust-list-disk") from error
        replace_durably(file, found.body)

    def _save(self) -> None:
        replace_durably(record_path(self._settings.folder, self._source), format_record(self.record))


def record_path(folder: Path, source: TrustSource) -> Path:
    """Where the record of a source's fetches lies."""
    return folder / f"trust-fetch-{source.plan.name}.json"


def load_record(folder: Path, source: TrustSource) -> FetchRecord:
    """What is known of a source's fetches; an empty record when nothing is."""
    try:
        with record_path(folder, source).open("rb") as file:
            return parse_record(file.read(RECORD_BYTES), source.plan.url)
    except OSError:
        return FetchRecord(source.plan.url)
