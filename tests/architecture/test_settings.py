"""A key that nothing reads is a promise that nobody keeps: every key of ``pli.toml`` is read outside its table."""

import ast
import dataclasses
from collections.abc import Iterator
from typing import get_type_hints

from architecture.source_tree import Source, product_sources

from mailserver.config import Config

TABLE = "mailserver/config/__init__.py"


def keys() -> set[tuple[str, str]]:
    hints = get_type_hints(Config)
    return {
        (section.name, key.name)
        for section in dataclasses.fields(Config)
        if dataclasses.is_dataclass(hints[section.name])
        for key in dataclasses.fields(hints[section.name])
    }


def pairs_read(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """``….section.key`` and ``section.key``: what an expression takes from what."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            match node.value:
                case ast.Attribute(attr=section) | ast.Name(id=section):
                    yield section, node.attr


def attributes(sources: list[Source]) -> set[str]:
    return {
        node.attr for source in sources for node in ast.walk(source.tree) if isinstance(node, ast.Attribute)
    }


def pairs_of_properties(table: Source, read: set[str]) -> Iterator[tuple[str, str]]:
    """What Config's own properties take, when the property is read itself."""
    kind = next(each for each in table.tree.body if isinstance(each, ast.ClassDef) and each.name == "Config")
    for method in kind.body:
        if isinstance(method, ast.FunctionDef) and method.name in read:
            yield from pairs_read(method)


def test_every_key_is_read() -> None:
    table = next(source for source in product_sources() if source.path == TABLE)
    others = [source for source in product_sources() if source is not table]
    found = {pair for source in others for pair in pairs_read(source.tree)}
    found |= set(pairs_of_properties(table, attributes(others)))
    assert len(keys()) > 25
    assert not keys() - found, "documented in pli.toml and read by nothing"
