"""The demonstration's copy of the log: too soon is tried again, never told as done."""

from collections.abc import Iterator

import pytest

from mailserver.cli.demo_log import SETTLE_SECONDS, export_settled
from mailserver.cli.demo_stage import Facts, run_pli
from mailserver.model.errors import Unavailable

EMPTY = Unavailable("log-empty", "no checkpoint yet")


class Exports:
    """Answers in turn, the last one for ever; time passes by pauses alone."""

    def __init__(self, *answers: int | Unavailable) -> None:
        self._answers: Iterator[int | Unavailable] = iter(answers)
        self._last: int | Unavailable = EMPTY
        self.calls = 0
        self.now = 0.0

    def export(self) -> Facts:
        self.calls += 1
        self._last = next(self._answers, self._last)
        if isinstance(self._last, Unavailable):
            raise self._last
        return {"entries": 8, "waiting": self._last}

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def run(self) -> Facts:
        return export_settled(self.export, pause=self.pause, clock=lambda: self.now)


def test_too_soon_is_tried_again() -> None:
    exports = Exports(EMPTY, EMPTY, 4, 1, 0)
    assert exports.run() == {"entries": 8, "waiting": 0}
    assert (exports.calls, exports.now) == (5, 2.0)


@pytest.mark.parametrize(("answer", "words"), [(EMPTY, "all"), (2, "2"), (1, "1")])
def test_what_never_settles_is_a_failure(answer: int | Unavailable, words: str) -> None:
    exports = Exports(answer)
    with pytest.raises(Unavailable) as refused:
        exports.run()
    assert (refused.value.code, refused.value.detail.rsplit(": ")[-1]) == ("demo-log", words)
    assert exports.now == SETTLE_SECONDS


def test_another_refusal_is_not_tried_again() -> None:
    exports = Exports(Unavailable("login", "no"))
    with pytest.raises(Unavailable, match="login"):
        exports.run()
    assert exports.calls == 1


def test_a_refused_command_keeps_its_code() -> None:
    with pytest.raises(Unavailable) as refused:
        run_pli("account", "list", "-c", "nowhere.toml")
    assert refused.value.code == "config"
    assert "nowhere.toml" in refused.value.detail
