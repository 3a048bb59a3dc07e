"""``pli account web-password`` and ``pli account second-factor``: for who lost the one or the other.

What either opens is told to the person, in their log and where they get notices. Who calls must be known to be that
person first: docs/operating.md says how.
"""

import argparse
import json
from datetime import UTC, datetime

from mailserver.cli.opened import opened, read_secret
from mailserver.cli.operator_folder import private_files
from mailserver.cli.serve_command import add_config
from mailserver.crypto.secret import Secret
from mailserver.crypto.slots import new_web_password
from mailserver.model.address import parse_address
from mailserver.service.one_time import new_totp_secret, otpauth_uri


def add_arguments(acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The options of this module's commands."""
    password = acts.add_parser(
        "web-password",
        help="a new web password for an account, shown once; the one before opens nothing any more",
    )
    password.add_argument(
        "--password-stdin",
        action="store_true",
        help="this one, a line on standard input, in place of one at random",
    )
    factor = acts.add_parser("second-factor", help="where an account's login codes come from, from now on")
    ways = factor.add_mutually_exclusive_group(required=True)
    ways.add_argument("--totp", action="store_true", help="a new application, whose address is shown once")
    ways.add_argument("--codes", action="store_true", help="codes by e-mail or SMS (pli account contact)")
    for parser, call in ((password, _web_password), (factor, _second_factor)):
        add_config(parser)
        parser.add_argument("--address", required=True, metavar="A")
        parser.add_argument("--json", action="store_true")
        parser.set_defaults(call=call, quiet_log=True)


_TOLD = "The person is told."
_NOBODY_TOLD = (
    "Nobody could be told: this account has no address or number of the person. Give one with pli account contact; until "
    "then no code can be sent either."
)


def _web_password(options: argparse.Namespace) -> int:
    address = parse_address(options.address)
    made = None if options.password_stdin else new_web_password()
    password = read_secret("Password") if made is None else Secret(made.encode())
    with private_files(), opened(options.config) as pli:
        is_told = pli.services.resets.reset_password(address, password, datetime.now(UTC))
    if options.json:
        print(json.dumps({"address": str(address), "state": "changed", "password": made}))
        return 0
    shown = f", shown once: {made}" if made else "."
    print(f"New web password of {address}{shown}")
    print("Whoever was logged in on the web is logged out. The password is changed under Settings.")
    print(_TOLD if is_told else _NOBODY_TOLD)
    return 0


def _second_factor(options: argparse.Namespace) -> int:
    address = parse_address(options.address)
    totp = new_totp_secret() if options.totp else None
    with private_files(), opened(options.config) as pli:
        is_told = pli.services.resets.reset_second_factor(address, totp, datetime.now(UTC))
        operator = pli.services.config.operator.name
    otpauth = otpauth_uri(totp, str(address), operator) if totp else None
    if options.json:
        factor = "totp" if totp else "codes"
        print(json.dumps({"address": str(address), "second_factor": factor, "otpauth": otpauth}))
        return 0
    said = f"come from this application, shown once: {otpauth}" if otpauth else "are sent by e-mail or SMS."
    print(f"Login codes of {address} {said}")
    print("Whoever was logged in on the web is logged out.")
    print(_TOLD if is_told else _NOBODY_TOLD)
    return 0
