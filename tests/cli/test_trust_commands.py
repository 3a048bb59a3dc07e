"""``pli trust``: what is in force and why not, what a file would change, whether it holds; for people and for machines."""

import ast
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from architecture.source_tree import product_sources
from harness.trust_lists import DN, facts_of, put, signed_list

from mailserver.app.trust_fetch import record_path
from mailserver.app.trust_lists import open_trust_store
from mailserver.cli import main as command
from mailserver.cli.operator_folder import OperatorPlan, make_operator, parse_domains
from mailserver.cli.trust_words import STEPS, words_for_code
from mailserver.cli.words import words_for
from mailserver.config import load_config
from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning, IssuedCertificate
from mailserver.crypto.x509 import certificate_dn, der_from_pem
from mailserver.model.errors import Unavailable
from mailserver.policy.trust_steps import REFUSALS, Step
from mailserver.sync.fetch_record import FetchRecord, format_record

NOW = datetime.now(UTC)
OURS, OTHER = "a.localhost", "b.localhost"
HOUR = timedelta(hours=1)
Run = Callable[..., tuple[int, dict[str, object]]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An operator with a signed list; stale_hours as in production."""
    monkeypatch.setenv("PLI_TRUST_STALE_HOURS", "72")
    plan = OperatorPlan(tmp_path / "a", parse_domains([OURS]), authority=tmp_path / "ca", key_bits=2048)
    make_operator(plan, NOW)
    return tmp_path


@pytest.fixture
def signer(folder: Path) -> IssuedCertificate:
    return IssuedCertificate((folder / "ca/signer.key").read_bytes(), (folder / "ca/signer.pem").read_bytes())


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``pli trust …``: exit code and facts."""

    def call(*arguments: str | Path) -> tuple[int, dict[str, object]]:
        capsys.readouterr()
        words = [str(each) for each in arguments]
        code = command.run(["trust", *words, "-c", str(folder / "a/pli.toml"), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def say(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run ``pli trust …``: what a person reads."""

    def call(*arguments: str | Path) -> str:
        capsys.readouterr()
        command.run(["trust", *map(str, arguments), "-c", str(folder / "a/pli.toml")])
        return capsys.readouterr().out

    return call


def file_of(folder: Path, octets: bytes) -> Path:
    put(folder / "given.xml", octets)
    return folder / "given.xml"


def stranger(folder: Path) -> IssuedCertificate:
    with pytest.warns(DemoAuthorityWarning):
        return DemoAuthority.open(folder / "ca").issue_list_signer("other.localhost", now=NOW)


def test_verify_a_good_list(
    folder: Path, signer: IssuedCertificate, run: Run, say: Callable[..., str]
) -> None:
    given = file_of(folder, signed_list(signer, NOW, OURS, OTHER))
    code, facts = run("verify", given)
    assert (code, facts["holds"], facts["fingerprint"]) == (0, True, facts_of(signer).fingerprint_sha256)
    text = say("verify", given)
    assert text.count("  ok  ") == len(STEPS) == len(Step)
    assert "2 domains" in text


@pytest.mark.parametrize(
    ("change", "step", "error"),
    [
        (lambda octets: octets + b"<!-- -->", 1, "xml-not-plain"),
        (lambda octets: octets.replace(b"Signature", b"Sign"), 2, "xml-unsigned"),
        (lambda octets: octets.replace(b"<SignatureValue>", b"<SignatureValue>AAAA"), 5, "xml-signature"),
        (lambda octets: octets.replace(b"<Nom>", b'<Nom a="b">'), 6, "xml-attribute"),
        (lambda octets: octets.replace(OTHER.encode(), b"c.localhost"), 7, "xml-digest"),
    ],
)
def test_verify_names_the_step(
    folder: Path,
    signer: IssuedCertificate,
    run: Run,
    say: Callable[..., str],
    change: Callable[[bytes], bytes],
    step: int,
    error: str,
) -> None:
    given = file_of(folder, change(signed_list(signer, NOW, OURS, OTHER)))
    code, facts = run("verify", given)
    assert (code, facts["holds"], facts["step"], facts["error"]) == (1, False, step, error)
    text = say("verify", given)
    assert text.count("  ok  ") == step - 1
    assert f"{step:>2}  NO  " in text
    assert str(facts["sentence"]) in text


def test_a_signer_that_is_not_pinned_is_shown(folder: Path, run: Run) -> None:
    other = stranger(folder)
    code, facts = run("verify", file_of(folder, signed_list(other, NOW, OURS)))
    assert (code, facts["step"], facts["error"]) == (1, 3, "xml-signer-not-pinned")
    assert facts_of(other).fingerprint_sha256 in str(facts["sentence"])
    assert "confirmed by another way" in str(facts["sentence"])


def test_verify_of_lists_that_come_late(folder: Path, signer: IssuedCertificate, run: Run) -> None:
    held = signed_list(signer, NOW - 80 * HOUR, OURS, OTHER)
    put(folder / "ca/list.xml", held)
    for octets, step, error in (
        (held, 11, "trust-list-stale"),
        (signed_list(signer, NOW - 81 * HOUR, OURS), 10, "trust-list-older"),
        (signed_list(signer, NOW + HOUR, OURS), 9, "trust-list-from-future"),
        (signed_list(signer, NOW), 11, "trust-list-empty"),
    ):
        code, facts = run("verify", file_of(folder, octets))
        assert (code, facts["step"], facts["error"]) == (1, step, error)


def test_verify_a_file_that_is_not_there(folder: Path, run: Run) -> None:
    code, facts = run("verify", folder / "absent.xml")
    assert (code, facts["error"]) == (1, "trust-list-unreadable")


def test_diff(folder: Path, signer: IssuedCertificate, run: Run, say: Callable[..., str]) -> None:
    ours = certificate_dn(der_from_pem((folder / "a/tls/operator.pem").read_bytes()))
    given = file_of(folder, signed_list(signer, NOW + timedelta(seconds=1), OTHER))
    code, facts = run("diff", given)
    assert (code, facts["list"]) == (0, "main")
    assert facts["added"] == [{"domain": OTHER, "dn": str(DN)}]
    assert facts["removed"] == [{"domain": OURS, "dn": str(ours)}]
    assert say("diff", given).splitlines() == [f"- {OURS} {ours}", f"+ {OTHER} {DN}", "1 added, 1 removed."]
    code, facts = run("diff", file_of(folder, signed_list(stranger(folder), NOW, OTHER)))
    assert (code, facts["error"]) == (1, "xml-signer-not-pinned")


def lists_of(facts: dict[str, object]) -> list[dict[str, object]]:
    found = facts["lists"]
    assert isinstance(found, list)
    return found


def test_status_in_force(run: Run, signer: IssuedCertificate, say: Callable[..., str]) -> None:
    code, facts = run("status")
    (main,) = lists_of(facts)
    assert (code, facts["in_force"], facts["own"]) == (0, True, {OURS: "certificate"})
    assert (main["name"], main["in_force"], main["error"], main["age_hours"]) == ("main", True, "", 0)
    assert main["fingerprint"] == facts_of(signer).fingerprint_sha256
    text = say("status")
    assert text.startswith("In force: 1 domain.")
    assert f"{OURS}: listed for our certificate" in text
    assert "fetched" not in text  # this list has no address


def test_status_says_why_not(
    folder: Path, signer: IssuedCertificate, run: Run, say: Callable[..., str]
) -> None:
    put(folder / "ca/list.xml", signed_list(signer, NOW - 80 * HOUR, OURS))
    code, facts = run("status")
    (main,) = lists_of(facts)
    assert (code, facts["in_force"], facts["refusal"]) == (1, False, "trust-list-stale")
    assert (main["refusal"], main["age_hours"], facts["own"]) == ("trust-list-stale", 80, {OURS: "other"})
    assert "stale_hours" in say("status")
    put(folder / "ca/list.xml", b"something else")
    code, facts = run("status")
    (main,) = lists_of(facts)
    assert (code, facts["refusal"], main["error"]) == (1, "trust-list-empty", "xml-unsigned")
    assert facts["own"] == {OURS: "no"}
    text = say("status")
    assert "NOBODY is trusted" in text
    assert "not signed, so nobody vouches for it" in text
    assert "names nobody" not in text  # the list was not taken: that is the reason
    assert f"{OURS}: NOT listed" in text
    (folder / "a/tls/operator.pem").unlink()
    put(folder / "ca/list.xml", signed_list(signer, NOW, OURS))
    assert run("status")[1]["own"] == {OURS: "domain"}


def test_status_of_several_lists_and_their_fetches(
    folder: Path, run: Run, say: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    region = stranger(folder)
    put(folder / "a/region.xml", signed_list(region, NOW - 2 * HOUR, OTHER))
    url = "https://lists.example/region.xml"
    monkeypatch.setenv("PLI_TRUST_FURTHER", "region=region.xml")
    monkeypatch.setenv("PLI_TRUST_FURTHER_SIGNERS", f"region={facts_of(region).fingerprint_sha256}")
    monkeypatch.setenv("PLI_TRUST_FURTHER_URLS", f"region={url}")
    assert "fetched     never" in say("status")
    config = load_config(folder / "a/pli.toml")
    source = open_trust_store(config).sources[1]
    record = FetchRecord(url, fetched_at=NOW - HOUR).after_failure(NOW, Unavailable("fetch-tls-host"))
    record_path(config.data_folder, source).write_bytes(format_record(record))
    code, facts = run("status")
    main, other = lists_of(facts)
    assert (code, facts["domains"], main["domains"], other["domains"]) == (0, 2, 1, 1)
    assert (other["name"], other["url"], other["fetch_error"]) == ("region", url, "fetch-tls-host")
    assert other["fetched_at"] == (NOW - HOUR).isoformat(timespec="seconds")
    text = say("status")
    assert "region: in force" in text
    assert "for another name. Check url" in text
    given = file_of(folder, signed_list(region, NOW, OTHER))
    assert run("verify", given, "--list", "region")[0] == 0
    assert run("verify", given)[1]["error"] == "xml-signer-not-pinned"
    assert run("verify", given, "--list", "nowhere") == (
        1,
        {"error": "trust-list-name", "sentence": words_for_code("trust-list-name")},
    )


def texts_of(module: str) -> set[str]:
    """Every text that stands in a module, also the fixed parts of those that are put together."""
    (source,) = [each for each in product_sources() if each.path == module]
    found = {node.value for node in ast.walk(source.tree) if isinstance(node, ast.Constant)}
    return {each for each in found if isinstance(each, str)}


def link_codes(what: str, module: str) -> set[str]:
    """What a link of this kind may end with: what all links share, and what its module says."""
    shared = {
        f"{what}{each}"
        for each in texts_of("mailserver/sync/link_errors.py")
        if re.fullmatch("-[a-z-]+", each)
    }
    assert len(shared) == 6
    return shared | {each for each in texts_of(module) if re.fullmatch(f"{what}-[a-z-]+", each)}


def test_every_fault_of_the_bounce_mailbox_has_words() -> None:
    codes = link_codes("bounces", "mailserver/sync/bounce_mailbox.py")
    assert len(codes) == 9
    assert [code for code in codes if "bounce mailbox" not in words_for(Unavailable(code))] == []


def test_every_refusal_has_words() -> None:
    codes = link_codes("fetch", "mailserver/sync/https_fetch.py")
    assert len(codes) > 9
    for code in codes | REFUSALS:
        assert not words_for_code(code).startswith(("Refused", "Something that Pli needs")), code
    assert set(STEPS) == set(Step)


def test_a_configuration_whose_lists_do_not_fit(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLI_TRUST_FURTHER", "region=region.xml")
    code, facts = run("status")
    assert (code, facts["error"]) == (2, "config")
    assert "do not name the same lists" in str(facts["sentence"])
