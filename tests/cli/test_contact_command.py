"""``pli account contact``: shown masked, changed from standard input, logged, and told to the old address."""

import io
import json
from pathlib import Path

import pytest

from mailserver.cli import main as command
from mailserver.cli.opened import opened
from mailserver.model.address import parse_address
from mailserver.service.outbound import NoticeOrder

ADDRESS, OLD, NEW = "p@a.localhost", "dominique@courriel.example", "nouvelle@courriel.example"


@pytest.fixture
def config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert command.run(["init", str(tmp_path / "a"), "--domain", "a.localhost"]) == 0
    path = tmp_path / "a" / "pli.toml"
    add = [
        "account",
        "add",
        "-c",
        str(path),
        "--kind",
        "PER",
        "--address",
        ADDRESS,
        "--name",
        "Dominique FICTIF",
    ]
    assert command.run([*add, "--contact-email", OLD, "--contact-phone", "06 00 00 00 78"]) == 0
    capsys.readouterr()
    return path


def contact(
    config: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    fields: object = None,
    code: int = 0,
) -> dict[str, object]:
    arguments = ["account", "contact", "-c", str(config), "--address", ADDRESS, "--json"]
    if fields is not None:
        arguments.append("--fields-stdin")
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(fields)))
    assert command.run(arguments) == code
    told: dict[str, object] = json.loads(capsys.readouterr().out)
    return told


def test_shown_masked_then_changed(config, capsys, monkeypatch) -> None:
    before = contact(config, capsys, monkeypatch)
    assert before == {"email": "d•••@courriel.example", "email_works": True, "phone": "••••• 78"}
    after = contact(config, capsys, monkeypatch, {"contact_email": NEW, "contact_phone": ""})
    assert after == {"email": "n•••@courriel.example", "email_works": True, "phone": None}
    with opened(config) as pli:
        services = pli.services
        with services.store.database.read() as connection:
            row = services.directory.find_account(connection, parse_address(ADDRESS))
            (job,) = services.store.jobs.list_jobs(connection)
        assert row is not None
        assert services.directory.open_profile(row).contact_email == NEW
        order = services.outbound.open_notice(job)
        assert isinstance(order, NoticeOrder)
        assert (str(order.recipient), NEW in order.text) == (OLD, False)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, "fields"),
        ({"name": "x"}, "fields"),
        ({"contact_email": 3}, "fields"),
        ([], "fields"),
        ({"contact_email": "no address"}, "address-syntax"),
        ({"contact_phone": "12"}, "phone-syntax"),
        ({"contact_phone": "+37120000078"}, "phone-country"),
    ],
)
def test_refusals_change_nothing(config, capsys, monkeypatch, fields, error) -> None:
    before = contact(config, capsys, monkeypatch)
    told = contact(config, capsys, monkeypatch, fields, 1)
    assert told["error"] == error
    assert contact(config, capsys, monkeypatch) == before
