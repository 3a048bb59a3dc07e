"""``pli check``: is the store whole, untouched and consistent?"""

import argparse
import json
from dataclasses import replace
from datetime import UTC, datetime

from mailserver.app.bounce_watch import load_record
from mailserver.app.custody_link import log_origin
from mailserver.cli.opened import opened, read_secret
from mailserver.cli.serve_command import add_config
from mailserver.cli.words import words_for
from mailserver.config import Config
from mailserver.crypto.slots import SlotScope
from mailserver.model.errors import Denied, Unavailable
from mailserver.service.check import Report, check_account, check_store
from mailserver.service.keys import Keys, OpenAccount


def add_arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The options of this module's commands."""
    parser = commands.add_parser("check", help="is the store whole and untouched?")
    add_config(parser)
    parser.add_argument("--as", dest="address", metavar="ADDRESS", help="open everything of one account too")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(call=_check, quiet_log=True)


def _check(options: argparse.Namespace) -> int:
    secret = read_secret("Password or app password") if options.address else None
    with opened(options.config) as pli:
        services = pli.services
        custody = pli.custody
        report = check_store(
            services.store, custody.log_publics, log_origin(services.config), custody.sign_log
        )
        if secret is not None:
            account = _open(services.keys, options.address, secret.reveal().decode())
            mine = check_account(services.store, account)
            report = Report(report.problems + mine.problems, report.counted | mine.counted)
        report = replace(report, problems=report.problems + _bounce_problems(services.config))
    if options.json:
        problems = [{"what": what, "where": where} for what, where in report.problems]
        print(json.dumps({"problems": problems, "counted": report.counted}))
    else:
        for what, where in report.problems:
            print(f"PROBLEM  {what}  {where}")
        looked = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in report.counted.items())
        print(f"{len(report.problems)} problems. Looked at: {looked}.")
    return 1 if report.problems else 0


def _bounce_problems(config: Config) -> tuple[tuple[str, str], ...]:
    """What the server met when it last read the bounce mailbox."""
    code = load_record(config).error if config.bounces.host else ""
    return ((f"bounces are not read ({code}): {words_for(Unavailable(code))}", "[bounces]"),) if code else ()


def _open(keys: Keys, address: str, secret: str) -> OpenAccount:
    """An app password opens the mail; the web password opens documents and log too."""
    try:
        scopes = [SlotScope.IMAP_SMTP, SlotScope.IMAP]
        return keys.open_with_app_password(address, secret, scopes, int(datetime.now(UTC).timestamp()))
    except Denied:
        return keys.open_with_password(address, secret)[0]
