"""The demonstration's copy of a log, taken once everything that came before it is in the signed tree."""

import time
from collections.abc import Callable

from mailserver.cli.demo_stage import Facts
from mailserver.model.errors import Unavailable

SETTLE_SECONDS = 30
_PAUSE_SECONDS = 0.5


def export_settled(
    export: Callable[[], Facts],
    *,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Facts:
    """Export until no earlier entry waits for the sequencer; the last copy's facts. Raises Unavailable("demo-log")
    when some still wait after 30 s, and whatever else than "log-empty" ``export`` raises.

    A copy is in the log itself, so one that came too soon is among those that the next one waits for; the first copy
    after a round of the sequencer finds none.
    """
    deadline = clock() + SETTLE_SECONDS
    while True:
        try:
            facts: Facts = export()
            waiting = facts["waiting"]
        except Unavailable as error:
            if error.code != "log-empty":
                raise
            waiting = "all"
        if waiting == 0:
            return facts
        if clock() >= deadline:
            raise Unavailable(
                "demo-log", f"after {SETTLE_SECONDS} s entries wait for their signature: {waiting}"
            )
        pause(_PAUSE_SECONDS)
