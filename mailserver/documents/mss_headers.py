"""The X-MSS headers (``facts/mssante`` §3.3): computed for what we write, compared with the content of what we carry.

The national names have hyphens; one vendor prints underscores, which are read where the hyphens are absent. What a
header states and what an archive holds are two claims of one sender: a difference shows a fault, never who is right.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from mailserver.documents.coherence import XdmDocument, XdmReading, is_announced
from mailserver.documents.patient_address import find_ins
from mailserver.mime.headers import HeaderBlock
from mailserver.model.patient import INS_OIDS

CODES, INS, PRODUCT, END = "X-MSS-CODECDA", "X-MSS-INS", "X-MSS-NIL", "X-MSS-MES"
_SPELLINGS = {
    name: (name.lower().encode(), name.lower().replace("-", "_").encode()) for name in (CODES, INS, END)
}
QUALIFIED, UNQUALIFIED = "O", "N"
END_VALUE = "FIN"
_CODE = re.compile(r"[!-+\--~]{1,60}")
"""A code that stands in the list as it is: printable ASCII without a space or comma."""
_LINE_CHARACTERS = 900
"""Of codes with nothing between them but commas; a longer list is folded after one (RFC 5322 §2.1.1)."""


class MssMismatch(StrEnum):
    """What differs; a word that is safe to log."""

    CODES_WITHOUT_CDA = "codes-without-cda"
    CODES_DIFFER = "codes-differ"
    INS_UNREADABLE = "ins-unreadable"
    INS_DIFFERS = "ins-differs"


@dataclass(frozen=True, slots=True)
class MssHeaders:
    """What a message's header should say. ``is_ins_qualified`` is None when no CDA is attached."""

    codes: tuple[str, ...] = ()
    is_ins_qualified: bool | None = None
    product: str = ""
    ends_exchange: bool = False

    @property
    def are_codes_writable(self) -> bool:
        """Whether who reads the list finds these very codes."""
        return all(_CODE.fullmatch(code) for code in self.codes)

    def fields(self) -> tuple[tuple[str, str], ...]:
        """Names and values for the composer; what does not apply is left out."""
        ins = UNQUALIFIED if self.is_ins_qualified is False else QUALIFIED
        values = (
            (CODES, _list(self.codes)),
            (INS, "" if self.is_ins_qualified is None else ins),
            (PRODUCT, self.product),
            (END, END_VALUE if self.ends_exchange else ""),
        )
        return tuple((name, value) for name, value in values if value)


@dataclass(frozen=True, slots=True)
class StatedMss:
    """The values as a message states them, None for an absent header."""

    codes: str | None = None
    ins: str | None = None
    end_mark: str | None = None

    @property
    def has_claims(self) -> bool:
        """Whether anything is said of the content."""
        return self.codes is not None or self.ins is not None


def compute_mss_headers(
    reading: XdmReading | None, product: str = "", *, ends_exchange: bool = False
) -> MssHeaders:
    """The header of a message that carries ``reading``, None for no archive. ``product``: the reference of Convergence."""
    cdas = [] if reading is None else [each for each in reading.documents if each.header is not None]
    codes = tuple(each.header.code.code for each in cdas if each.header is not None)
    is_qualified = all(map(_is_qualified, cdas)) if cdas else None
    return MssHeaders(codes, is_qualified, product, ends_exchange)


def read_mss_headers(block: HeaderBlock) -> StatedMss:
    """Never raises."""
    return StatedMss(_find(block, CODES), _find(block, INS), _find(block, END))


def find_mss_mismatch(stated: StatedMss, reading: XdmReading | None) -> MssMismatch | None:
    """The first difference between the header and the archive; an absent header differs from nothing."""
    expected = compute_mss_headers(reading)
    if stated.codes is not None:
        if reading is None or not expected.codes:
            return MssMismatch.CODES_WITHOUT_CDA
        if not is_announced(reading, stated.codes):
            return MssMismatch.CODES_DIFFER
    if stated.ins is None or expected.is_ins_qualified is None:
        return None
    if stated.ins not in {QUALIFIED, UNQUALIFIED}:
        return MssMismatch.INS_UNREADABLE
    is_same = (stated.ins == QUALIFIED) is expected.is_ins_qualified
    return None if is_same else MssMismatch.INS_DIFFERS


def _list(codes: tuple[str, ...]) -> str:
    lines = [""]
    for code in codes:
        if len(lines[-1]) + len(code) >= _LINE_CHARACTERS:
            lines.append("")
        lines[-1] += f"{code},"
    return " ".join(lines)[:-1]


def _is_qualified(document: XdmDocument) -> bool:
    """Number, OID and traits are there (ECO.2.4.2). How they were checked is the sender's knowledge alone."""
    patient = document.entry.patient
    ins = None if patient is None else find_ins(patient)
    if ins is None or ins.oid not in INS_OIDS or document.header is None:
        return False
    return any(
        bool(each.family_names and each.given_names and each.gender and each.birth_date)
        for each in document.header.patients
    )


def _find(block: HeaderBlock, name: str) -> str | None:
    hyphens, underscores = _SPELLINGS[name]
    value = block.find(hyphens)
    if value is None:
        value = block.find(underscores)
    return None if value is None else value.decode("ascii", "replace")
