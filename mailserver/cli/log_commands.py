"""``pli log reopen``: after a restore, the access log goes on, and says so to everybody whose it is."""

import argparse
import json
from datetime import UTC, datetime

from mailserver.app.log_reopening import reopen_log
from mailserver.cli.opened import opened_alone
from mailserver.cli.operator_folder import private_files
from mailserver.cli.serve_command import add_config


def add_arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The options of this module's commands."""
    log = commands.add_parser("log", help="the access log as a whole")
    acts = log.add_subparsers(required=True, metavar="ACT")
    reopen = acts.add_parser(
        "reopen", help="go on after an older copy of the store was put back; with the server stopped"
    )
    add_config(reopen)
    reopen.add_argument(
        "--reason",
        required=True,
        metavar="TEXT",
        help="one line, which every person reads in their log; no name and no address",
    )
    reopen.add_argument("--json", action="store_true")
    reopen.set_defaults(call=_reopen, quiet_log=True)


def _reopen(options: argparse.Namespace) -> int:
    with private_files(), opened_alone(options.config) as (services, local):
        done = reopen_log(services, local, options.reason, datetime.now(UTC))
    facts = {
        "log": done.log.new_origin,
        "before": done.log.old_origin,
        "signed": done.signed,
        "held": done.held,
        "accounts_told": done.accounts,
        "kept": str(done.log.kept),
    }
    if options.json:
        print(json.dumps(facts))
        return 0
    print(
        f"The log goes on as {done.log.new_origin}, from {done.held} of the {done.signed} entries that were signed."
    )
    print(
        f"{done.accounts} accounts have an entry that says so. Until now it was {done.log.old_origin}; its signer's"
    )
    print(f"record is kept in {done.log.kept}. Start the server, wait a minute, then run: pli check")
    return 0
