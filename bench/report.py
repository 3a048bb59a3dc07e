"""The figures as a table and as ``docs/figures.md``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.rounds import CLEAR, COPIES, Figures, Plan
from bench.servers import PEER, PLI
from bench.store import IN_FLIGHT


@dataclass(frozen=True, slots=True)
class Row:
    """One line: which figure, which of its keys, and whether more of it is better."""

    title: str
    figure: str
    key: str
    more_is_better: bool
    digits: int = 0
    pli_figure: str = ""
    """Pli's own figure when the peer is measured otherwise."""
    goal: str = ""


def rows_of(plan: Plan) -> list[Row]:
    listed = f"{plan.listed:,}".replace(",", " ")
    return [
        Row(
            "Durable ingest over TLS, 4 KiB × 10: in the mailbox, messages/s",
            "ingest",
            "per_s",
            True,
            goal="≥ 1000",
        ),
        Row("same, acknowledged by 250, messages/s", "ingest", "accepted_per_s", True),
        Row("same, 250 after the last dot, p50 ms", "ingest", "ack_p50_ms", False, 1),
        Row("same, server CPU a message, µs", "ingest", "server_cpu_us", False),
        Row(
            "Ingest, the peer without TLS: in the mailbox, messages/s",
            CLEAR,
            "per_s",
            True,
            pli_figure="ingest",
        ),
        Row("the same by one session, messages/s", "ingest × 1", "per_s", True, goal="≥ 400"),
        Row("the same by 50 sessions, messages/s", "ingest × 50", "per_s", True, goal="≥ 1000"),
        Row("100 KiB × 10, messages/s", "100 KiB", "per_s", True, goal="≥ 500"),
        Row("5 MiB × 10, MB/s", "5 MiB", "mb_per_s", True, goal="≥ 100"),
        Row("5 MiB × 10: what the server's memory grew by, MiB", "5 MiB", "grown_mib", False),
        Row("a connection and STARTTLS for each, × 10, messages/s", "fresh", "per_s", True, goal="≥ 250"),
        Row("submission with AUTH over TLS, × 10, messages/s", "submission", "per_s", True, goal="≥ 600"),
        Row(
            f"one message to {COPIES} mailboxes, copies/s",
            "copies",
            "copies_per_s",
            True,
            goal="≥ 2 × one session",
        ),
        Row(f"FETCH of {listed} summaries, ms", "listing", "ms", False),
        Row(f"the first FETCH of these {listed}, after APPEND, ms", "first listing", "ms", False),
        Row("IDLE: from 250 to EXISTS, p50 ms", "idle", "p50_ms", False, 1),
        Row("IDLE: from 250 to EXISTS, p99 ms", "idle", "p99_ms", False, 1),
    ]


def format_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns are aligned for reading as plain text too."""
    widths = [max(len(line[at]) for line in [head, *body]) for at in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join(("-" * (width + 1) + (":" if at else "-")) for at, width in enumerate(widths)) + "|"
    return "\n".join([line(head), rule, *map(line, body)])


def format_comparison(figures: Figures, plan: Plan) -> str:
    body = []
    for row in rows_of(plan):
        ours = figures.median(row.pli_figure or row.figure, PLI, row.key)
        theirs = figures.median(row.figure, PEER, row.key)
        cells = [
            _cell(ours, row, figures.is_noisy(row.pli_figure or row.figure, PLI)),
            _cell(theirs, row, figures.is_noisy(row.figure, PEER)),
        ]
        body.append(
            [row.title, row.goal, *cells, format_ratio(ours, theirs, more_is_better=row.more_is_better)]
        )
    syncs = [figures.once.get(("syncs", name)) for name in (PLI, PEER)]
    shown = ["not counted" if value is None else f"{value:.2f}" for value in syncs]
    body.append(
        [
            "fsync and fdatasync calls a message (× 50)",
            "≤ 0.2",
            *shown,
            format_ratio(syncs[0], syncs[1], more_is_better=False),
        ]
    )
    appended = [figures.once.get(("append", name)) for name in (PLI, PEER)]
    shown = ["not measured" if value is None else f"{value:.0f}" for value in appended]
    body.append(
        [
            "APPEND of 4 KiB over 4 connections, messages/s",
            "",
            *shown,
            format_ratio(appended[0], appended[1], more_is_better=True),
        ]
    )
    table = format_table(["figure", "goal", PLI, PEER, "Pli is better by"], body)
    return "\n\n".join([table, *format_failed(figures)])


def format_failed(figures: Figures) -> list[str]:
    """Why figures are missing; nothing when none is."""
    failed = [f"- {server}, {figure}: {why}" for (figure, server), why in figures.failed.items()]
    return ["Not measured, because it failed:\n\n" + "\n".join(failed)] if failed else []


def _cell(value: float | None, row: Row, noisy: bool) -> str:
    return "not measured" if value is None else f"{value:.{row.digits}f}{' *' if noisy else ''}"


def format_ratio(ours: float | None, theirs: float | None, *, more_is_better: bool) -> str:
    if ours is None or theirs is None or min(ours, theirs) <= 0:
        return "–"
    times = ours / theirs if more_is_better else theirs / ours
    return f"{times:.2f} ×"


def format_store(
    found: Mapping[str, Mapping[str, Mapping[str, float]]],
    syncs: Mapping[str, float] | None,
    floor: Mapping[str, float],
) -> str:
    """Deliveries into the store by database and messages in flight, and the machine's floor."""
    body = []
    for database, by_flight in found.items():
        for flight in map(str, IN_FLIGHT):
            counted = "–" if syncs is None or database != "SQLite" else f"{syncs[flight]:.2f}"
            measured = by_flight[flight]
            body.append(
                [
                    f"{database}, {flight} in flight",
                    f"{measured['per_second']:.0f}",
                    f"{measured['cpu_us']:.0f}",
                    counted,
                ]
            )
    table = format_table(
        ["store, one process", "deliveries/s", "CPU a message, µs", "fsyncs a message"], body
    )
    lowest = format_table(
        ["this machine's floor, one thread", "a second"],
        [[name, f"{value:.0f}"] for name, value in floor.items()],
    )
    return f"{table}\n\n{lowest}"


NOTES = """\
- Each median is over rounds of both servers in turn; the CPU of a message moves less than its rate does.
- `*`: fewer than three quiet runs (in a quiet one, other processes took under 10 % of the machine). Medians are over
  the quiet runs when there are at least three, else over all. Client and server share the machine.
- Both servers are measured in turn in the same run, by the same client (`bench/mailload.py`), over TLS 1.3 and IMAPS.
  Pli's link is mutual TLS, as between operators; the peer's is STARTTLS without a client certificate.
- "In the mailbox": the clock stops when every mailbox shows its messages by IMAP. Pli says 250 after that commit;
  Postfix says 250 when its queue file is on disk, and delivers later.
- The peer is Postfix with Dovecot (mdbox, mail_crypt with secp521r1 and a key per user). mail_crypt leaves Dovecot's
  index cache in clear (addresses and subjects of ENVELOPE among it): a listing from that cache opens nothing, Pli's
  opens each summary. The first listing is the one that fills that cache.
- IDLE: below zero, the news was there before the sender had read its 250; Pli tells both after the same commit.
- Pli seals each message to its owner's post-quantum key, folds repeated deliveries, and checks the sender against the
  trust list; the peer does none of this.
"""
