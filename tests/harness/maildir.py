"""A tree of Maildir folders as a synchroniser leaves it; what a person does to their mail there."""

import re
from pathlib import Path

from harness.imap_transcript import message

FLAGS = {"S": "\\Seen", "F": "\\Flagged", "R": "\\Answered", "D": "\\Draft", "T": "\\Deleted"}


class MaildirTree:
    """``root/INBOX/cur`` and so on. Messages go by their number, as in ``imap_transcript.message``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def look(self, mailbox: str = "INBOX") -> dict[int, set[str]]:
        """Flags by number."""
        files = self._files(mailbox)
        return {number: {FLAGS[letter] for letter in letters_of(path)} for number, path in files.items()}

    def add(self, mailbox: str, number: int) -> None:
        path = self._root / mailbox / "new" / f"{number}.new.localhost"
        path.write_bytes(message(number).replace(b"\r\n", b"\n"))

    def mark(self, mailbox: str, number: int, letters: str) -> None:
        path = self._files(mailbox)[number]
        path.rename(self._root / mailbox / "cur" / f"{path.name.split(':')[0]}:2,{letters}")

    def move(self, number: int, mailbox: str, target: str) -> None:
        """As a mail reader does: into the other folder under a name of its own, its flags kept."""
        path = self._files(mailbox)[number]
        letters = "".join(sorted(letters_of(path)))
        path.rename(self._root / target / "cur" / f"{number}.moved.localhost:2,{letters}")

    def delete(self, mailbox: str, number: int) -> None:
        self._files(mailbox)[number].unlink()

    def _files(self, mailbox: str) -> dict[int, Path]:
        found: dict[int, Path] = {}
        for path in (self._root / mailbox).glob("[nc]*/*"):
            text = path.read_bytes()
            number = int(re.search(rb"^Subject: Pli (\d+)", text, re.MULTILINE)[1])
            assert text.endswith(b"\n\nLigne %d\n" % number), (mailbox, text)
            assert number not in found, f"twice in {mailbox}"
            found[number] = path
        return found


def letters_of(path: Path) -> set[str]:
    return set(path.name.partition(":2,")[2])
