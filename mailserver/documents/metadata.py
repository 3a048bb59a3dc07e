"""METADATA.XML: an ebRIM 3.0 SubmitObjectsRequest with its XDS meaning (IHE ITI TF-3 §4.2).

Invariants: exactly one submission set; slots and codes are kept as written, dates become UTC; the patient id is not
judged here. What the field writes carelessly (BOM, unprefixed association types, no SubmissionSet link) is kept as a
warning. Raises Malformed or OverLimit with a SetAsideReason as code.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from lxml import etree

from mailserver.documents.codes import Code
from mailserver.documents.hl7 import (
    Author,
    PatientId,
    Person,
    find_time,
    parse_institution,
    parse_patient_id,
    parse_person,
)
from mailserver.documents.markup import BYTE_ORDER_MARK, MarkupLimits, parse_markup
from mailserver.documents.reasons import SetAsideReason, WarningCode, XdmWarning
from mailserver.model.errors import Malformed, OverLimit

MAX_DOCUMENTS = 1000
LIMITS = MarkupLimits(max_bytes=4 * 1024 * 1024, max_nodes=200_000)
_LCM = "{urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0}"
_RIM = "{urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0}"
_REQUEST = "SubmitObjectsRequest"
_REPLACES = ("urn:ihe:iti:2007:AssociationType:RPLC", "RPLC")
_HAS_MEMBER = "urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember"
_URI_CHUNK = re.compile(r"[0-9]+\|")

# Fixed UUIDs of IHE ITI TF-3 §4.2.5.1
_SUBMISSION_SET_NODE = "urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd"
_DOC_AUTHOR = "urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d"
_DOC_CLASS = "urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a"
_DOC_TYPE = "urn:uuid:f0306f51-975f-434e-a61c-c59651d33983"
_DOC_FORMAT = "urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d"
_DOC_CONFIDENTIALITY = "urn:uuid:f4f85eac-e6cb-4883-b524-f2705394840f"
_DOC_FACILITY = "urn:uuid:f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1"
_DOC_SETTING = "urn:uuid:cccf5598-8b07-4b77-a05e-ae952c785ead"
_DOC_PATIENT = "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427"
_DOC_UNIQUE_ID = "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab"
_SET_AUTHOR = "urn:uuid:a7058bb9-b4e4-4307-ba5b-e3f0ab85e12d"
_SET_CONTENT_TYPE = "urn:uuid:aa543740-bdda-424e-8c96-df4873be8500"
_SET_PATIENT = "urn:uuid:6b5aea1a-874d-4603-a4bc-96a0a7b38446"
_SET_SOURCE_ID = "urn:uuid:554ac39e-e3fe-47fe-b233-965d2a147832"
_SET_UNIQUE_ID = "urn:uuid:96fdda7c-d067-4183-912e-bf5ee74998a8"


class DocumentAction(StrEnum):
    """The French ``action`` item: file, replace, or delete a document sent before."""

    ADD = ""
    REPLACE = "C"
    DELETE = "D"


@dataclass(frozen=True, slots=True)
class SubmissionSet:
    """One lot: who sends what, about whom, when. Absent values are empty or None."""

    entry_id: str
    unique_id: str
    source_id: str
    title: str
    submitted: datetime | None
    patient: PatientId | None = field(repr=False)
    content_type: Code | None
    authors: tuple[Author, ...]
    recipients: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DocumentEntry:
    """One announced document. ``sha1`` is lower-case text as stated; ``size`` in bytes; times are UTC."""

    entry_id: str
    logical_id: str
    unique_id: str
    title: str = field(repr=False)
    media_type: str
    uri: str
    sha1: str
    size: int | None
    patient: PatientId | None = field(repr=False)
    source_patient: PatientId | None = field(repr=False)
    class_code: Code | None
    type_code: Code | None
    format_code: Code | None
    facility: Code | None
    practice_setting: Code | None
    confidentiality: tuple[Code, ...]
    authors: tuple[Author, ...]
    legal_authenticator: Person | None
    created: datetime | None
    service_start: datetime | None
    service_stop: datetime | None
    language: str
    availability: str
    action: DocumentAction
    replaces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Metadata:
    """The content of one METADATA.XML. A warning's ``document`` is the rank in ``documents``, from 1."""

    submission_set: SubmissionSet
    documents: tuple[DocumentEntry, ...]
    warnings: tuple[XdmWarning, ...]


