"""The layers of docs/architecture.md, by import-linter, and what its contracts cannot say."""

import configparser
import fnmatch
import re
import subprocess
import sys

import grimp
import pytest
from architecture import not_yet
from architecture.source_tree import PACKAGES, ROOT, product_sources

CONFIG = ROOT / ".importlinter"
FORBIDDEN_TO_PURE = {"asyncio", "socket", "ssl", "sqlalchemy"}
PURE = (
    "mailserver.model",
    "mailserver.mime",
    "mailserver.audit",
    "mailserver.policy",
    "mailserver.documents",
)
PURE_IMAP = (
    "framing",
    "grammar",
    "utf7",
    "commands",
    "parse*",
    "encode*",
    "states",
    "sequence_set",
    "view",
    "search*",
)


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)


def named_layers() -> dict[str, bool]:
    """Each name of the first contract, and whether it stands in parentheses."""
    config = configparser.ConfigParser()
    config.read(CONFIG, encoding="utf-8")
    words = re.findall(r"\(?\w+\)?", config["importlinter:contract:layers"]["layers"])
    return {f"mailserver.{word.strip('()')}": word.startswith("(") for word in words}


def is_in_tree(module: str) -> bool:
    folder = ROOT / module.replace(".", "/")
    return folder.with_suffix(".py").is_file() or (folder / "__init__.py").is_file()


def is_pure(module: str) -> bool:
    if module.startswith("mailserver.imap."):
        return any(fnmatch.fnmatch(module.split(".")[2], pattern) for pattern in PURE_IMAP)
    return any(module == pure or module.startswith(f"{pure}.") for pure in PURE)


def test_contracts() -> None:
    """In a process of its own: the tool configures logging, which would silence the product's loggers here."""
    call = f"from importlinter.cli import lint_imports as lint; import sys; sys.exit(lint({str(CONFIG)!r}, no_cache=True, no_logo=True))"
    done = subprocess.run([sys.executable, "-c", call], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_layer_is_required_or_listed_as_not_yet() -> None:
    optional = {name for name, is_optional in named_layers().items() if is_optional}
    assert optional == not_yet.MODULES, (
        ".importlinter and tests/architecture/not_yet.py name different modules"
    )
    arrived = sorted(filter(is_in_tree, optional))
    assert not arrived, (
        f"in the tree now: drop the parentheses in .importlinter and the line in not_yet.py: {arrived}"
    )


def test_every_module_has_a_layer() -> None:
    below = {
        ".".join(source.module.split(".")[:2])
        for source in product_sources()
        if source.path.startswith("mailserver/")
    }
    assert below - {"mailserver"} <= set(named_layers())


def test_every_folder_with_code_is_a_package() -> None:
    bare = {
        folder.as_posix()
        for source in product_sources()
        if not (ROOT / (folder := (ROOT / source.path).parent) / "__init__.py").is_file()
    }
    assert not bare, f"no __init__.py, so the contracts do not see it: {sorted(bare)}"


def test_pure_modules_touch_no_loop_socket_or_database(graph: grimp.ImportGraph) -> None:
    found = [
        f"{module} imports {imported}"
        for module in sorted(graph.modules)
        if is_pure(module)
        for imported in sorted(graph.find_modules_directly_imported_by(module) & FORBIDDEN_TO_PURE)
    ]
    assert not found, found


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("mailserver.model.ids", True),
        ("mailserver.imap.parse_search", True),
        ("mailserver.imap.view", True),
        ("mailserver.imap.commands.messages", True),
        ("mailserver.imap.connection", False),
        ("mailserver.imap", False),
        ("mailserver.modelling", False),
        ("mailserver.store.items", False),
    ],
)
def test_what_counts_as_pure(module: str, expected: bool) -> None:
    assert is_pure(module) is expected
