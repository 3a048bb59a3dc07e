"""The demonstration's scan for words, and one more view for the tests: a SQLite database row by row, for a word may lie
across two of its pages.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from mailserver.cli import word_scan
from mailserver.cli.word_scan import Trace, View

_SQLITE = b"SQLite format 3\0"


def find_traces(folder: Path, words: list[str]) -> list[Trace]:
    """Every trace of ``words`` (letters of either case) in the files under ``folder``, names of files included."""
    return word_scan.find_traces(folder, words, _row_views)


def _row_views(path: Path, data: bytes) -> Iterator[View]:
    if data.startswith(_SQLITE):
        yield "rows", _rows(path)


def _rows(path: Path) -> bytes:
    """Every value of every row, one after the other."""
    found = []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):
                found += [value if isinstance(value, bytes) else str(value).encode() for value in row]
    return b"\n".join(found)


def plant_copies(folder: Path, word: str) -> None:
    """One file for each form and each way of hiding it, and a database."""
    word_scan.plant_copies(folder, word)
    octets = f"avant {word} après".encode()
    with closing(sqlite3.connect(folder / "pages.sqlite")) as database:
        database.execute("PRAGMA page_size = 512")
        database.execute("CREATE TABLE t (c BLOB)")
        database.executemany(
            "INSERT INTO t VALUES (?)", [(b"." * filling + octets,) for filling in range(480, 1000)]
        )
        database.commit()
