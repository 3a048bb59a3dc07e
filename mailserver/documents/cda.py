"""The header of a CDA release 2 document, and the file that a level 1 body carries (HL7 CDA R2 §4).

Invariants: the structured body is dropped while streaming and a level 1 payload never enters the tree, so memory
follows the header; exactly one document root in urn:hl7-org:v3 with an id and a code. The identity is not judged
here. Raises Malformed or OverLimit with a SetAsideReason as code.
"""

import base64
import binascii
from dataclasses import dataclass, field
from datetime import date, datetime

from lxml import etree

from mailserver.documents.codes import Code
from mailserver.documents.hl7 import Author, Institution, PatientId, Person, find_date, find_time
from mailserver.documents.markup import Markup, MarkupLimits, parse_streamed
from mailserver.documents.reasons import SetAsideReason
from mailserver.model.errors import Malformed

LIMITS = MarkupLimits(max_bytes=64 * 1024 * 1024, max_nodes=500_000)
_V3 = "{urn:hl7-org:v3}"
_ROOT = f"{_V3}ClinicalDocument"
_TEXT = f"{_V3}text"
_STRUCTURED = f"{_V3}structuredBody"
_NAMESPACE = {"v": "urn:hl7-org:v3"}
_SNIFFED_BYTES = 65_536
_RPLC = "RPLC"


@dataclass(frozen=True, slots=True)
class InstanceId:
    """An HL7 II: root OID or UUID, and an optional extension."""

    root: str
    extension: str = ""

    @property
    def unique_id(self) -> str:
        """The form that XDS uses for uniqueId (IHE PCC TF-2 §4.1.1)."""
        return f"{self.root}^{self.extension}" if self.extension else self.root


@dataclass(frozen=True, slots=True)
class CdaPatient:
    """A recordTarget. ``gender`` is F, M, UN or empty."""

    ids: tuple[PatientId, ...] = field(repr=False)
    family_names: tuple[str, ...] = field(repr=False)
    given_names: tuple[str, ...] = field(repr=False)
    gender: str = field(repr=False)
    birth_date: date | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class CdaHeader:
    """What the header says. ``embedded_media_type`` is None unless the body is level 1."""

    document_id: InstanceId
    set_id: InstanceId | None
    version: str
    code: Code
    title: str = field(repr=False)
    effective: datetime | None
    language: str
    confidentiality: tuple[Code, ...]
    patients: tuple[CdaPatient, ...] = field(repr=False)
    authors: tuple[Author, ...]
    custodian: Institution | None
    legal_authenticator: Person | None
    replaces: InstanceId | None
    embedded_media_type: str | None


def is_cda(data: bytes) -> bool:
    """Whether the bytes look like a CDA, whatever their announced media type."""
    head = data[:_SNIFFED_BYTES]
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<") and b"ClinicalDocument" in head


def parse_cda_header(data: bytes) -> CdaHeader:
    """The header of a CDA. Raises Malformed (``malformed-cda``, ``doctype``) or OverLimit."""
    root = _parse(data, frozenset({_STRUCTURED, _TEXT})).root
    code = _code(root, "v:code")
    document_id = _instance(root, "v:id")
    if code is None or document_id is None:
        raise Malformed(SetAsideReason.MALFORMED_CDA, "id or code")
    body = _first(root, "v:component/v:nonXMLBody/v:text")
    custodian = _first(root, "v:custodian/v:assignedCustodian/v:representedCustodianOrganization")
    authenticator = _first(root, "v:legalAuthenticator/v:assignedEntity")
    confidentiality = (_code_of(element) for element in _all(root, "v:confidentialityCode"))
    return CdaHeader(
        document_id=document_id,
        set_id=_instance(root, "v:setId"),
        version=_attribute(root, "v:versionNumber", "value"),
        code=code,
        title=_text(_first(root, "v:title")),
        effective=find_time(_attribute(root, "v:effectiveTime", "value")),
        language=_attribute(root, "v:languageCode", "code"),
        confidentiality=tuple(found for found in confidentiality if found is not None),
        patients=tuple(_patient(role) for role in _all(root, "v:recordTarget/v:patientRole")),
        authors=tuple(_author(element) for element in _all(root, "v:author/v:assignedAuthor")),
        custodian=None if custodian is None else _institution(custodian),
        legal_authenticator=None if authenticator is None else _person(authenticator),
        replaces=_replaced(root),
        embedded_media_type=None if body is None else body.get("mediaType", "").strip().lower(),
    )


