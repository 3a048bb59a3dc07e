"""French code tables as versioned data: document types with their class, classes, confidentiality.

The tables move several times a year: they are JSON files beside this module, each with its version and source, read
once. A code that a table does not know is not an error; it is shown as the sender labelled it.
"""

import json
from dataclasses import dataclass
from enum import IntFlag
from functools import cache
from importlib import resources
from typing import TypedDict


@dataclass(frozen=True, slots=True)
class Code:
    """A coded value: the code, its system (an OID, or whatever was written), its label as written."""

    code: str
    scheme: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class DocumentType:
    """A document type; ``class_code`` is empty where the table gives none."""

    code: Code
    class_code: str


@dataclass(frozen=True, slots=True)
class CodeTable:
    """One data file: where it comes from, its version, its rows by code."""

    version: str
    source: str
    rows: dict[str, DocumentType]


class Visibility(IntFlag):
    """Masks of a document (facts §4.5); none set means visible to all who may read."""

    VISIBLE = 0
    HIDDEN_FROM_PROFESSIONALS = 1
    HIDDEN_FROM_PATIENT = 2
    HIDDEN_FROM_REPRESENTATIVES = 4


_MASKS = {
    "MASQUE_PS": Visibility.HIDDEN_FROM_PROFESSIONALS,
    "INVISIBLE_PATIENT": Visibility.HIDDEN_FROM_PATIENT,
    "INVISIBLE_REPRESENTANTS_LEGAUX": Visibility.HIDDEN_FROM_REPRESENTATIVES,
}


class _Row(TypedDict, total=False):
    code: str
    system: str
    label: str
    # "class" is a keyword: the file says class_code
    class_code: str


class _File(TypedDict):
    version: str
    source: str
    rows: list[_Row]


@cache
def load_document_types() -> CodeTable:
    """XDS typeCode: label and class by table ASS_X04."""
    return _load("document-types.json")


@cache
def load_document_classes() -> CodeTable:
    return _load("document-classes.json")


@cache
def load_confidentiality() -> CodeTable:
    return _load("confidentiality.json")


def find_document_type(code: str) -> DocumentType | None:
    return load_document_types().rows.get(code)


def find_type_label(code: Code | None) -> str | None:
    """The French label of a type: the table's, else the sender's; None when neither has one."""
    if code is None:
        return None
    known = find_document_type(code.code)
    return known.code.label if known else code.label or None


def find_class_label(code: str) -> str | None:
    known = load_document_classes().rows.get(code)
    return known.code.label if known else None


def visibility_of(codes: tuple[Code, ...]) -> Visibility:
    """The masks among confidentiality codes; the code alone counts, so that a wrong system still hides."""
    visibility = Visibility.VISIBLE
    for code in codes:
        visibility |= _MASKS.get(code.code.upper(), Visibility.VISIBLE)
    return visibility


def _load(name: str) -> CodeTable:
    text = resources.files(__package__).joinpath("data", name).read_text(encoding="utf-8")
    content: _File = json.loads(text)
    rows = (
        DocumentType(Code(row["code"], row["system"], row["label"]), row.get("class_code", ""))
        for row in content["rows"]
    )
    return CodeTable(content["version"], content["source"], {row.code.code: row for row in rows})
