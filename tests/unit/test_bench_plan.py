"""What the comparison leaves out when time is short: rounds, never the size of the mailbox that is listed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench import __main__ as program
from bench import rounds
from bench.rounds import FULL, Figures, Plan

LISTED = 10_000
"""Messages in the mailbox of the figure "FETCH of 10 000 summaries"."""


@dataclass(frozen=True)
class Named:
    name: str


@contextmanager
def started(folder: Path) -> Iterator[Named]:
    yield Named(folder.name)


def test_a_late_run_still_lists_ten_thousand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[tuple[str, int]] = []
    monkeypatch.setattr(program, "why_no_peer", lambda: None)
    monkeypatch.setattr(program, "running_pli", started)
    monkeypatch.setattr(program, "running_peer", started)
    monkeypatch.setattr(program, "count_syncs", lambda *_arguments: None)
    monkeypatch.setattr(program, "alternate", lambda *_arguments: None)
    monkeypatch.setattr(
        program, "fill", lambda _figures, server, plan: listed.append((server.name, plan.listed))
    )
    with suppress(ZeroDivisionError):  # nothing was measured: there is no share to tell
        program.comparison_section(tmp_path, FULL, end=0.0)
    assert listed == [("pli", LISTED), ("peer", LISTED)]


@pytest.mark.parametrize(("end", "each"), [(0.0, 1), (float("inf"), FULL.rounds)])
def test_when_time_is_short_each_figure_has_one_round(
    monkeypatch: pytest.MonkeyPatch, end: float, each: int
) -> None:
    measured: list[str] = []

    def measure(kind: str) -> Callable[[Named], dict[str, float]]:
        def run(server: Named) -> dict[str, float]:
            measured.append(f"{kind} {server.name}")
            return {"noisy": 0.0}

        return run

    plan: Plan = FULL
    kinds = {kind: measure(kind) for kind in ("ingest", "idle")}
    rounds.alternate(Figures(), kinds, [Named("Pli"), Named("peer")], plan, end)  # type: ignore[arg-type]
    assert {name: measured.count(name) for name in measured} == dict.fromkeys(
        ("ingest Pli", "ingest peer", "idle Pli", "idle peer"), each
    )
