"""Reading the mailbox of reports about notices every few minutes, in one worker; the operator hears when it begins to fail.

A mail that cannot be judged is left where it is: it never ends the reading of the others.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailserver.app.notice_ways import open_bounces
from mailserver.app.rounds import keep_doing
from mailserver.app.services import Services
from mailserver.config import Config
from mailserver.log import incident_id
from mailserver.model.errors import PliError, Unavailable
from mailserver.policy.trust_files import replace_durably
from mailserver.service.bounces import Bounces, Heard
from mailserver.service.contacts import Contacts
from mailserver.sync.bounce_mailbox import BounceMailbox
from mailserver.sync.fetch_record import RECORD_BYTES, FetchRecord, format_record, parse_record
from mailserver.sync.https_fetch import NO_VALIDATORS

LOOK_SECONDS = 5.0

logger = logging.getLogger("pli.bounces")


class BounceWatch:
    """``run`` in the event loop of one worker; what blocks is the pool's. Raises Malformed when a file of [bounces] cannot
    be used.
    """

    def __init__(self, services: Services, draw: Callable[[], float] = random.random) -> None:
        config = services.config
        self._mailbox = open_bounces(config)
        self._bounces = Bounces(services.store, Contacts(services.store, services.directory))
        self._period = timedelta(minutes=config.bounces.minutes)
        self._path = record_path(config)
        self._draw = draw
        self._jitter = draw()
        self.record = load_record(config)

    async def run(self, pool: Executor) -> None:
        """Until cancelled; returns at once when no mailbox is configured."""
        mailbox = self._mailbox
        if mailbox is None:
            return

        async def look() -> None:
            await self.round(mailbox, pool, datetime.now(UTC))

        await keep_doing("bounces", LOOK_SECONDS, look)

    async def round(self, mailbox: BounceMailbox, pool: Executor, now: datetime) -> None:
        """Read when it is time; say when it begins to fail and when it works again."""
        if not self.record.is_due(now, self._period, self._jitter):
            return
        self._jitter = self._draw()
        before = self.record.error
        self.record = await self._read(mailbox, pool, now)
        error = self.record.error
        if error and error != before:
            logger.error("bounces are not read", extra={"code": error})
        elif before and not error:
            logger.info("bounces are read again")
        await asyncio.get_running_loop().run_in_executor(pool, self._save)

    async def _read(self, mailbox: BounceMailbox, pool: Executor, now: datetime) -> FetchRecord:
        async def hear(octets: bytes) -> Heard:
            return await asyncio.get_running_loop().run_in_executor(pool, self._hear, octets, now)

        try:
            count = await mailbox.read(hear)
        except PliError as error:
            return self.record.after_failure(now, error)
        if count:
            logger.info("bounces read", extra={"count": count})
        return self.record.after_success(now, None, NO_VALIDATORS)

    def _hear(self, octets: bytes, now: datetime) -> Heard:
        try:
            return self._bounces.hear(octets, now)
        except Unavailable:  # the store's: all of it again later
            raise
        except PliError as error:
            logger.error("a bounce was not judged", extra={"code": error.code})  # noqa: TRY400 # no trace of use
        except Exception:
            logger.exception("a bounce was not judged", extra={"incident": incident_id()})
        return Heard.STRANGE

    def _save(self) -> None:
        replace_durably(self._path, format_record(self.record))


def record_path(config: Config) -> Path:
    """Where the record of the readings lies."""
    return config.data_folder / "bounces-read.json"


def load_record(config: Config) -> FetchRecord:
    """What is known of the readings of the mailbox; an empty record when nothing is."""
    url = f"imaps://{config.bounces.host}:{config.bounces.port}"
    try:
        with record_path(config).open("rb") as file:
            return parse_record(file.read(RECORD_BYTES), url)
    except OSError:
        return FetchRecord(url)
