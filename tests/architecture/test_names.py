"""Names say what they promise: no drawer modules, and verbs whose results are always of one kind."""

import ast
import re

import pytest
from architecture.source_tree import Function, product_functions, product_sources

DRAWERS = {"utils", "util", "common", "helpers", "helper", "manager", "managers", "base", "core", "misc"}
WORDS_NOT_SAID = re.compile(r"(?i)white_?-?list|black_?-?list")  # docs/glossary.md: trust list

# path::function → why its result breaks the verb's contract. The list only shrinks.
EXCEPTIONS: dict[str, str] = {}


def returns_of(function: Function) -> str:
    return ast.unparse(function.node.returns) if function.node.returns else ""


def broken_contract(name: str, returns: str) -> str | None:
    """What a function's name promises and its annotation does not keep; None when all is well."""
    verb, _, object_of_verb = name.lstrip("_").partition("_")
    if not object_of_verb:
        return None  # bytes.find, str.format and their like keep their own meaning
    may_be_none = bool(re.search(r"\bNone\b|\bOptional\b", returns))
    match verb:
        case "is" | "has" | "may" if not re.search(r"\bbool\b|TypeGuard|TypeIs", returns):
            return "answers yes or no"
        case "find" if not may_be_none and not re.match(
            r"(list|tuple|dict|Sequence|Iterator|frozenset|set)\b", returns
        ):
            return "may come back with None"
        case "load" if may_be_none:
            return "raises NotFound, so it never returns None"
        case "parse" if returns in {"bool", "None", ""}:
            return "returns a value or raises Malformed"
        case "format" if not re.match(r"(bytes|bytearray|str|Secret|Iterator|list|tuple)\b", returns):
            return "returns bytes or text"
        case "decide" if returns in {"bool", "None", ""}:
            return "returns a Decision"
        case _:
            return None


def test_no_module_is_a_drawer() -> None:
    found = [source.path for source in product_sources() if DRAWERS & set(source.module.split("."))]
    assert not found


def test_glossary_words() -> None:
    found = [source.path for source in product_sources() if WORDS_NOT_SAID.search(source.text)]
    assert not found, "docs/glossary.md says trust list"


def test_verbs_keep_their_contract() -> None:
    found = {}
    for function in product_functions():
        broken = broken_contract(function.node.name, returns_of(function))
        if broken and function.key not in EXCEPTIONS:
            found[function.key] = (
                f"{function.key} → {returns_of(function) or 'nothing'}, but the verb {broken}"
            )
    assert not found, "\n".join(found.values())


def test_exceptions_are_still_needed() -> None:
    by_key = {function.key: function for function in product_functions()}
    kept = [
        key
        for key in EXCEPTIONS
        if key not in by_key or not broken_contract(by_key[key].node.name, returns_of(by_key[key]))
    ]
    assert not kept


@pytest.mark.parametrize(
    ("name", "returns", "is_kept"),
    [
        ("is_open", "bool", True),
        ("is_open", "int", False),
        ("find_account", "Account | None", True),
        ("find_account", "Account", False),
        ("_load_account", "Account", True),
        ("load_account", "Account | None", False),
        ("parse_date", "bool", False),
        ("format_date", "bytes", True),
        ("format_date", "int", False),
        ("decide_recipient", "Decision", True),
        ("decide_recipient", "bool", False),
        ("find", "int", True),
        ("display_date", "", True),
    ],
)
def test_the_contracts_themselves(name: str, returns: str, is_kept: bool) -> None:
    assert (broken_contract(name, returns) is None) is is_kept
