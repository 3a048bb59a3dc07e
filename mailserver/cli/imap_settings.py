"""``pli account imap``: what one account's mail clients are told, and a trace of what they say.

For a client that stumbles over an extension, and for finding out why. It holds from the client's next login on.
"""

import argparse
import json
from dataclasses import replace
from datetime import UTC, datetime

from mailserver.cli.opened import opened
from mailserver.cli.operator_folder import private_files
from mailserver.cli.serve_command import add_config
from mailserver.imap.states import HIDEABLE
from mailserver.model.address import parse_address
from mailserver.service.directory import Profile

MOST_MINUTES = 24 * 60


def add_arguments(acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The options of this module's command."""
    parser = acts.add_parser("imap", help="hide capabilities from one account's mail clients, or trace them")
    add_config(parser)
    parser.add_argument("--address", required=True, metavar="A")
    names = sorted(HIDEABLE)
    parser.add_argument(
        "--hide",
        action="append",
        default=[],
        choices=names,
        metavar="NAME",
        help=f"one of {', '.join(names)}",
    )
    parser.add_argument(
        "--show", action="append", default=[], choices=names, metavar="NAME", help="no longer hidden"
    )
    parser.add_argument(
        "--trace",
        type=_minutes,
        metavar="MINUTES",
        help=f"write the protocol to the operator's log, all content masked; 0 ends it, {MOST_MINUTES} at most",
    )
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(call=_set, quiet_log=True)


def _minutes(text: str) -> int:
    if not text.isdecimal() or int(text) > MOST_MINUTES:
        raise argparse.ArgumentTypeError(f"a number of minutes from 0 to {MOST_MINUTES}")
    return int(text)


def _set(options: argparse.Namespace) -> int:
    address, now = parse_address(options.address), datetime.now(UTC)

    def change(profile: Profile) -> Profile:
        hidden = {*profile.hidden_capabilities, *options.hide} - set(options.show)
        until = profile.traced_until
        if options.trace is not None:
            until = int(now.timestamp()) + 60 * options.trace
        return replace(profile, hidden_capabilities=tuple(sorted(hidden)), traced_until=until)

    with private_files(), opened(options.config) as pli:
        profile = pli.services.administration.mark_client_settings(address, change, now)
    until = profile.traced_until if profile.traced_until > now.timestamp() else None
    if options.json:
        facts = {"address": str(address), "hidden": profile.hidden_capabilities, "traced_until": until}
        print(json.dumps(facts))
        return 0
    print(
        f"Hidden from the mail clients of {address}: {', '.join(profile.hidden_capabilities) or 'nothing'}."
    )
    if until is not None:
        print(f"Traced in the operator's log until {datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M} UTC.")
    print("It holds from the client's next login on.")
    return 0
