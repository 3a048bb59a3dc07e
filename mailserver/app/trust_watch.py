"""Watching the trust lists' files: each change is a diff in the operator's log, and so is each reason why a list trusts
nobody (S13). Every worker reads the files; one keeps the good copies and speaks, so that each line is there once.
"""

import asyncio
import logging
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from mailserver.app.rounds import keep_doing
from mailserver.policy.trust_source import Refresh, TrustSource
from mailserver.policy.trust_store import TrustStore

TRUST_SECONDS = 2.0
ALARM_AFTER = timedelta(hours=24)
SIGNER_ENDS_WITHIN = timedelta(days=60)
_EACH_HOUR = timedelta(hours=1)
_EACH_DAY = timedelta(days=1)

logger = logging.getLogger("pli.trust")


@dataclass(slots=True)
class _Said:
    """What was said last of each matter: the same is said again only when its time has come."""

    last: dict[str, tuple[str, datetime]] = field(default_factory=dict)

    def is_new(self, matter: str, what: str, now: datetime, again: timedelta | None = None) -> bool:
        """Whether to say ``what``; nothing (empty) is never said, and lets the next be new."""
        before, at = self.last.get(matter, ("", now))
        if what == before and not (what and again is not None and now - at >= again):
            return False
        self.last[matter] = (what, now)
        return bool(what)

    def was(self, matter: str) -> str:
        return self.last.get(matter, ("", None))[0]


class TrustWatch:
    """``run`` in one worker's event loop. ``round`` blocks: for the pool."""

    def __init__(self, trust: TrustStore, alarm_after: timedelta = ALARM_AFTER) -> None:
        self._trust = trust
        self._alarm_after = alarm_after
        self._said = _Said()

    async def run(self, pool: Executor) -> None:
        """Until cancelled."""

        async def look() -> None:
            await asyncio.get_running_loop().run_in_executor(pool, self.round, datetime.now(UTC))

        self.begin(datetime.now(UTC))
        await keep_doing("trust", TRUST_SECONDS, look)

    def begin(self, now: datetime) -> None:
        """Say what opening the lists gave."""
        self._tell(tuple(source.opening for source in self._trust.sources), now)

    def round(self, now: datetime) -> None:
        """Read the files again that have changed, and say what is new."""
        self._tell(self._trust.refresh(now), now)

    def _tell(self, reports: tuple[Refresh, ...], now: datetime) -> None:
        if not any(source.keeps for source in self._trust.sources):
            return
        for source, report in zip(self._trust.sources, reports, strict=True):
            self._tell_report(source, report, now)
            self._tell_signer(source, now)
            self._tell_age(source, now)
        self._tell_whole(now)

    def _tell_report(self, source: TrustSource, report: Refresh, now: datetime) -> None:
        name = source.plan.name
        error = "" if report.error is None else report.error.code
        if (error or report.change is not None) and self._said.is_new(f"{name} error", error, now):
            logger.error(
                "trust list not taken, the last good one is kept", extra={"list": name, "code": error}
            )
        for line in report.change.lines() if report.change else ():
            logger.info("trust list changed", extra={"list": name, "change": line})
        unreadable = source.current.unreadable
        if self._said.is_new(f"{name} unreadable", str(unreadable or ""), now):
            logger.warning("entries of a trust list trust nobody", extra={"list": name, "count": unreadable})

    def _tell_signer(self, source: TrustSource, now: datetime) -> None:
        """Who signed the list held, when it is another one than before; and that no next one is set in time."""
        signer, name = source.signer, source.plan.name
        if signer is None:
            return
        facts = {
            "list": name,
            "signer": signer.fingerprint_sha256,
            "until": signer.not_after.date().isoformat(),
        }
        if self._said.is_new(f"{name} signer", signer.fingerprint_sha256, now):
            logger.info("trust list signed by", extra=facts | {"dn": str(signer.dn)})
        ends = signer.not_after - now < SIGNER_ENDS_WITHIN
        has_next = bool(source.plan.rule.pinned.fingerprints - {signer.fingerprint_sha256})
        if self._said.is_new(f"{name} next", "ends" if ends and not has_next else "", now, _EACH_DAY):
            logger.warning(
                "the trust list's signer ends soon, and no next one is set in signers", extra=facts
            )

    def _tell_age(self, source: TrustSource, now: datetime) -> None:
        """A list that was not renewed in time, at once and then each hour; one that trusts nobody beside others."""
        name, listed = source.plan.name, source.current
        age = now - listed.generated_at
        is_late = source.signer is not None and age > self._alarm_after
        if self._said.is_new(f"{name} age", "late" if is_late else "", now, _EACH_HOUR):
            hours = int(age / _EACH_HOUR)
            logger.error("the trust list was not renewed in time", extra={"list": name, "age_hours": hours})
        refusal = listed.find_refusal(now)
        if len(self._trust.sources) > 1 and self._said.is_new(
            f"{name} refusal", refusal or "", now, _EACH_HOUR
        ):
            logger.error("a trust list contributes nobody", extra={"list": name, "code": refusal})

    def _tell_whole(self, now: datetime) -> None:
        current = self._trust.current
        refusal, before = current.find_refusal(now) or "", self._said.was("whole")
        if self._said.is_new("whole", refusal, now, _EACH_HOUR):
            logger.critical("the trust list trusts nobody: all mail is refused", extra={"code": refusal})
        elif before and not refusal:
            logger.info("the trust list is in force again", extra={"domains": len(current.entries)})
