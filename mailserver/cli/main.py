"""Arguments of ``pli`` and the one place where errors become words and exit codes.

Exit codes: 0 done; 1 the answer is no (a check failed, something is refused); 2 wrong usage or configuration;
3 try again later; 70 a fault of Pli's, named by an incident id.
"""

import argparse
import errno
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mailserver.app.hardening import harden_process
from mailserver.cli import (
    account_commands,
    audit_commands,
    check_command,
    init_command,
    log_commands,
    queue_commands,
    serve_command,
    trust_commands,
)
from mailserver.cli.words import words_for
from mailserver.config import ConfigError
from mailserver.log import incident_id, set_up_logging
from mailserver.model.errors import PliError, Unavailable

WORKER = "worker"
EXIT_DONE, EXIT_NO, EXIT_USAGE, EXIT_LATER, EXIT_FAULT = 0, 1, 2, 3, 70
_NOT_OURS = "A port or a file is not ours to use: ports under 1024 and the folders need the right account."
_SYSTEM_WORDS = {
    errno.EADDRINUSE: "A port of [listen] in pli.toml is in use by another program. Stop it, or choose other ports.",
    errno.EADDRNOTAVAIL: "This machine does not have the address in host of [listen] in pli.toml.",
    errno.EACCES: _NOT_OURS,
    errno.EPERM: _NOT_OURS,
    errno.ENOSPC: "The disk is full. Free some space and try again: nothing was half-written.",
}
_PATH_WORDS = {
    errno.ENOENT: "{file} does not exist, or the folder that it should lie in does not. Correct the path.",
    errno.EEXIST: "{file} is there already and is no folder. Choose another path.",
    errno.ENOTDIR: "{file} leads through a file that is no folder. Choose another path.",
    errno.EISDIR: "{file} is a folder, and a file is needed there. Choose another path.",
    errno.ENAMETOOLONG: "{file} is too long a name for this disk. Choose a shorter path.",
    errno.EROFS: "{file} is on a disk that may only be read. Choose another path.",
}
"""What whoever gave the path can put right: wrong usage."""


def run(arguments: Sequence[str]) -> int:
    """Run ``pli`` with these arguments; prints, and returns the exit code. No traceback ever reaches a user."""
    if arguments and arguments[0] == WORKER:
        options = serve_command.worker_parser().parse_args(arguments[1:])
    else:
        options = build_parser().parse_args(arguments)
    harden_process()
    set_up_logging("WARNING" if options.quiet_log else "INFO")
    try:
        return int(options.call(options))
    except ConfigError as error:
        return _fail(options, EXIT_USAGE, "config", str(error))
    except Unavailable as error:
        return _fail(options, EXIT_LATER, error.code, words_for(error))
    except PliError as error:
        return _fail(options, EXIT_NO, error.code, words_for(error))
    except KeyboardInterrupt:
        return EXIT_NO
    except OSError as error:
        return _system(options, error)
    except Exception:  # noqa: BLE001 # whatever it is, a user sees words and an incident id
        return _fault(options)


def _system(options: argparse.Namespace, error: OSError) -> int:
    """Inside the handler of ``error``."""
    if error.errno in _SYSTEM_WORDS:
        return _fail(options, EXIT_LATER, "system", _SYSTEM_WORDS[error.errno])
    if error.errno in _PATH_WORDS and isinstance(error.filename, str | bytes):
        named = _PATH_WORDS[error.errno].replace("{file}", os.fsdecode(error.filename))
        return _fail(options, EXIT_USAGE, "path", named)
    return _fault(options)


def _fault(options: argparse.Namespace) -> int:
    incident = incident_id()
    logger = logging.getLogger("pli.command")
    logger.error("unexpected", exc_info=True, extra={"incident": incident})  # noqa: LOG014 # called from its handler
    sentence = f"A fault of Pli's (incident {incident}). See the log line above."
    return _fail(options, EXIT_FAULT, "fault", sentence)


def _fail(options: argparse.Namespace, exit_code: int, code: str, sentence: str) -> int:
    if getattr(options, "json", False):
        print(json.dumps({"error": code, "sentence": sentence}))
    else:
        print(f"pli: {sentence}", file=sys.stderr)
    return exit_code


def build_parser() -> argparse.ArgumentParser:
    """Every sub-command with its options; each module adds its own."""
    parser = argparse.ArgumentParser(prog="pli", description="Secure health messaging server.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (
        init_command,
        serve_command,
        account_commands,
        queue_commands,
        audit_commands,
        log_commands,
        check_command,
        trust_commands,
    ):
        module.add_arguments(commands)
    _add_demo(commands)
    return parser


def _add_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    demo = commands.add_parser("demo", help="two operators on this machine, and the main job played through")
    demo.add_argument(
        "--once", action="store_true", help="play, then stop; exit code 0 when every step worked"
    )
    demo.add_argument(
        "--dir", type=Path, default=Path(".demo"), help="folder of the demonstration (made anew)"
    )
    demo.add_argument("--json", action="store_true", help="one JSON object a step")
    demo.set_defaults(call=_demo, quiet_log=True)


def _demo(options: argparse.Namespace) -> int:
    from mailserver.cli.demo_command import demo

    return demo(options.dir, once=options.once, as_json=options.json)
