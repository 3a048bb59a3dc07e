"""What commands share: the services over a configuration, and a secret read from standard input."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mailserver.app import Services, build_services
from mailserver.app.custody_link import Custody, LocalCustodian, administrator_custody
from mailserver.config import Config, load_config
from mailserver.crypto.secret import Secret
from mailserver.model.errors import Conflict, Denied, Malformed
from mailserver.store.database import Database
from mailserver.store.migrations import upgrade


@dataclass(frozen=True, slots=True)
class Opened:
    services: Services
    custody: Custody


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """Services with the administrator's custody: the running server's, or the keys folder's."""
    config = load_config(path)
    with administrator_custody(config) as custody, contextlib.closing(_services(config, custody)) as services:
        yield Opened(services, custody)


@contextlib.contextmanager
def opened_alone(path: Path) -> Iterator[tuple[Services, LocalCustodian]]:
    """Services over the keys folder itself, for what no server may run beside. Raises Denied("server-runs")."""
    config = load_config(path)
    try:
        local = LocalCustodian(config)
    except Conflict as error:
        raise Denied("server-runs") if error.code == "custodian-busy" else error from None
    with contextlib.closing(local), contextlib.closing(_services(config, local.custody)) as services:
        yield services, local


def _services(config: Config, custody: Custody) -> Services:
    database = Database(config.database_url)
    upgrade(database)
    database.close()
    return build_services(config, custody.verbs)


def read_secret(what: str) -> Secret:
    """One line from standard input; asked for without echo on a terminal. Raises Malformed when it is empty or is not
    in UTF-8.
    """
    try:
        secret = _read_line(what).rstrip("\r\n").encode()
    except UnicodeError:  # where the locale has no encoding, wrong octets pass reading and stop here
        raise Malformed("secret-encoding") from None
    if not secret:
        raise Malformed("secret-empty", "nothing was given on standard input")
    return Secret(secret)


def _read_line(what: str) -> str:
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass(f"{what}: ")
    return sys.stdin.readline()
