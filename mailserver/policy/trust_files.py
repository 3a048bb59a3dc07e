"""Files of trust lists: read with a bound, replaced in one step that a crash cannot halve."""

import os
from pathlib import Path

from mailserver.crypto.xmldsig import DOCUMENT_BYTES
from mailserver.model.errors import Malformed, Unavailable


def read_list_file(path: Path) -> bytes:
    """At most one octet over what a list may have. Raises Malformed("trust-list-unreadable")."""
    try:
        with path.open("rb") as file:
            return file.read(DOCUMENT_BYTES + 1)
    except OSError as error:
        raise Malformed("trust-list-unreadable") from error


def replace_durably(path: Path, data: bytes) -> None:
    """Write beside, sync, rename, sync the folder. Raises Unavailable("trust-list-disk"); the old file then stays."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise Unavailable("trust-list-disk") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
