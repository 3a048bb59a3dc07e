"""``pli audit export|verify``: a person's copy of their log, and its check without the server."""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from mailserver.audit import verify_export
from mailserver.audit.events import Origin
from mailserver.audit.export import parse_earlier_size
from mailserver.cli.numbers import whole_number
from mailserver.cli.opened import opened, read_secret
from mailserver.cli.operator_folder import private_files
from mailserver.cli.serve_command import add_config
from mailserver.model.address import parse_address
from mailserver.service.history import permit_copy
from mailserver.service.log_export import copy_log


def add_arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The options of this module's commands."""
    audit = commands.add_parser("audit", help="a person's copy of their access log, and its check")
    acts = audit.add_subparsers(required=True, metavar="ACT")
    export = acts.add_parser(
        "export", help="write the log of one account; its web password on standard input"
    )
    add_config(export)
    export.add_argument(
        "--as", "--address", dest="address", required=True, metavar="ADDRESS", help="whose log"
    )
    export.add_argument(
        "--by",
        metavar="ADDRESS",
        help="of a shared box: who is responsible for it, and whose web password is given",
    )
    export.add_argument("--output", type=Path, required=True, metavar="FILE")
    export.add_argument(
        "--receipt", type=Path, metavar="FILE", help="write the receipt to keep for the next check"
    )
    export.add_argument(
        "--since",
        type=whole_number(0, (1 << 63) - 1),
        action="append",
        default=[],
        metavar="SIZE",
        help="tree size of a receipt",
    )
    export.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="a receipt saved earlier: prove that the log only grew since",
    )
    export.add_argument("--json", action="store_true")
    export.set_defaults(call=_export, quiet_log=True)
    verify = acts.add_parser("verify", help="check an exported log offline")
    verify.add_argument("file", type=Path, metavar="FILE", help="what pli audit export wrote")
    verify.add_argument("--checkpoint", type=Path, metavar="FILE", help="a receipt saved earlier")
    verify.add_argument("--lang", choices=["fr", "en"], default="fr")
    verify.add_argument("--json", action="store_true")
    verify.set_defaults(call=_verify, quiet_log=True)


def _export(options: argparse.Namespace) -> int:
    earlier = [*options.since]
    if options.checkpoint:
        earlier.append(parse_earlier_size(options.checkpoint.read_bytes()))
    secret = read_secret("Password")
    with private_files(), opened(options.config) as pli, contextlib.ExitStack() as files:
        store, origin = pli.services.store, Origin(client="pli audit export")
        login = options.by or options.address
        account, _keys = pli.services.keys.open_with_password(login, secret.reveal().decode())
        if options.by:
            account = pli.services.boxes.open_log(account, parse_address(options.address), origin)
        # before the log says that a copy was made
        output = files.enter_context(_opened_to_write(options.output))
        receipt = files.enter_context(_opened_to_write(options.receipt)) if options.receipt else None
        reading = permit_copy(store, account, origin, datetime.now(UTC), logs_in=True)
        copy = copy_log(store, account, reading, pli.custody.log_publics, tuple(earlier))
        _write(output, copy.lines)
        if receipt is not None:
            _write(receipt, [copy.receipt])
    facts = {"file": str(options.output), "entries": copy.entries, "waiting": copy.waiting}
    if options.json:
        print(json.dumps(facts))
    else:
        print(f"Wrote {copy.entries} entries; {copy.waiting} wait for the next checkpoint.")
    return 0


def _opened_to_write(path: Path) -> BinaryIO:
    """For this user alone, and still as it was: an earlier receipt is worth more than a copy that failed."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb")


def _write(file: BinaryIO, pieces: Iterable[bytes]) -> None:
    """The pieces and nothing that was there before."""
    file.writelines(pieces)
    if file.seekable():
        file.truncate()


def _verify(options: argparse.Namespace) -> int:
    if options.json:
        return _verify_as_json(options)
    arguments = [str(options.file), "--lang", options.lang]
    if options.checkpoint:
        arguments += ["--checkpoint", str(options.checkpoint)]
    sys.stdout.flush()
    return verify_export.main(arguments)


def _verify_as_json(options: argparse.Namespace) -> int:
    try:
        saved = options.checkpoint.read_bytes() if options.checkpoint else None
        report = verify_export.verify(options.file.read_bytes(), saved)
    except OSError:
        failure = verify_export.CheckFailed(1, "unreadable")
    except verify_export.CheckFailed as error:
        failure = error
    else:
        first, last = report.period
        log, leaves = report.log
        facts = {
            "holds": True,
            "entries": report.entries,
            "erased": report.erased,
            "first": first,
            "last": last,
            "log": log,
            "leaves": leaves,
            "fingerprint": report.fingerprint,
            "proven": report.proven,
            "has_receipt": report.has_receipt,
        }
        print(json.dumps(facts))
        return 0
    words = verify_export.FAILURES[failure.code][verify_export.LANGUAGES.index(options.lang)]
    why = {"step": failure.step, "error": failure.code, "entry": failure.entry, "sentence": words}
    print(json.dumps({"holds": False, **why}, ensure_ascii=False))
    return 1
