"""``pli account bounce``: one delivery report about a notice, from standard input, for reports that no mailbox brings.

A mail server's pipe or a provider's hook calls it. It says what followed, never of whom.
"""

import argparse
import json
import sys
from datetime import UTC, datetime

from mailserver.cli.opened import opened
from mailserver.cli.operator_folder import private_files
from mailserver.cli.serve_command import add_config
from mailserver.model.errors import Unavailable
from mailserver.service.bounces import BOUNCE_BYTES, Bounces, Heard
from mailserver.service.contacts import Contacts

_WORDS = {
    Heard.MARKED: "The address of this notice is marked as dead: notices go another way, if the person has one.",
    Heard.LEFT: "This is about a notice of ours, and nothing follows from it.",
    Heard.STRANGE: "This is no delivery report about a notice of ours. Nothing was done.",
}


def add_arguments(acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The options of this module's command."""
    parser = acts.add_parser(
        "bounce", help="take the report of an ordinary mail server about a notice, on standard input"
    )
    add_config(parser)
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(call=_bounce, quiet_log=True)


def _bounce(options: argparse.Namespace) -> int:
    octets = sys.stdin.buffer.read(BOUNCE_BYTES + 1)
    with private_files(), opened(options.config) as pli:
        store, directory = pli.services.store, pli.services.directory
        heard = Bounces(store, Contacts(store, directory)).hear(octets, datetime.now(UTC))
    if heard is Heard.LATER:
        raise Unavailable("notice-in-hand")
    print(json.dumps({"bounce": heard}) if options.json else _WORDS[heard])
    return 0
