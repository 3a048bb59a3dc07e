"""What is refused is said in words: every code that a command can meet has its sentence."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from architecture.source_tree import product_sources

from mailserver.cli import main as command
from mailserver.cli.words import words_for
from mailserver.model import errors
from mailserver.model.errors import Corrupt, Denied, Malformed, Unavailable

KINDS = {
    name
    for name, each in vars(errors).items()
    if isinstance(each, type) and issubclass(each, errors.PliError) and each is not errors.PliError
}
REACHED = (
    "mailserver/app/",
    "mailserver/audit/signer.py",
    "mailserver/cli/",
    "mailserver/crypto/authority.py",
    "mailserver/crypto/custodian",
    "mailserver/crypto/wrap.py",
    "mailserver/model/",
    "mailserver/service/account_slots.py",
    "mailserver/service/administration.py",
    "mailserver/service/app_passwords.py",
    "mailserver/service/box_members.py",
    "mailserver/service/login_resets.py",
    "mailserver/service/log_export.py",
    "mailserver/service/queue_control.py",
    "mailserver/store/accounts.py",
    "mailserver/store/database.py",
    "mailserver/store/jobs.py",
    "mailserver/store/writer.py",
    "mailserver/tls/",
)
OTHERWISE = {
    # code: who sees it instead
    "bad_right": "the IMAP client that names it",
    "certificate": "the mail client that shows it, in its own protocol's words",
    "constraint": "nobody: each caller says what is taken",
    "custodian-message": "nobody: what a broken link to the custodian says to the other end",
    "custodian-request": "nobody: as above",
    "custodian-verb": "a worker, which may not ask for it",
    "hourly-key": "the browser whose session is over",
    "login-unbound": "the mail client, as above",
    "notify": "the SMTP client that says it, as a wrong parameter",
    "receipt-mismatch": "nobody: a fault of the caller's",
    "release-basis": "nobody: a fault of the caller's",
    "service-purpose": "nobody: a fault of the caller's",
    "token-inactive": "the mail client, as above",
    "token-off": "the mail client, as above",
    "xtext": "the SMTP client that says it, as a wrong parameter",
}


def raised() -> Iterator[tuple[str, str]]:
    """(kind, code) of each error that a module in REACHED raises."""
    for source in product_sources():
        if not source.path.startswith(REACHED):
            continue
        for node in ast.walk(source.tree):
            match node:
                case ast.Call(func=ast.Name(id=kind), args=[ast.Constant(value=str(code)), *_]) if (
                    kind in KINDS
                ):
                    yield kind, code


def is_worded(kind: str, code: str) -> bool:
    sentence = words_for(getattr(errors, kind)(code))
    return not sentence.startswith("Refused: ")


def test_every_code_that_a_command_meets_has_words() -> None:
    found = set(raised())
    assert len(found) > 40
    silent = {code for kind, code in found if not is_worded(kind, code)}
    assert silent == OTHERWISE.keys()


def test_sentences_have_their_detail_and_an_end() -> None:
    for kind, code in sorted(set(raised())):
        sentence = words_for(getattr(errors, kind)(code, "Port 25"))
        assert "{" not in sentence
        assert sentence[0].isupper()


def test_codes_without_words_of_their_own() -> None:
    assert "pli check" in words_for(Corrupt("seal-of-something"))
    assert "(seal-of-something)" in words_for(Corrupt("seal-of-something"))
    assert "Try again" in words_for(Unavailable("something"))
    assert words_for(Denied("a-rule")) == "Refused: a-rule."
    assert words_for(Malformed("a-form", "as x:y")) == "Refused: a-form (as x:y)."


@pytest.fixture
def config(tmp_path: Path) -> Path:
    assert command.run(["init", str(tmp_path / "a"), "--domain", "a.localhost"]) == 0
    return tmp_path / "a/pli.toml"


def said(config: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert command.run(["account", "list", "-c", str(config)]) == 1
    return capsys.readouterr().err


def test_another_hostname(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command.run(["account", "list", "-c", str(config)]) == 0
    monkeypatch.setenv("PLI_OPERATOR_HOSTNAME", "other.localhost")
    assert "Put hostname in [operator] of pli.toml back" in said(config, capsys)


def test_keys_that_are_missing_are_not_made_anew(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = config.parent
    (folder / "keys").rename(folder / "away")
    sentence = said(config, capsys)
    assert "its own backup" in sentence
    assert "in another folder" in sentence
    assert command.run(["init", str(folder), "--domain", "a.localhost"]) == 1
    assert "another folder" in capsys.readouterr().err


def test_keys_of_another_server(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add = ["account", "add", "-c", str(config), "--kind", "PER", "--address", "c@a.localhost", "--name", "C"]
    assert command.run(add) == 0
    assert command.run(["init", str(tmp_path / "b"), "--domain", "a.localhost"]) == 0
    (config.parent / "keys").rename(config.parent / "away")
    (tmp_path / "b/keys").rename(config.parent / "keys")
    assert "pli check" in said(config, capsys)


def test_keys_that_others_may_read(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "keys").chmod(0o755)
    assert "chmod" in said(config, capsys)


def test_a_folder_with_keys_and_no_configuration(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.unlink()
    assert command.run(["init", str(config.parent), "--domain", "a.localhost"]) == 1
    assert "already holds keys" in capsys.readouterr().err
