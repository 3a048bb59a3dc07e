"""What this machine can do at best: the floor that deliveries into the store are held against.

Each figure is a rate per second of one thing that every delivery needs at least once.
"""

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from mailserver.crypto.ctx import ctx
from mailserver.crypto.seal import KeyPair, PublicKey
from mailserver.crypto.secret import random_id, random_secret

SECONDS = 1.0
MESSAGE_BYTES = 4096


def rate(step: Callable[[], object], seconds: float = SECONDS) -> float:
    """Calls a second of ``step``, over ``seconds`` of wall time."""
    step()
    done, start = 0, time.perf_counter()
    while (now := time.perf_counter()) - start < seconds:
        step()
        done += 1
    return done / (now - start)


def syncs_per_second(folder: Path) -> float:
    """4 KiB appended to one file, then fdatasync."""
    data = os.urandom(MESSAGE_BYTES)
    descriptor = os.open(folder / "floor-append", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def append() -> None:
        os.write(descriptor, data)
        os.fdatasync(descriptor)

    try:
        return rate(append)
    finally:
        os.close(descriptor)


def commits_per_second(folder: Path) -> float:
    """One row of 4 KiB a transaction, with the journal and synchronisation that the store uses."""
    connection = sqlite3.connect(folder / "floor.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE row (id BLOB PRIMARY KEY, octets BLOB) WITHOUT ROWID")

    def commit() -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO row VALUES (?, ?)", (random_id(), os.urandom(MESSAGE_BYTES)))
        connection.execute("COMMIT")

    try:
        return rate(commit)
    finally:
        connection.close()


def seals_per_second() -> float:
    """A data key sealed to an account's public key, as once per recipient."""
    public = KeyPair.from_seed(random_secret()).public
    key, info = random_secret().reveal(), ctx("mail", random_id(), random_id(), random_id())
    return rate(lambda: PublicKey(public).seal(key, info))


def measure_floor(folder: Path) -> dict[str, float]:
    return {
        "fdatasync of 4 KiB": syncs_per_second(folder),
        "SQLite commit of one row": commits_per_second(folder),
        "HPKE seal": seals_per_second(),
    }
