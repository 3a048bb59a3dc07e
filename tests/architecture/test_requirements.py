"""Dependencies are pinned exactly, by hash, and the pins answer what the package asks for."""

import json
import re
from importlib.metadata import requires

import pytest
from architecture.source_tree import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

INSTALLED = ("build", "run", "dev")
PAIRS = (*INSTALLED, "fuzz")
PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)(?P<extras>\[[a-z,]+\])?==(?P<version>\S+) \\\n(?P<hashes>(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
    re.M,
)


def lines_of(name: str) -> list[str]:
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def pins_of(pair: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{pair}.txt").read_text(encoding="utf-8")
    return {canonicalize_name(match["name"]): match["version"] for match in PIN.finditer(text)}


@pytest.mark.parametrize("pair", PAIRS)
def test_every_line_is_a_pin_or_a_hash(pair: str) -> None:
    other = [
        line
        for line in lines_of(f"{pair}.txt")
        if not re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+ \\$|    --hash=sha256:", line)
    ]
    assert not other, "an option, a path, an address or an unpinned name"
    pinned = [line for line in lines_of(f"{pair}.txt") if "==" in line]
    assert len(pinned) == len(pins_of(pair))


@pytest.mark.parametrize("pair", PAIRS)
def test_pins_answer_what_is_asked(pair: str) -> None:
    pins = pins_of(pair)
    for line in lines_of(f"{pair}.in"):
        asked = Requirement(line)
        assert asked.specifier.contains(pins[canonicalize_name(asked.name)]), (
            f"run scripts/pin-requirements: {line}"
        )


def test_extras_that_a_pin_asks_for_are_named() -> None:
    """Pip looks at the newest version for an extra that no pin names, and then refuses it for want of a hash."""
    text = "".join((ROOT / "requirements" / f"{pair}.txt").read_text(encoding="utf-8") for pair in INSTALLED)
    named = {canonicalize_name(match["name"]): match["extras"] or "" for match in PIN.finditer(text)}
    missing = []
    for name in named:
        for line in requires(name) or []:
            asked = Requirement(line)
            is_asked = asked.marker is None or asked.marker.evaluate({"extra": ""})
            pinned = named.get(canonicalize_name(asked.name), "")
            missing += [line for extra in asked.extras if is_asked and extra not in pinned]
    assert not missing, "run scripts/pin-requirements"


def test_files_agree_where_they_overlap() -> None:
    for left, right in (("build", "dev"), ("run", "dev"), ("dev", "fuzz")):
        first, second = pins_of(left), pins_of(right)
        assert not {name for name in first.keys() & second.keys() if first[name] != second[name]}


def test_each_direct_dependency_has_its_reason() -> None:
    reasons = "\n".join(
        (ROOT / "docs" / "adr" / name).read_text(encoding="utf-8").lower()
        for name in ("0001-named-libraries-pinned-dependencies.md", "0005-test-tools.md")
    )
    names = [Requirement(line).name for pair in PAIRS for line in lines_of(f"{pair}.in")]
    assert not [name for name in names if name.lower() not in reasons], "no row in docs/adr/0001 or 0005"


def test_npm_packages_are_pinned_by_hash_and_without_address() -> None:
    folder = ROOT / "tests" / "interop" / "imap" / "imapflow"
    asked = json.loads((folder / "package.json").read_text(encoding="utf-8"))["dependencies"]
    packages = json.loads((folder / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert packages.pop("")["dependencies"] == asked, "run npm install --package-lock-only there"
    assert {name: packages[f"node_modules/{name}"]["version"] for name in asked} == asked
    for name, facts in packages.items():
        assert facts["integrity"].startswith("sha512-"), name
        assert "resolved" not in facts, name
        assert "hasInstallScript" not in facts, name
    reasons = (ROOT / "docs" / "adr" / "0005-test-tools.md").read_text(encoding="utf-8")
    assert not [name for name in asked if f"| {name} |" not in reasons], "no row in docs/adr/0005"
