"""``pli queue list|show|retry|hold|release|drop``: the outbound queue, without an address or a subject.

Works beside a running server, through the store; its workers are told of a change at once.
"""

import argparse
import contextlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime

from mailserver.app import Services
from mailserver.cli.opened import opened
from mailserver.cli.operator_folder import private_files
from mailserver.cli.serve_command import add_config
from mailserver.model.address import parse_domain
from mailserver.model.errors import Malformed
from mailserver.model.ids import ID_BYTES, JobId
from mailserver.service.queue_control import JobInfo, QueueAct
from mailserver.store.feed import Feed
from mailserver.store.jobs import JobState, name_job

_HELP = {
    QueueAct.RETRY: "try a waiting job now",
    QueueAct.HOLD: "keep a job from being tried; at its expiry it is returned",
    QueueAct.RELEASE: "let a held job go",
    QueueAct.DROP: "end a job without sending it; its sender is told",
}


def add_arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The options of this module's commands."""
    queue = commands.add_parser("queue", help="look at the outbound queue and act on it")
    acts = queue.add_subparsers(required=True, metavar="ACT")
    listing = acts.add_parser("list", help="jobs that are not over, the oldest first")
    listing.add_argument("--domain", metavar="D", help="those of one next hop")
    listing.add_argument("--finished", action="store_true", help="those that are over too")
    listing.set_defaults(call=_list, quiet_log=True)
    show = acts.add_parser("show", help="one job with each attempt")
    show.add_argument("job", metavar="JOB")
    show.set_defaults(call=_show, quiet_log=True)
    parsers = [listing, show]
    for act, words in _HELP.items():
        parser = acts.add_parser(act.value, help=words)
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("job", metavar="JOB", nargs="?")
        if act is not QueueAct.DROP:
            which.add_argument("--domain", metavar="D", help="every job of one next hop")
            which.add_argument("--all", action="store_true", help="every job")
        # each act is a line of the operator's log, on standard error
        parser.set_defaults(call=_act, act=act, quiet_log=False, domain=None, all=False)
        parsers.append(parser)
    for parser in parsers:
        add_config(parser)
        parser.add_argument("--json", action="store_true")


def _list(options: argparse.Namespace) -> int:
    domain = parse_domain(options.domain) if options.domain else None
    now = datetime.now(UTC)
    with opened(options.config) as pli:
        infos = pli.services.queue.list_jobs(now, domain, has_finished=options.finished)
        altered = [name_job(each) for each in pli.services.queue.list_altered(has_finished=options.finished)]
    if options.json:
        facts = [_facts(info, now) for info in infos]
        print(json.dumps([*facts, *[{"job": each, "state": "altered"} for each in altered]]))
        return 0
    for info in infos:
        print(_line(info, now))
    for each in altered:
        print(
            f"{each}  ALTERED: its row is not what Pli wrote, so it is not sent. See pli check; restore the row."
        )
    print(f"{len(infos)} jobs.{f' {len(altered)} altered.' if altered else ''}")
    return 0


def _show(options: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    with opened(options.config) as pli:
        info = pli.services.queue.load_job(_parse_job(options.job), now)
    if options.json:
        print(json.dumps(_facts(info, now)))
        return 0
    print(_line(info, now))
    for each in info.attempts:
        code = f"  {each.reply_code}" if each.reply_code else ""
        print(f"  {each.number:>3}  {_time(each.at)}  {each.result}{code}")
    return 0


def _act(options: argparse.Namespace) -> int:
    job_id = None if options.job is None else _parse_job(options.job)
    domain = parse_domain(options.domain) if options.domain else None
    act, now = QueueAct(options.act), datetime.now(UTC)
    with private_files(), opened(options.config) as pli, _telling(pli.services):
        if job_id is not None:
            pli.services.queue.act(act, job_id, now)
            done, busy = [job_id], []
        else:
            changed = pli.services.queue.act_on_all(act, domain, now)
            done, busy = list(changed.done), list(changed.busy)
    if options.json:
        print(
            json.dumps(
                {"act": act, "done": [each.hex() for each in done], "busy": [each.hex() for each in busy]}
            )
        )
    else:
        later = f" {len(busy)} are being tried: try again later." if busy else ""
        print(f"{act}: {len(done)} jobs.{later}")
    return 3 if busy else 0


@contextlib.contextmanager
def _telling(services: Services) -> Iterator[None]:
    """The server's workers, if any run, hear of what is committed here."""
    with contextlib.closing(Feed(services.config.data_folder / "run", f"command-{os.getpid()}")) as feed:
        services.store.writer.on_commit(feed.publish)
        yield


def _parse_job(text: str) -> JobId:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raise Malformed("job-syntax") from None
    if len(raw) != ID_BYTES:
        raise Malformed("job-syntax")
    return JobId(raw)


def _state(info: JobInfo) -> str:
    return "tried now" if info.is_tried_now else info.row.state.value


def _line(info: JobInfo, now: datetime) -> str:
    row = info.row
    last = info.attempts[-1] if info.attempts else None
    said = f"{last.result}{f' {last.reply_code}' if last.reply_code else ''}" if last else "not tried yet"
    due = f"  next {_time(row.next_try_at)}" if row.state is JobState.WAITING else ""
    hours, minutes = divmod(int(now.timestamp()) - row.created_at, 3600)
    age = f"{hours}h{minutes // 60:02}"
    hop = row.next_hop or "-"
    return f"{row.job_id.hex()}  {row.lane:6}  {hop}  {_state(info)}  {age}  {row.attempts} tries, last: {said}{due}"


def _facts(info: JobInfo, now: datetime) -> dict[str, object]:
    row = info.row
    return {
        "job": row.job_id.hex(),
        "lane": row.lane.value,
        "domain": row.next_hop,
        "state": row.state.value,
        "tried_now": info.is_tried_now,
        "age_seconds": int(now.timestamp()) - row.created_at,
        "attempts": row.attempts,
        "next_try": _time(row.next_try_at) if row.state is JobState.WAITING else None,
        "expires": _time(row.expires_at),
        "timeline": [
            {"number": each.number, "at": _time(each.at), "result": each.result, "code": each.reply_code}
            for each in info.attempts
        ],
    }


def _time(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
