"""``pli trust status|diff|verify``: which lists are in force and why not, what a file would change, and whether it holds."""

import argparse
import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path

from mailserver.app.trust_lists import open_trust_store
from mailserver.cli.serve_command import add_config
from mailserver.cli.trust_status import format_status, read_status
from mailserver.cli.trust_words import STEPS, words_for_code
from mailserver.config import load_config
from mailserver.crypto.x509 import format_dn
from mailserver.model.errors import NotFound, PliError
from mailserver.policy.trust_files import read_list_file
from mailserver.policy.trust_list import TrustedDomain, diff
from mailserver.policy.trust_source import MAIN, TrustSource
from mailserver.policy.trust_steps import SignedList, Step, demand_use, find_step


def add_arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The options of this module's commands."""
    trust = commands.add_parser("trust", help="the signed lists of trusted domains")
    acts = trust.add_subparsers(required=True, metavar="ACT")
    status = acts.add_parser("status", help="each list: how old, who signed it, in force or why not")
    compare = acts.add_parser("diff", help="what a file would change")
    verify = acts.add_parser("verify", help="check a file step by step, as the server would")
    for parser, call in ((status, _status), (compare, _diff), (verify, _verify)):
        add_config(parser)
        parser.add_argument("--json", action="store_true")
        parser.set_defaults(call=call, quiet_log=True)
    for parser in (compare, verify):
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument(
            "--list",
            default=MAIN,
            metavar="NAME",
            help="a list of further in [trust]; the main one otherwise",
        )


def _status(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    status = read_status(config, open_trust_store(config), datetime.now(UTC))
    if options.json:
        print(json.dumps(dataclasses.asdict(status), ensure_ascii=False))
    else:
        print("\n".join(format_status(status)))
    return 0 if status.in_force else 1


def _diff(options: argparse.Namespace) -> int:
    source, now = _source(options), datetime.now(UTC)
    try:
        change = diff(source.current, _verified(source, options.file, now).listed)
    except PliError as error:
        return _refused(options, error)
    if options.json:
        added, removed = ([_entry(each) for each in entries] for entries in (change.added, change.removed))
        print(json.dumps({"list": source.plan.name, "added": added, "removed": removed}, ensure_ascii=False))
        return 0
    for line in change.lines():
        print(line)
    print(f"{len(change.added)} added, {len(change.removed)} removed.")
    return 0


def _verify(options: argparse.Namespace) -> int:
    source, now = _source(options), datetime.now(UTC)
    try:
        signed = _verified(source, options.file, now)
    except PliError as error:
        return _refused(options, error)
    facts = {"holds": True, "steps": len(STEPS), "signer": str(signed.signer.dn)}
    if options.json:
        print(json.dumps(facts | {"fingerprint": signed.signer.fingerprint_sha256}, ensure_ascii=False))
    else:
        _print_steps(len(STEPS))
        print(f"Good: signed by {signed.signer.dn}, {signed.listed.count_domains()} domains.")
    return 0


def _source(options: argparse.Namespace) -> TrustSource:
    """The list that ``--list`` names, as it is in force."""
    trust = open_trust_store(load_config(options.config))
    found = next((each for each in trust.sources if each.plan.name == options.list), None)
    if found is None:
        raise NotFound("trust-list-name")
    return found


def _verified(source: TrustSource, file: Path, now: datetime) -> SignedList:
    signed = source.verify(read_list_file(file), now)
    demand_use(signed.listed, now)
    return signed


def _refused(options: argparse.Namespace, error: PliError) -> int:
    step = find_step(error.code)
    if step is None:
        raise error
    signer = f" It was signed with {error.detail}." if step is Step.PINNED and error.detail else ""
    sentence = words_for_code(error.code) + signer
    if options.json:
        why = {"step": int(step), "error": error.code, "sentence": sentence}
        print(json.dumps({"holds": False, **why}, ensure_ascii=False))
    else:
        _print_steps(int(step) - 1)
        print(f"{int(step):>2}  NO  {STEPS[step]}\n\nRefused ({error.code}). {sentence}")
    return 1


def _print_steps(passed: int) -> None:
    for step, words in STEPS.items():
        if step <= passed:
            print(f"{int(step):>2}  ok  {words}")


def _entry(entry: TrustedDomain) -> dict[str, str]:
    return {"domain": entry.domain.name, "dn": format_dn(entry.dn)}
