"""``pli queue``: what is printed holds no address and no subject; ids, exit codes, JSON."""

import contextlib
import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.node import Node, make_node

from mailserver.cli import main as command
from mailserver.crypto.secret import random_id, random_secret
from mailserver.model.address import parse_address
from mailserver.model.ids import BlobId
from mailserver.service.outbound import RelayOrder
from mailserver.store.items import BlobRow, add_blob
from mailserver.store.writer import Unit


@pytest.fixture
def config(tmp_path):
    """An operator in whose queue three messages wait."""
    node = make_node(tmp_path)
    add_jobs(node, "noa@b.localhost", "li@b.localhost", "sam@c.localhost")
    node.close()
    return str(tmp_path / "a.localhost" / "pli.toml")


def add_jobs(node: Node, *recipients: str) -> None:
    made = node.add("camille@a.localhost")
    now, services = datetime.now(UTC), node.services
    blob = BlobRow(BlobId(random_id()), 4, bytes(32), b"seal")
    orders = [
        RelayOrder(
            parse_address("camille@a.localhost"),
            parse_address(each),
            random_secret(),
            4,
            0,
            "<m@a.localhost>",
        )
        for each in recipients
    ]
    rows = [services.outbound.relay_job(made.account_id, order, blob.blob_id, now) for order in orders]

    def run(connection):
        add_blob(connection, made.account_id, blob)
        services.store.jobs.add_jobs(connection, rows)

    services.store.writer.commit(Unit(made.account_id, run))


@pytest.fixture
def pli(config, capsys):
    """Exit code, standard output, standard error."""

    def run(act, *arguments):
        code = command.run(["queue", act, *arguments, "-c", config])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def listed(pli, *arguments):
    code, out, _err = pli("list", "--json", *arguments)
    assert code == 0
    return json.loads(out)


def test_looking(pli):
    jobs = listed(pli)
    assert [each["domain"] for each in jobs].count("b.localhost") == 2
    assert {(each["lane"], each["state"], each["attempts"]) for each in jobs} == {("relay", "waiting", 0)}
    assert len(listed(pli, "--domain", "c.localhost")) == 1
    code, out, err = pli("list")
    assert (code, err) == (0, "")
    assert out.endswith("3 jobs.\n")
    assert "not tried yet" in out
    for text in (out, json.dumps(jobs)):
        assert "@" not in text
        assert "noa" not in text


def test_an_altered_job_is_listed_as_such(pli, config, capsys):
    job = listed(pli)[0]["job"]
    with (
        contextlib.closing(sqlite3.connect(Path(config).parent / "data" / "pli.sqlite")) as database,
        database,
    ):
        database.execute("UPDATE job SET next_hop = 'evil.example' WHERE job_id = ?", (bytes.fromhex(job),))
    code, out, _err = pli("list", "--domain", "c.localhost")
    assert code == 0
    assert f"{job}  ALTERED" in out
    assert out.endswith(" 1 altered.\n")
    assert "evil" not in out
    assert {"job": job, "state": "altered"} in listed(pli)
    code, _out, err = pli("release", job)
    assert code == 1
    assert "pli check" in err
    assert command.run(["check", "-c", config]) == 1
    assert "row MAC does not fit (job)" in capsys.readouterr().out


def test_acts_on_one_job(pli):
    (job,) = (each["job"] for each in listed(pli, "--domain", "c.localhost"))
    code, out, err = pli("hold", job)
    assert (code, out) == (0, "hold: 1 jobs.\n")
    (line,) = [json.loads(each) for each in err.splitlines()]
    assert (line["what"], line["act"], line["job"]) == ("queue act", "hold", job)
    code, out, _err = pli("show", job, "--json")
    assert (json.loads(out)["state"], json.loads(out)["next_try"]) == ("held", None)
    assert pli("retry", job)[0] == 1
    assert pli("release", job)[0] == 0
    assert pli("drop", job)[0] == 0
    assert len(listed(pli)) == 2
    (over,) = [each for each in listed(pli, "--finished") if each["state"] == "failed"]
    assert [each["result"] for each in over["timeline"]] == ["removed"]
    code, out, _err = pli("show", job)
    assert code == 0
    assert out.splitlines()[1].split()[0] == "1"
    assert out.splitlines()[1].split()[2] == "removed"
    code, _out, err = pli("drop", job)
    assert code == 1
    assert "over" in err


def test_acts_on_many(pli):
    code, out, _err = pli("hold", "--domain", "b.localhost", "--json")
    assert code == 0
    assert len(json.loads(out)["done"]) == 2
    assert len(json.loads(pli("release", "--all", "--json")[1])["done"]) == 2
    assert len(json.loads(pli("retry", "--all", "--json")[1])["done"]) == 3


@pytest.mark.parametrize("job", ["00" * 16, "zz", "abcd"])
def test_a_wrong_id(pli, job):
    code, out, err = pli("show", job)
    assert (code, out) == (1, "")
    assert "pli queue list" in err


@pytest.mark.parametrize("arguments", [["hold"], ["drop", "--all"], ["retry", "00" * 16, "--all"]])
def test_wrong_use(pli, arguments):
    with pytest.raises(SystemExit) as ended:
        pli(*arguments)
    assert ended.value.code == 2
