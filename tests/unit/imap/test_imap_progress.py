"""INPROGRESS comes by the clock (RFC 9585 §4)."""

from types import SimpleNamespace

from mailserver.imap.progress import NOTICE_SECONDS, Progress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def stage(tag="a1", rounds=1, items=1000):
    clock, told = Clock(), []
    session = SimpleNamespace(tag=tag, wire=SimpleNamespace(send=told.append))
    progress = Progress(session, clock)
    progress.expect(rounds, items)
    progress.begin(items)
    return progress, clock, told


def test_a_notice_each_time_the_clock_says_so():
    progress, clock, told = stage()
    for left in range(999, 899, -1):
        progress.note(left)
    assert told == []
    clock.now += NOTICE_SECONDS
    progress.note(546)
    progress.note(500)
    assert told == [b'* OK [INPROGRESS ("a1" 454 1000)] Still on it\r\n']
    clock.now += NOTICE_SECONDS
    progress.note(1)
    assert told[1:] == [b'* OK [INPROGRESS ("a1" 999 1000)] Still on it\r\n']


def test_the_end_is_told_by_the_answer_alone():
    progress, clock, told = stage()
    clock.now += NOTICE_SECONDS
    for left in (0, -3, 1001):
        progress.note(left)
    assert told == []


def test_rounds_through_fewer_and_fewer_count_on():
    progress, clock, told = stage(rounds=3)
    for items, left in [(1000, 900), (1000, 0), (300, 100), (300, -20), (40, 39), (40, 0)]:
        if left in {100, 39}:
            progress.begin(items)
        clock.now += NOTICE_SECONDS
        progress.note(left)
    counts = [tuple(map(int, notice.split(b")")[0].split()[-2:])) for notice in told]
    assert counts == [(100, 3000), (1000, 3000), (2600, 3000), (2700, 3000), (2961, 3000)]


def test_a_tag_that_would_end_the_code_is_left_out():
    progress, clock, told = stage(tag="a]")
    clock.now += NOTICE_SECONDS
    progress.note(1000)
    assert told == [b"* OK [INPROGRESS (NIL 0 1000)] Still on it\r\n"]
