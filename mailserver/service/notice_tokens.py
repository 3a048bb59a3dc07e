"""The mark of a notice to an ordinary address: what brings a report about it back to its job.

It stands in the return path, the ENVID and the Message-ID. It is the job's random id with a MAC, so that it names
nobody to those who read it, none can be made up, and it is worth nothing once the job's time is over.
"""

import base64
import re
from collections.abc import Iterable

from mailserver.config.notices import TAG_CHARACTERS
from mailserver.crypto.hkdf import verify_mac
from mailserver.model.ids import ID_BYTES, JobId
from mailserver.store.row_macs import RowMacs

MAC_BYTES = 10
TOKEN_CHARACTERS = TAG_CHARACTERS
"""Letters and digits that keep their meaning when a server on the way changes their case (base32)."""
_ALPHABET = rb"[A-Za-z2-7]"
_TOKEN = re.compile(
    rb"(?<!%b)%b{%d}(?!%b)" % (_ALPHABET, _ALPHABET, TOKEN_CHARACTERS, _ALPHABET)
)  # whole words only


def format_token(macs: RowMacs, job_id: JobId) -> str:
    return base64.b32encode(job_id + _mac(macs, job_id)).rstrip(b"=").decode().lower()


def find_jobs(macs: RowMacs, words: Iterable[bytes]) -> tuple[JobId, ...]:
    """The jobs whose marks stand in these words; a mark that is not ours is none."""
    found = dict.fromkeys(each for word in words for each in _TOKEN.findall(word))
    jobs = (_open(macs, each) for each in found)
    return tuple(dict.fromkeys(each for each in jobs if each is not None))


def _open(macs: RowMacs, token: bytes) -> JobId | None:
    octets = base64.b32decode(token.upper() + b"=" * (-TOKEN_CHARACTERS % 8))
    job_id = JobId(octets[:ID_BYTES])
    return job_id if verify_mac(octets[ID_BYTES:], _mac(macs, job_id)) else None


def _mac(macs: RowMacs, job_id: JobId) -> bytes:
    return macs.sign("notice-token", (job_id,))[:MAC_BYTES]
