"""Patient identity: the INS (facts/mssante §2.2) as OID and number."""

import re
from dataclasses import dataclass

from mailserver.model.errors import Malformed

INS_OIDS = {
    "1.2.250.1.213.1.4.8": "INS-NIR",
    "1.2.250.1.213.1.4.9": "INS-NIA",
    "1.2.250.1.213.1.4.10": "INS-NIR test",
    "1.2.250.1.213.1.4.11": "INS-NIR demonstration",
}
_OID = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*)){1,40}")
_NUMBER = re.compile(r"[0-9]{6}[0-9AB][0-9]{8}")


@dataclass(frozen=True, slots=True)
class Ins:
    """An insurance identity: assigning OID and 15-character number. Never logged, never in a URL."""

    oid: str
    number: str

    def __post_init__(self) -> None:
        if not _OID.fullmatch(self.oid):
            raise Malformed("ins-oid")
        if not _NUMBER.fullmatch(self.number):
            raise Malformed("ins-number")
        if not has_valid_key(self.number):
            raise Malformed("ins-key")

    def __repr__(self) -> str:
        return "Ins(…)"


def has_valid_key(number: str) -> bool:
    """Control key: 97 − (first 13 digits mod 97); Corsica's 2A counts as 19, 2B as 18."""
    body = number[:13].replace("2A", "19").replace("2B", "18")
    return body.isdigit() and number[13:].isdigit() and int(number[13:]) == 97 - int(body) % 97


def has_patient_shape(local: str) -> bool:
    """Whether a local part has the fifteen signs of an insurance number, whatever its key."""
    return bool(_NUMBER.fullmatch(local.upper()))


def is_patient_local(local: str) -> bool:
    """Whether a local part is a patient's: an insurance number whose key is right (``facts/mssante`` §2.2)."""
    return has_patient_shape(local) and has_valid_key(local.upper())


def parse_ins(text: str) -> Ins:
    """``OID|NUMBER`` → Ins. Raises Malformed."""
    oid, bar, number = text.partition("|")
    if not bar:
        raise Malformed("ins-syntax")
    return Ins(oid.strip(), number.strip())
