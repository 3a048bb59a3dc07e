"""``[large]``: files of large mail that stay here."""

from dataclasses import dataclass

from mailserver.config import rules
from mailserver.config.rules import key


@dataclass(frozen=True, slots=True)
class LargeConfig:
    limit_bytes: int = key(
        734003200,
        "Largest message that our own people may hand in. When it is over threshold_bytes, its largest files stay here, "
        "sealed, and the message says where and how to fetch them. 0: no file is kept.",
        rules.LARGE_BYTES,
    )
    threshold_bytes: int = key(
        26214400,
        "Size over which files are kept apart: what travels is never larger. Lower it where other operators take less.",
        rules.MESSAGE_BYTES,
    )
    days: int = key(30, "How long they are kept.", rules.KEPT_DAYS)
