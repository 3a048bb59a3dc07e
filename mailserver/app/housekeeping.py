"""Background work of a worker: sweeping at start and daily. A day's sweep is harmless when repeated."""

import asyncio
import logging
from concurrent.futures import Executor
from datetime import UTC, datetime

from mailserver.app.rounds import keep_doing
from mailserver.app.services import Services
from mailserver.model.ids import NOBODY, BlobId
from mailserver.store import absence_rows, jobs, schema, sent_rows, space_rows
from mailserver.store.database import Connection
from mailserver.store.items import has_holder
from mailserver.store.kept_rows import delete_expired
from mailserver.store.writer import Unit

SWEEP_SECONDS = 86400.0
VACUUM_SECONDS = 3600.0
FLUSH_SECONDS = 300.0
OVERDUE_SECONDS = 60.0
SHREDDED = tuple(
    table.name
    for table in (
        schema.seal,
        schema.blob,
        schema.text_segment,
        schema.slot,
        schema.session,
        schema.document,
        schema.kept,
        schema.job,
        schema.sent,
        schema.sent_recipient,
    )
)
"""Where keys and what they open are deleted (K18): PostgreSQL keeps deleted rows until it is told to forget them."""
FOLD_SECONDS = 48 * 3600
TIMELINE_SECONDS = 180 * 86400
"""Finished jobs keep their timeline (times and codes, no address) for six months: mssante §3.5."""

logger = logging.getLogger("pli.housekeeping")


class Housekeeping:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def run(self, pool: Executor) -> None:
        """Until cancelled."""

        async def sweep() -> None:
            loop = asyncio.get_running_loop()
            count = await loop.run_in_executor(pool, self.sweep_once, datetime.now(UTC))
            if count:
                logger.info("orphan files swept", extra={"count": count})

        async def vacuum() -> None:
            database = self._services.store.database
            await asyncio.get_running_loop().run_in_executor(pool, database.vacuum, SHREDDED)

        async def flush() -> None:
            failures = self._services.login_failures
            await asyncio.get_running_loop().run_in_executor(pool, failures.flush, datetime.now(UTC))

        async def tell() -> None:
            loop = asyncio.get_running_loop()
            count = await loop.run_in_executor(pool, self._services.overdue.tell_once, datetime.now(UTC))
            if count:
                logger.info("senders told of missing or late notices", extra={"count": count})

        await asyncio.gather(
            keep_doing("overdue notices", OVERDUE_SECONDS, tell),
            keep_doing("sweep", SWEEP_SECONDS, sweep),
            keep_doing("vacuum", VACUUM_SECONDS, vacuum),
            keep_doing("login failures", FLUSH_SECONDS, flush),
        )

    def sweep_once(self, now: datetime) -> int:
        """Orphan files older than an hour (R3), kept files past their end, fold marks older than 48 h, absences that are
        over, timelines older than six months, app passwords that ended a month ago.
        """
        store = self._services.store
        before = int(now.timestamp()) - FOLD_SECONDS

        def run(connection: Connection) -> list[BlobId]:
            space_rows.delete_deliveries(connection, before)
            absence_rows.delete_over(connection, int(now.timestamp()))
            forgotten = int(now.timestamp()) - TIMELINE_SECONDS
            jobs.delete_finished(connection, forgotten)
            sent_rows.delete_sent(connection, forgotten)
            return delete_expired(connection, int(now.timestamp()))

        for blob_id in store.writer.commit(Unit(NOBODY, run, shreds=True)):
            store.blobs.delete(blob_id)

        removed = self._services.app_passwords.remove_ended(now)
        if removed:
            logger.info("app passwords that ended are removed", extra={"count": removed})

        def is_held(blob_id: BlobId) -> bool:
            with store.database.read() as connection:
                return has_holder(connection, blob_id)

        return store.blobs.sweep(is_held)
