"""A process that composes a mail whose file never ends: it says how many unnamed files it holds, and waits to be killed."""

import itertools
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from mailserver.documents.mss_headers import MssHeaders
from mailserver.mime.composer import FileToAttach, Letter, Person
from mailserver.model.address import parse_address
from mailserver.service.composing import compose_mail
from mailserver.service.intake import Intake
from mailserver.store.blob_folder import BlobFolder


def endless(folder: Path) -> Iterator[bytes]:
    for count in itertools.count():
        yield b"IHE_XDM/SUBSET01/DOC0001.XML" * 4096
        if count == 8:
            links = [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
            print(sum(each.startswith(str(folder)) for each in links), flush=True)
            sys.stdin.read()


def main() -> None:
    folder = Path(sys.argv[1])
    blobs = BlobFolder(folder)
    person = Person(parse_address("doc@a.localhost"))
    letter = Letter(person, (person,), "x", "Bonjour", datetime(2026, 3, 2, tzinfo=UTC), "<x@a.localhost>")
    files = iter([FileToAttach("IHE_XDM.zip", "application/zip", endless(folder))])
    compose_mail(lambda: Intake(blobs, 1 << 30), letter, "nonce12345", files, lambda _mail: MssHeaders())


if __name__ == "__main__":
    main()
