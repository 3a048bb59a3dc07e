"""The IMAP suite's report names every goal that was missed, a failing figure stops no other, and each suite keeps its
section of the document.
"""

from contextlib import nullcontext
from dataclasses import dataclass

import pytest

from bench import imap_rounds
from bench.document import put_section
from bench.imap_report import format_imap, rows_of
from bench.imap_rounds import FULL, MAIN_FIGURES, QUICK, SLOW_OF_PEER, Figures, measure_imap, take_turns
from bench.meter import Run
from bench.servers import PEER, PLI


@dataclass(frozen=True)
class Named:
    name: str


BOTH = [Named(PLI), Named(PEER)]


def run_of(value: float) -> Run:
    keys = {row.key: value for row in rows_of(FULL)}
    times = {"wall_s": 1.0, "client_cpu_s": 0.5, "other_cpu_s": 0.0, "server_cpu_us": 250.0}
    return {"noisy": False, "count": 1000, **times, **keys}


def measured(value: float) -> Figures:
    figures = Figures()
    for row in rows_of(FULL):
        for server in (PLI, PEER):
            figures.add(row.figure, server, run_of(value))
    return figures


def test_each_goal_that_was_missed_is_told_with_its_figure() -> None:
    text = format_imap(measured(120.0), FULL)
    missed = text.split("did not reach in this run:\n\n")[1].splitlines()
    assert len(missed) == sum(not row.is_reached(120.0) for row in rows_of(FULL))
    assert missed[0] == (
        "- SELECT of 100 000, ms: 120.0, the goal is ≤ 1 (120.0 × off); "
        "of a run of 1000 ms the server was 250 ms on a processor, the client 500 ms"
    )


def test_a_figure_that_is_missing_misses_its_goal() -> None:
    figures = measured(120.0)
    del figures.runs["thread", PLI]
    assert "- THREAD REFERENCES of 10 000, ms: not measured, the goal is ≤ 120" in format_imap(figures, FULL)


def test_the_quick_plan_has_no_goals() -> None:
    assert "goal is" not in format_imap(measured(120.0), QUICK)


def test_a_figure_that_fails_is_told_and_stops_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []

    def fail(server: Named) -> Run:
        asked.append(server.name)
        raise RuntimeError("the server said NO")

    figures = Figures()
    kinds = {"sort": fail, "thread": lambda _server: run_of(1.0)}
    take_turns(figures, kinds, BOTH, FULL, float("inf"))  # type: ignore[arg-type]
    assert sorted(asked) == [PLI, PEER]
    assert len(figures.runs["thread", PLI]) == FULL.rounds
    assert f"- {PLI}, sort: RuntimeError: the server said NO" in format_imap(figures, FULL)
    assert "the server said NO" in capsys.readouterr().err


@pytest.mark.parametrize(("end", "pli", "peer"), [(0.0, 1, 1), (float("inf"), FULL.rounds, 2)])
def test_what_is_slow_in_the_peer_runs_twice(end: float, pli: int, peer: int) -> None:
    figures = Figures()
    kinds = {"copy": lambda _server: run_of(1.0)}
    take_turns(figures, kinds, BOTH, FULL, end)  # type: ignore[arg-type]
    assert [len(figures.runs["copy", name]) for name in (PLI, PEER)] == [pli, peer]


def test_every_row_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def take(self: Figures, figure: str, server: Named, _measure: object) -> None:
        self.add(figure, server.name, run_of(1.0))

    def fill(figures: Figures, server: Named, _plan: object) -> None:
        for figure in ("first sight", "first search"):
            figures.add(figure, server.name, run_of(1.0))

    monkeypatch.setattr(Figures, "take", take)
    monkeypatch.setattr(imap_rounds, "fill", fill)
    figures = measure_imap(BOTH, FULL, lambda _what: nullcontext(), float("inf"))  # type: ignore[arg-type]
    assert "not measured" not in format_imap(figures, FULL)
    assert set(SLOW_OF_PEER) <= {*MAIN_FIGURES, "idle"}


def test_a_section_takes_the_place_of_its_own_alone() -> None:
    first = put_section("", "IMAP", "old\n\n| a |\n")
    both = put_section(first, "Delivery", "mail in\n")
    assert both == "# Figures\n\n## Delivery\n\nmail in\n\n## IMAP\n\nold\n\n| a |\n"
    assert put_section(both, "IMAP", "new") == "# Figures\n\n## Delivery\n\nmail in\n\n## IMAP\n\nnew\n"