class _Object:
    """One registry object's slots, classifications and identifiers, read once."""

    def __init__(self, element: etree._Element) -> None:
        self._element = element
        self.entry_id = element.get("id", "").strip()
        self.slots = _slots(element)
        self.has_bad_date = False

    def attribute(self, name: str) -> str:
        return self._element.get(name, "").strip()

    def slot(self, name: str) -> str:
        return self.slots.get(name, ("",))[0]

    def time(self, name: str) -> datetime | None:
        text = self.slot(name)
        moment = find_time(text) if text else None
        self.has_bad_date |= bool(text) and moment is None
        return moment

    @property
    def title(self) -> str:
        return _localized(self._element)

    def identifier(self, scheme: str) -> str:
        for element in self._element.iterchildren(f"{_RIM}ExternalIdentifier"):
            if element.get("identificationScheme") == scheme:
                return element.get("value", "").strip()
        return ""

    def patient(self, scheme: str) -> PatientId | None:
        text = self.identifier(scheme)
        return parse_patient_id(text) if text else None

    def codes(self, scheme: str) -> tuple[Code, ...]:
        found = (
            Code(
                element.get("nodeRepresentation", "").strip(),
                _slots(element).get("codingScheme", ("",))[0],
                _localized(element),
            )
            for element in self._classifications(scheme)
        )
        return tuple(code for code in found if code.code)

    def code(self, scheme: str) -> Code | None:
        return next(iter(self.codes(scheme)), None)

    def authors(self, scheme: str) -> tuple[Author, ...]:
        return tuple(_author(_slots(element)) for element in self._classifications(scheme))

    def _classifications(self, scheme: str) -> Iterator[etree._Element]:
        for element in self._element.iterchildren(f"{_RIM}Classification"):
            if element.get("classificationScheme") == scheme:
                yield element


def parse_metadata(data: bytes) -> Metadata:
    """METADATA.XML → Metadata. Raises Malformed or OverLimit with a SetAsideReason as code."""
    root = parse_markup(data, LIMITS, SetAsideReason.MALFORMED_METADATA)
    objects = _object_list(root)
    set_element = _submission_set_element(objects)
    warnings = [XdmWarning(WarningCode.BYTE_ORDER_MARK)] if data.startswith(BYTE_ORDER_MARK) else []
    members, replaces, has_short_type = _associations(objects)
    if has_short_type:
        warnings.append(XdmWarning(WarningCode.SHORT_ASSOCIATION))
    submission_set, has_bad_date = _submission_set(_Object(set_element))
    if has_bad_date:
        warnings.append(XdmWarning(WarningCode.DATE_UNREADABLE))
    documents = []
    elements = list(objects.iterchildren(f"{_RIM}ExtrinsicObject"))
    if len(elements) > MAX_DOCUMENTS:
        raise OverLimit(SetAsideReason.MARKUP_TOO_LARGE, f"over {MAX_DOCUMENTS} documents")
    for rank, element in enumerate(elements, start=1):
        entry_object = _Object(element)
        documents.append(_document(entry_object, replaces.get(entry_object.entry_id, ())))
        if entry_object.has_bad_date:
            warnings.append(XdmWarning(WarningCode.DATE_UNREADABLE, rank))
        if entry_object.entry_id not in members:
            warnings.append(XdmWarning(WarningCode.NOT_A_MEMBER, rank))
    return Metadata(submission_set, tuple(documents), tuple(warnings))


def _object_list(root: etree._Element) -> etree._Element:
    request = root if etree.QName(root).localname == _REQUEST else _child(root, f"{_LCM}{_REQUEST}")
    if request is not None and request.tag == f"{_LCM}{_REQUEST}":
        objects = _child(request, f"{_RIM}RegistryObjectList")
        if objects is not None:
            return objects
    if ":2.1" in root.tag or ":2.1" in str(root.nsmap):
        # ebRIM 2.1 (XDS.a) names its namespaces …:xsd:2.1
        raise Malformed(SetAsideReason.METADATA_VERSION)
    raise Malformed(SetAsideReason.MALFORMED_METADATA, "request")


def _submission_set_element(objects: etree._Element) -> etree._Element:
    """The one package classified as a submission set; folders are packages too."""
    chosen = {
        element.get("classifiedObject")
        for element in objects.iter(f"{_RIM}Classification")
        if element.get("classificationNode") == _SUBMISSION_SET_NODE
    }
    packages = [
        element for element in objects.iterchildren(f"{_RIM}RegistryPackage") if element.get("id") in chosen
    ]
    if len(packages) != 1:
        raise Malformed(SetAsideReason.MALFORMED_METADATA, f"{len(packages)} submission sets")
    return packages[0]


