"""Background work of a worker: the log's sequencer every few seconds, sweeping at start and daily.

The sequencer works under a lease, so that one worker at a time does it; a day's sweep is harmless when repeated.
"""

import asyncio
import logging
from concurrent.futures import Executor
from datetime import UTC, datetime

from mailserver.app.services import Services
from mailserver.model.errors import PliError
from mailserver.model.ids import AccountId, BlobId
from mailserver.service.sequencer import Sequencer, SignLog
from mailserver.store import jobs, space_rows
from mailserver.store.database import Connection
from mailserver.store.items import has_holder
from mailserver.store.writer import Unit

SEQUENCE_SECONDS = 2.0
SWEEP_SECONDS = 86400.0
FOLD_SECONDS = 48 * 3600
TIMELINE_SECONDS = 180 * 86400
"""Finished jobs keep their timeline (times and codes, no address) for six months: mssante §3.5."""
_NOBODY = AccountId(bytes(16))

logger = logging.getLogger("pli.housekeeping")


class Housekeeping:
    def __init__(self, services: Services, sign_log: SignLog) -> None:
        self._services = services
        self._sequencer = Sequencer(services.store, sign_log)

    async def run(self, pool: Executor) -> None:
        """Until cancelled."""
        await asyncio.gather(self._sequence(pool), self._sweep(pool))

    async def _sequence(self, pool: Executor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                while await loop.run_in_executor(pool, self._sequencer.step, datetime.now(UTC)):
                    pass
            except PliError as error:
                logger.error("the log is not sequenced", extra={"code": error.code})  # noqa: TRY400 # no trace of use
            await asyncio.sleep(SEQUENCE_SECONDS)

    async def _sweep(self, pool: Executor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                count = await loop.run_in_executor(pool, self.sweep_once, datetime.now(UTC))
                if count:
                    logger.info("orphan files swept", extra={"count": count})
            except PliError as error:
                logger.error("nothing swept", extra={"code": error.code})  # noqa: TRY400 # no trace of use
            await asyncio.sleep(SWEEP_SECONDS)

    def sweep_once(self, now: datetime) -> int:
        """Orphan files older than an hour (R3), fold marks older than 48 h, timelines older than six months."""
        store = self._services.store
        before = int(now.timestamp()) - FOLD_SECONDS

        def run(connection: Connection) -> None:
            space_rows.delete_deliveries(connection, before)
            jobs.delete_finished(connection, int(now.timestamp()) - TIMELINE_SECONDS)

        store.writer.commit(Unit(_NOBODY, run))

        def is_held(blob_id: BlobId) -> bool:
            with store.database.read() as connection:
                return has_holder(connection, blob_id)

        return store.blobs.sweep(is_held)
