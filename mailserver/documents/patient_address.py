"""Patient addresses and identities: ``<INS number>@…`` (facts §2.2) and what makes two identities one.

Invariants: an address holds the number only, so it never proves an identity by itself; number **and** OID must
match, because two authorities may assign the same digits.
"""

from mailserver.documents.hl7 import PatientId
from mailserver.model.errors import Malformed
from mailserver.model.patient import Ins


def format_patient_local(ins: Ins) -> str:
    """The local part of this person's address."""
    return ins.number.lower()


def is_addressed_to(local: str, ins: Ins) -> bool:
    """Whether the local part is this person's; False for any other shape."""
    return local.upper() == ins.number


def is_same_patient(patient: PatientId | None, ins: Ins) -> bool:
    """Number and OID, exactly; an incomplete identity is nobody's."""
    return (
        patient is not None and patient.is_complete and (patient.oid, patient.number) == (ins.oid, ins.number)
    )


def find_ins(patient: PatientId) -> Ins | None:
    """The identity as an Ins, or None when it is incomplete, misshapen or its key is wrong."""
    try:
        return Ins(patient.oid, patient.number)
    except Malformed:
        return None
