"""``pli init``: make an operator's folder."""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

from mailserver.cli.numbers import whole_number
from mailserver.cli.operator_folder import CLAMD, PORTS, OperatorPlan, make_operator, parse_domains

_TO_DO = (
    "Before it serves (docs/operating.md has each step with its check):",
    "  [listen]     host is 127.0.0.1, this machine alone: 0.0.0.0 for every interface",
    "  [tls]        put the certificates where the keys say; name the revocation lists (peer_crl) or the responder",
    "               (peer_ocsp): without them it does not start",
    "  [trust]      name the list's signers, and its url, or put the list where file says; until then no mail passes",
    f"  [antivirus]  without clamd at {CLAMD} mail is put off: install clamav-daemon, or leave it out with an empty clamd",
    "  [relay]      where login codes leave by e-mail (or [sms]): without one of them nobody gets a code",
)
MOST_PORT = 65535
MOST_BASE_PORT = MOST_PORT - max(PORTS.values())


def add_arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The options of this module's commands."""
    parser = commands.add_parser("init", help="make a folder with pli.toml, data/ and keys/")
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument(
        "--domain", action="append", required=True, metavar="D", help="a mail domain to hold; repeat"
    )
    parser.add_argument(
        "--base-port",
        type=whole_number(0, MOST_BASE_PORT),
        default=0,
        metavar="N",
        help="ports N+25, N+587, N+465, N+143, …",
    )
    parser.add_argument(
        "--demo-authority", type=Path, metavar="DIR2", help="a demonstration authority and trust list, shared"
    )
    parser.add_argument(
        "--relay-port",
        type=whole_number(0, MOST_PORT),
        default=0,
        metavar="P",
        help="notices go to 127.0.0.1:P",
    )
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(call=_init, quiet_log=True)


def _init(options: argparse.Namespace) -> int:
    plan = OperatorPlan(
        options.folder,
        parse_domains(options.domain),
        options.base_port,
        options.demo_authority,
        options.relay_port,
    )
    path = make_operator(plan, datetime.now(UTC))
    if options.json:
        print(json.dumps({"config": str(path), "domains": options.domain}))
    else:
        print(f"Made {path}, which says what each key is for.")
        if options.demo_authority is None:
            for line in _TO_DO:
                print(line)
        print(f"Next: pli account add -c {path} …, then pli serve -c {path}")
    return 0
