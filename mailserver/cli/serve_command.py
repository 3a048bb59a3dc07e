"""``pli serve`` and the hidden ``pli worker`` that it starts."""

import argparse
from pathlib import Path

from mailserver.cli.numbers import whole_number
from mailserver.config import load_config

MOST_WORKERS = 1024


def add_config(parser: argparse.ArgumentParser) -> None:
    """The option that every command on a server takes."""
    parser.add_argument("-c", "--config", type=Path, default=Path("pli.toml"), metavar="FILE")


def add_arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The options of this module's commands."""
    serve = commands.add_parser("serve", help="serve mail and web until SIGTERM")
    add_config(serve)
    serve.add_argument(
        "--workers",
        type=whole_number(1, MOST_WORKERS),
        default=1,
        metavar="N",
        help="processes that share the ports",
    )
    serve.set_defaults(call=_serve, quiet_log=False)


def worker_parser() -> argparse.ArgumentParser:
    """``pli worker`` is the supervisor's: a parser apart, so that no help and no error offers it to a person."""
    worker = argparse.ArgumentParser(prog="pli worker")
    add_config(worker)
    worker.add_argument("--index", type=int, required=True)
    worker.add_argument("--custody-descriptor", type=int, required=True)
    worker.add_argument("--login-descriptor", type=int, required=True)
    worker.add_argument("--ready-descriptor", type=int, required=True)
    worker.set_defaults(call=_worker, quiet_log=False)
    return worker


def _serve(options: argparse.Namespace) -> int:
    from mailserver.app.supervisor import Supervisor

    config = load_config(options.config)
    return Supervisor(config, options.config.resolve(), options.workers).run()


def _worker(options: argparse.Namespace) -> int:
    from mailserver.app.worker import WorkerLinks, run_worker

    descriptors = (options.custody_descriptor, options.login_descriptor, options.ready_descriptor)
    links = WorkerLinks(options.index, *descriptors)
    return run_worker(load_config(options.config), links)