def _associations(objects: etree._Element) -> tuple[frozenset[str], dict[str, tuple[str, ...]], bool]:
    """Members of the set, what each document replaces, and whether a type lacks its prefix."""
    members: set[str] = set()
    replaces: dict[str, list[str]] = {}
    has_short_type = False
    for element in objects.iterchildren(f"{_RIM}Association"):
        kind = element.get("associationType", "").strip()
        source, target = element.get("sourceObject", "").strip(), element.get("targetObject", "").strip()
        has_short_type |= ":" not in kind
        if kind.rpartition(":")[2] == "HasMember":
            members.add(target)
        elif kind in _REPLACES:
            replaces.setdefault(source, []).append(target)
    return frozenset(members), {source: tuple(found) for source, found in replaces.items()}, has_short_type


def _submission_set(source: _Object) -> tuple[SubmissionSet, bool]:
    submission_set = SubmissionSet(
        entry_id=source.entry_id,
        unique_id=source.identifier(_SET_UNIQUE_ID),
        source_id=source.identifier(_SET_SOURCE_ID),
        title=source.title,
        submitted=source.time("submissionTime"),
        patient=source.patient(_SET_PATIENT),
        content_type=source.code(_SET_CONTENT_TYPE),
        authors=source.authors(_SET_AUTHOR),
        recipients=source.slots.get("intendedRecipient", ()),
    )
    return submission_set, source.has_bad_date


def _document(source: _Object, replaces: tuple[str, ...]) -> DocumentEntry:
    source_patient = source.slot("sourcePatientId")
    authenticator = source.slot("legalAuthenticator")
    return DocumentEntry(
        entry_id=source.entry_id,
        logical_id=source.attribute("lid") or source.entry_id,
        unique_id=source.identifier(_DOC_UNIQUE_ID),
        title=source.title,
        media_type=source.attribute("mimeType").lower(),
        uri="".join(_URI_CHUNK.sub("", chunk, count=1) for chunk in source.slots.get("URI", ())),
        sha1=source.slot("hash"),
        size=_size(source.slot("size")),
        patient=source.patient(_DOC_PATIENT),
        source_patient=parse_patient_id(source_patient) if source_patient else None,
        class_code=source.code(_DOC_CLASS),
        type_code=source.code(_DOC_TYPE),
        format_code=source.code(_DOC_FORMAT),
        facility=source.code(_DOC_FACILITY),
        practice_setting=source.code(_DOC_SETTING),
        confidentiality=source.codes(_DOC_CONFIDENTIALITY),
        authors=source.authors(_DOC_AUTHOR),
        legal_authenticator=parse_person(authenticator) if authenticator else None,
        created=source.time("creationTime"),
        service_start=source.time("serviceStartTime"),
        service_stop=source.time("serviceStopTime"),
        language=source.slot("languageCode"),
        availability=source.attribute("status").rpartition(":")[2],
        action=_action(source.slot("action")),
        replaces=replaces,
    )


def _action(text: str) -> DocumentAction:
    """An unknown action must not be taken for an addition."""
    try:
        return DocumentAction(text.upper())
    except ValueError as error:
        raise Malformed(SetAsideReason.MALFORMED_METADATA, "action") from error


def _size(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise Malformed(SetAsideReason.MALFORMED_METADATA, "size")
    return int(text)


def _author(slots: dict[str, tuple[str, ...]]) -> Author:
    return Author(
        parse_person(slots.get("authorPerson", ("",))[0]),
        tuple(parse_institution(text) for text in slots.get("authorInstitution", ())),
        slots.get("authorRole", ("",))[0],
        slots.get("authorSpecialty", ("",))[0],
    )


def _slots(element: etree._Element) -> dict[str, tuple[str, ...]]:
    """Slot name → its non-empty values; a name written twice keeps the first, as one meaning must win."""
    slots: dict[str, tuple[str, ...]] = {}
    for slot in element.iterchildren(f"{_RIM}Slot"):
        values = tuple(text for value in slot.iter(f"{_RIM}Value") if (text := (value.text or "").strip()))
        if values:
            slots.setdefault(slot.get("name", ""), values)
    return slots


def _localized(element: etree._Element) -> str:
    name = _child(element, f"{_RIM}Name")
    localized = None if name is None else _child(name, f"{_RIM}LocalizedString")
    return "" if localized is None else localized.get("value", "").strip()


def _child(element: etree._Element, tag: str) -> etree._Element | None:
    return next(element.iterchildren(tag), None)