def extract_embedded(data: bytes) -> tuple[str, bytes]:
    """Media type and bytes of a level 1 body. Raises Malformed when there is none or it is not plain base64."""
    parsed = _parse(data, frozenset({_STRUCTURED}))
    body = _first(parsed.root, "v:component/v:nonXMLBody/v:text")
    if body is None:
        raise Malformed(SetAsideReason.MALFORMED_CDA, "not level 1")
    if sum(1 for _ in parsed.root.iter(_TEXT)) != 1:
        raise Malformed(SetAsideReason.MALFORMED_CDA, "several bodies")
    if body.get("representation") != "B64" or body.get("compression") is not None:
        raise Malformed(SetAsideReason.MALFORMED_CDA, "body representation")
    try:
        content = base64.b64decode("".join(parsed.held.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(SetAsideReason.MALFORMED_CDA, "base64") from error
    return body.get("mediaType", "").strip().lower(), content


def _parse(data: bytes, dropped: frozenset[str]) -> Markup:
    parsed = parse_streamed(data, LIMITS, SetAsideReason.MALFORMED_CDA, dropped=dropped, holding=_TEXT)
    if parsed.root.tag != _ROOT:
        raise Malformed(SetAsideReason.MALFORMED_CDA, "root")
    return parsed


def _replaced(root: etree._Element) -> InstanceId | None:
    for related in _all(root, "v:relatedDocument"):
        if related.get("typeCode") == _RPLC:
            return _instance(related, "v:parentDocument/v:id")
    return None


def _patient(role: etree._Element) -> CdaPatient:
    names = _all(role, "v:patient/v:name")
    return CdaPatient(
        ids=tuple(
            PatientId(one.root, one.extension)
            for element in _all(role, "v:id")
            if (one := _instance_of(element)) is not None
        ),
        family_names=tuple(_text(part) for name in names for part in _all(name, "v:family")),
        given_names=tuple(_text(part) for name in names for part in _all(name, "v:given")),
        gender=_attribute(role, "v:patient/v:administrativeGenderCode", "code"),
        birth_date=find_date(_attribute(role, "v:patient/v:birthTime", "value")),
    )


def _author(element: etree._Element) -> Author:
    organization = _first(element, "v:representedOrganization")
    specialty = _code(element, "v:code")
    return Author(
        _person(element),
        () if organization is None else (_institution(organization),),
        specialty=specialty.label or specialty.code if specialty else "",
    )


def _person(element: etree._Element) -> Person:
    identity = _instance(element, "v:id") or InstanceId("")
    name = _first(element, "v:assignedPerson/v:name")
    family = "" if name is None else _text(_first(name, "v:family"))
    given = "" if name is None else _text(_first(name, "v:given"))
    return Person(identity.extension, identity.root, family, given)


def _institution(element: etree._Element) -> Institution:
    identity = _instance(element, "v:id") or InstanceId("")
    return Institution(_text(_first(element, "v:name")), identity.extension, identity.root)


def _code(element: etree._Element, path: str) -> Code | None:
    found = _first(element, path)
    return None if found is None else _code_of(found)


def _code_of(element: etree._Element) -> Code | None:
    code = element.get("code", "").strip()
    if not code:
        return None
    return Code(code, element.get("codeSystem", "").strip(), element.get("displayName", "").strip())


def _instance(element: etree._Element, path: str) -> InstanceId | None:
    found = _first(element, path)
    return None if found is None else _instance_of(found)


def _instance_of(element: etree._Element) -> InstanceId | None:
    root = element.get("root", "").strip()
    return InstanceId(root, element.get("extension", "").strip()) if root else None


def _attribute(element: etree._Element, path: str, name: str) -> str:
    found = _first(element, path)
    return "" if found is None else found.get(name, "").strip()


def _text(element: etree._Element | None) -> str:
    if element is None:
        return ""
    return " ".join("".join(str(part) for part in element.itertext()).split())


def _first(element: etree._Element, path: str) -> etree._Element | None:
    return element.find(path, _NAMESPACE)


def _all(element: etree._Element, path: str) -> list[etree._Element]:
    return element.findall(path, _NAMESPACE)
