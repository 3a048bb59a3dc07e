"""Background work that comes round again, whatever happens in one round."""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from typing import NoReturn

from mailserver.model.errors import PliError

logger = logging.getLogger("pli.rounds")


async def keep_doing(name: str, seconds: float, work: Callable[[], Awaitable[None]]) -> NoReturn:
    """Do ``work`` now and every ``seconds``, until cancelled. A round that fails is a line in the log: code or type."""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 # nothing that one round meets may end the ones after it
            code = error.code if isinstance(error, PliError) else type(error).__name__
            logger.error("background work failed", extra={"work": name, "code": code})  # noqa: TRY400 # no trace of use
        await asyncio.sleep(seconds)


def end_worker_with(task: "asyncio.Task[None]", name: str) -> None:
    """When ``task`` fails, end this worker in order: a new one has a new task. It must never just be missing."""

    def tell(done: "asyncio.Task[None]") -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None:
            logger.critical("background work ended", extra={"work": name, "code": type(error).__name__})
            os.kill(os.getpid(), signal.SIGTERM)

    task.add_done_callback(tell)
