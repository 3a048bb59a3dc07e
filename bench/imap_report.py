"""The figures of the IMAP suite as a table with their goals, and which goals were not reached."""

from dataclasses import dataclass

from bench.imap_rounds import COLD, FULL, Figures, ImapPlan
from bench.meter import Run, summary
from bench.report import format_failed, format_ratio, format_table
from bench.servers import PEER, PLI

OF_MANY = frozenset({"select", COLD, "flags"})
"""Figures of the largest mailbox, which the peer may not have filled in time: its cell then says of how many."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line. ``figure`` of the peer differs from Pli's where ``peer_figure`` says so."""

    title: str
    figure: str
    key: str
    goal: float
    more_is_better: bool = False
    digits: int = 0
    peer_figure: str = ""

    def is_reached(self, value: float) -> bool:
        return value >= self.goal if self.more_is_better else value <= self.goal

    @property
    def wanted(self) -> str:
        return f"{'≥' if self.more_is_better else '≤'} {self.goal:g}"


def rows_of(plan: ImapPlan) -> list[Row]:
    many, listed, large, part = (
        f"{number:,}".replace(",", " ") for number in (plan.many, plan.listed, plan.large, plan.part)
    )
    return [
        Row(f"SELECT of {many}, ms", "select", "ms", 1, digits=1),
        Row(f"SELECT of {many}, files not in the page cache, ms", COLD, "ms", 10, digits=1),
        Row(f"UID FETCH 1:* (FLAGS) of {many}, ms", "flags", "ms", 99),
        Row(f"FETCH 1:* (… ENVELOPE BODYSTRUCTURE) of {listed}, ms", "summaries", "ms", 141),
        Row("same, at first sight, ms", "first sight", "ms", 3000),
        Row(
            f"BODY.PEEK[] of {large} × 50 KiB, MB/s",
            "bodies",
            "mb_per_s",
            150,
            more_is_better=True,
        ),
        Row("FETCH of one message of 4 KiB, a second", "fetch1", "per_s", 2000, more_is_better=True),
        Row(f"SEARCH TEXT over {listed}, the first, ms", "first search", "ms", 2000),
        Row(
            f"SEARCH TEXT over {listed}, again, ms",
            "search_text",
            "ms",
            100,
            peer_figure="first search",
        ),
        Row(f"SEARCH FROM over {listed}, ms", "search_from", "ms", 60),
        Row(f"SORT (DATE) of {listed}, ms", "sort", "ms", 60),
        Row(f"THREAD REFERENCES of {listed}, ms", "thread", "ms", 120),
        Row(f"STORE +FLAGS of {listed}, ms", "store", "ms", 15, digits=1),
        Row(f"COPY of {part}, ms", "copy", "ms", 60),
        Row(f"MOVE of {part}, ms", "copy", "move_ms", 60),
        Row("APPEND with LITERAL+, one user, a second", "append", "per_s", 400, more_is_better=True),
        Row("LOGIN on a new connection, 10 at once, a second", "login", "per_s", 350, more_is_better=True),
        Row(f"memory of a connection in IDLE ({plan.connections}), KiB", "memory", "kib_each", 60),
        Row("from 250 to EXISTS in IDLE, p50 ms", "idle", "p50_ms", 5, digits=1),
        Row("from 250 to EXISTS in IDLE, p99 ms", "idle", "p99_ms", 20, digits=1),
    ]


def format_imap(figures: Figures, plan: ImapPlan) -> str:
    body = []
    for row in rows_of(plan):
        theirs = row.peer_figure or row.figure
        ours_value = figures.median(row.figure, PLI, row.key)
        peers_value = figures.median(theirs, PEER, row.key)
        is_alike = row.figure not in OF_MANY or _is_whole(figures, row, plan)
        body.append(
            [
                row.title,
                row.wanted if plan is FULL else "–",
                _cell(figures, row, (row.figure, PLI), plan),
                _cell(figures, row, (theirs, PEER), plan),
                format_ratio(ours_value, peers_value, more_is_better=row.more_is_better) if is_alike else "–",
            ]
        )
    table = format_table(["IMAP over TLS", "goal", PLI, "Dovecot", "Pli is better by"], body)
    parts = [table, f"Other processes took {min(1, figures.others_share()):.0%} of the machine meanwhile."]
    if plan is FULL:
        parts.append(format_goals(figures, plan))
    parts += format_failed(figures)
    return "\n\n".join(parts)


def _is_whole(figures: Figures, row: Row, plan: ImapPlan) -> bool:
    """Whether the peer's largest mailbox is as large as ours."""
    return (figures.median(row.figure, PEER, "count") or 0) >= plan.many


def _cell(figures: Figures, row: Row, place: tuple[str, str], plan: ImapPlan) -> str:
    value = figures.median(*place, row.key)
    if value is None:
        return "failed" if place in figures.failed else "not measured"
    fewer = ""
    if row.figure in OF_MANY and (count := figures.median(*place, "count") or 0) < plan.many:
        fewer = f" (of {count:.0f})"
    return f"{value:.{row.digits}f}{fewer}{' *' if figures.is_noisy(*place) else ''}"


def format_goals(figures: Figures, plan: ImapPlan) -> str:
    """Each goal that Pli missed: the figure, how far it is off, and who spent the time."""
    missed = []
    for row in rows_of(plan):
        value = figures.median(row.figure, PLI, row.key)
        if value is None:
            missed.append(f"- {row.title}: not measured, the goal is {row.wanted}")
        elif not row.is_reached(value):
            off = row.goal / value if row.more_is_better else value / row.goal
            spent = _spent(figures.runs[row.figure, PLI])
            missed.append(
                f"- {row.title}: {value:.{row.digits}f}, the goal is {row.wanted} ({off:.1f} × off){spent}"
            )
    if not missed:
        return "Every goal is reached."
    return "Goals that Pli did not reach in this run:\n\n" + "\n".join(missed)


def _spent(runs: list[Run]) -> str:
    medians = summary(runs)["median"]
    assert isinstance(medians, dict)
    if "server_cpu_us" not in medians:
        return ""
    server = medians["server_cpu_us"] * medians["count"] / 1000
    return (
        f"; of a run of {medians['wall_s'] * 1000:.0f} ms the server was {server:.0f} ms on a processor, "
        f"the client {medians['client_cpu_s'] * 1000:.0f} ms"
    )


IMAP_NOTES = """\
- Each figure is the median over rounds of both servers in turn, each run on a fresh connection over TLS 1.3 to the
  implicit TLS port, by the same client (`bench/mailload.py`), which shares the machine with the server.
- `*`: fewer than three quiet runs (in a quiet one, other processes took under 10 % of the machine). Medians are over
  the quiet runs when there are at least three, else over all. Run once: the first sight, the first SEARCH TEXT and
  memory; of the peer twice: bodies, COPY and MOVE, and
  once: IDLE.
- The peer is Dovecot (mdbox, mail_crypt with secp521r1 and a key per user, mail handed over by Postfix and LMTP).
  mail_crypt leaves Dovecot's index cache in clear (addresses and subjects among it): its listings, SEARCH FROM, SORT
  and THREAD open nothing; Pli opens each sealed summary. It has no index of texts: its SEARCH TEXT is measured once.
- The mailbox that is listed and searched came by SMTP while its owner was away; the first sight is then the first
  FETCH. One message in 32 holds the word that SEARCH TEXT looks for.
- COPY goes to an empty mailbox, MOVE from there to another. STORE tells every message that it changed.
- Memory is what the connections add to the proportional set size of all processes of the server, after 20 earlier
  ones. In IDLE, below zero: the news was there before the sender had read its 250.
"""
