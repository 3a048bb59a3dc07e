"""What the architecture tests read: the product's files, each parsed once."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("mailserver", "webmail")
GENERATED = ("mailserver/store/migrations/versions",)

type_of_function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Source:
    path: str
    """From the root of the repository, with slashes."""
    text: str
    tree: ast.Module

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@dataclass(frozen=True, slots=True)
class Function:
    source: Source
    name: str
    """Dotted within its module: ``Class.method``, ``outer.inner``."""
    node: type_of_function
    is_method: bool

    @property
    def key(self) -> str:
        return f"{self.source.path}::{self.name}"

    @property
    def lines(self) -> int:
        return (self.node.end_lineno or self.node.lineno) - self.node.lineno + 1


@cache
def product_sources() -> tuple[Source, ...]:
    """Every module of the product; generated migrations apart."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(GENERATED):
                text = path.read_text(encoding="utf-8")
                found.append(Source(name, text, ast.parse(text, filename=name)))
    return tuple(found)


@cache
def product_functions() -> tuple[Function, ...]:
    return tuple(
        function for source in product_sources() for function in _functions_of(source, source.tree, "")
    )


def _functions_of(source: Source, node: ast.AST, prefix: str) -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, type_of_function):
            yield Function(source, prefix + child.name, child, isinstance(node, ast.ClassDef))
            yield from _functions_of(source, child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.ClassDef):
            yield from _functions_of(source, child, f"{prefix}{child.name}.")
        else:
            yield from _functions_of(source, child, prefix)


@cache
def repository_files() -> tuple[Path, ...]:
    """Every file that is committed or would be: tracked, or new and not ignored."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = sorted({name for name in listing.stdout.decode().split("\0") if name})
    return tuple(path for name in names if (path := ROOT / name).is_file())


@cache
def text_of(path: Path) -> str | None:
    """The text of a file, or None when it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
