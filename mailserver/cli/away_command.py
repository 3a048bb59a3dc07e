"""``pli account away``: until when an account's messages are not read, and what whoever writes meanwhile is told.

The texts are told to everybody who writes to the account, so they may stand among the arguments.
"""

import argparse
import json
from datetime import UTC, datetime

from mailserver.cli.opened import opened
from mailserver.cli.operator_folder import private_files
from mailserver.cli.serve_command import add_config
from mailserver.model.absence import Absence, format_absence, read_absence
from mailserver.model.address import Address, parse_address
from mailserver.model.errors import Malformed


def add_arguments(acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The options of this module's command."""
    parser = acts.add_parser("away", help="out of office: set it, show it, or end it")
    add_config(parser)
    parser.add_argument("--address", required=True, metavar="A")
    parser.add_argument(
        "--from", dest="first_day", default="", metavar="DAY", help="2026-12-24 (UTC); today when left out"
    )
    parser.add_argument("--until", dest="last_day", default="", metavar="DAY", help="the last day of it")
    parser.add_argument("--text", default="", help="for whoever writes; nothing about a patient")
    parser.add_argument("--colleague", default="", metavar="ADDRESS", help="who takes messages meanwhile")
    parser.add_argument("--emergency", default="", metavar="TEXT", help="what to do in an emergency")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--show", action="store_true", help="what is set; the default without --until")
    other.add_argument("--off", action="store_true", help="back again")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(call=_away, quiet_log=True)


def _away(options: argparse.Namespace) -> int:
    address, now = parse_address(options.address), datetime.now(UTC)
    asked = _asked(options, now)
    with private_files(), opened(options.config) as pli:
        settings = pli.services.absence_settings
        if asked is not None or options.off:
            settings.change_of(address, asked, now)
        else:
            asked = settings.find_of(address, now)
    if options.json:
        told = None if asked is None else json.loads(format_absence(asked))
        print(json.dumps({"address": str(address), "away": told}, ensure_ascii=False))
    else:
        print(_describe(address, asked))
    return 0


def _asked(options: argparse.Namespace, now: datetime) -> Absence | None:
    """What to set; None to show or to end. Raises Malformed."""
    fields = (options.text, options.colleague, options.emergency)
    if options.show or options.off or not any((options.first_day, options.last_day, *fields)):
        if any((options.first_day, options.last_day, *fields)):
            raise Malformed("away-syntax")
        return None
    return read_absence(options.first_day or now.date().isoformat(), options.last_day, *fields)


def _describe(address: Address, absence: Absence | None) -> str:
    if absence is None:
        return f"{address} is not away."
    lines = [f"{address} is away from {absence.first_day} to {absence.last_day}, both included (UTC)."]
    if absence.colleague is not None:
        lines.append(f"Colleague: {absence.colleague}")
    if absence.emergency:
        lines.append(f"In an emergency: {absence.emergency}")
    if absence.text:
        lines.append(absence.text)
    return "\n".join(lines)
