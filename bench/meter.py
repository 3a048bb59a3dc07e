"""Wall time, CPU of client, server and everybody else, and medians over quiet runs.

A run is noisy when processes other than server and client took over 10 % of the machine; medians are over quiet
runs when there are at least 3, else over all.
"""

import gc
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

NOISY_SHARE = 0.1
QUIET_RUNS = 3
TICKS = os.sysconf("SC_CLK_TCK")
UNSEEN_SECONDS = 2 / TICKS
"""What the counters of the kernel cannot tell from nothing: they go in ticks."""
Run = dict[str, float]


def busy_seconds() -> float:
    """CPU seconds that the whole machine has spent, idle and waiting apart."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split(maxsplit=9)[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS


def _stat_fields(process: int) -> list[str]:
    text = Path(f"/proc/{process}/stat").read_text()
    return text[text.rindex(")") + 2 :].split()


def tree_of(roots: Sequence[int]) -> list[int]:
    """``roots`` and every process below them."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                children.setdefault(int(_stat_fields(int(entry))[1]), []).append(int(entry))
            except OSError:
                continue
    found, left = [], list(roots)
    while left:
        process = left.pop()
        found.append(process)
        left += children.get(process, [])
    return found


def cpu_of(roots: Sequence[int]) -> float:
    """CPU seconds of process trees, reaped children included; in steps of a clock tick."""
    total = 0
    for process in tree_of(roots):
        try:
            total += sum(map(int, _stat_fields(process)[11:15]))
        except OSError:
            continue
    return total / TICKS


def pss_kib(roots: Sequence[int]) -> int:
    """Proportional set size of process trees in KiB: pages that several of them share are counted once."""
    total = 0
    for process in tree_of(roots):
        try:
            text = Path(f"/proc/{process}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):  # it ended
            continue
        total += int(text.split("Pss:", 1)[1].split(maxsplit=1)[0])
    return total


class Meter:
    """``with Meter(pids) as meter: …`` then ``meter.run(count)``; ``stop_clock`` ends the wall time early."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self.wall = 0.0

    def __enter__(self) -> Self:
        gc.collect()
        self._before = (busy_seconds(), cpu_of(self._pids), time.process_time())
        self.start = time.perf_counter()
        return self

    def stop_clock(self) -> None:
        self.wall = time.perf_counter() - self.start

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.wall:
            self.stop_clock()
        machine, server, client = self._before
        self.client = time.process_time() - client
        self.server = cpu_of(self._pids) - server
        self.other = max(0.0, busy_seconds() - machine - self.server - self.client)

    def run(self, count: int, **more: float) -> Run:
        """The figures of one run of ``count`` messages or commands."""
        noisy = self.other > NOISY_SHARE * self.wall * (os.cpu_count() or 1) + UNSEEN_SECONDS
        found: Run = {
            "count": count,
            "wall_s": round(self.wall, 4),
            "per_s": round(count / self.wall, 2),
            "client_cpu_s": round(self.client, 3),
            "other_cpu_s": round(self.other, 2),
            "noisy": noisy,
        }
        if self._pids:
            found["server_cpu_us"] = round(self.server / max(count, 1) * 1e6, 1)
        return found | more


def summary(runs: Sequence[Run]) -> dict[str, object]:
    """Medians of every figure, and how many runs they rest on."""
    quiet = [run for run in runs if not run["noisy"]]
    used = quiet if len(quiet) >= QUIET_RUNS else runs
    medians = {
        key: round(statistics.median(run[key] for run in used), 4) for key in runs[0] if key != "noisy"
    }
    return {"runs": list(runs), "median": medians, "quiet_runs": len(quiet), "used_runs": len(used)}


def percentile(values: Sequence[float], share: float) -> float:
    """Of values in seconds, in milliseconds; 0 when there is none."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3, 2) if ordered else 0.0
