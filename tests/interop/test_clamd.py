"""Debian's clamd in the foreground with a database of one signature: nothing is downloaded, freshclam never runs."""

import hashlib
import logging
import os
import select
import shutil
import socket
import subprocess
import time
from base64 import encodebytes
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.clamd import EICAR
from service.delivery_peers import message

from mailserver.mime.trace import format_return_path
from mailserver.model.address import parse_address
from mailserver.policy.mail_rules import Scan
from mailserver.service.antivirus import Antivirus
from mailserver.service.intake import Intake
from mailserver.store.blob_folder import BlobFolder

CLAMD = shutil.which("clamd") or "/usr/sbin/clamd"
SIGNATURE = "Pli.Test.Eicar"
STREAM_BYTES = 1024 * 1024
START_SECONDS = 30

pytestmark = pytest.mark.skipif(
    not os.access(CLAMD, os.X_OK) and os.environ.get("CI") != "true", reason="clamav-daemon is not installed"
)


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("clamd")
    database, path = folder / "db", folder / "c"
    for each in (database, folder / "tmp"):
        each.mkdir()
    digest = hashlib.md5(EICAR, usedforsecurity=False).hexdigest()
    (database / "test.hdb").write_text(f"{digest}:{len(EICAR)}:{SIGNATURE}\n")
    settings = folder / "clamd.conf"
    settings.write_text(
        f"LocalSocket {path}\nDatabaseDirectory {database}\nTemporaryDirectory {folder / 'tmp'}\nForeground yes\n"
        f"StreamMaxLength {STREAM_BYTES}\nLogFile {folder / 'log'}\nMaxThreads 4\nSelfCheck 86400\n"
    )
    running = subprocess.Popen([CLAMD, "-c", settings], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    try:
        _wait_for(path, running)
        yield path
    finally:
        running.terminate()
        running.wait(START_SECONDS)


def _wait_for(path: Path, running: "subprocess.Popen[bytes]") -> None:
    ends_at = time.monotonic() + START_SECONDS
    while time.monotonic() < ends_at:
        assert running.poll() is None, (path.parent / "log").read_text()
        with socket.socket(socket.AF_UNIX) as link:
            if link.connect_ex(str(path)) == 0:
                return
        select.select([], [], [], 0.05)
    raise AssertionError("clamd did not start")


def scan(path: Path, octets: bytes, folder: Path) -> Scan:
    intake = Intake(BlobFolder(folder), 1 << 30)
    try:
        intake.write_trace(format_return_path(parse_address("camille@b.localhost")))
        intake.write(octets)
        intake.finish()
        return Antivirus(path).scan(intake)
    finally:
        intake.close()


def attached(octets: bytes, **headers: str) -> bytes:
    body = (
        b"--f\r\nContent-Type: text/plain\r\n\r\nVoir.\r\n--f\r\nContent-Type: application/octet-stream\r\n"
    )
    body += b"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=a.com\r\n\r\n"
    body += encodebytes(octets).replace(b"\n", b"\r\n") + b"\r\n--f--\r\n"
    return message(
        "joint", body=body, MIME_Version="1.0", Content_Type="multipart/mixed; boundary=f", **headers
    )


def test_a_letter_passes(clamd, tmp_path, caplog):
    caplog.set_level(logging.INFO, "pli.antivirus")
    assert scan(clamd, message("propre"), tmp_path) is Scan.CLEAN
    assert caplog.records[0].version.startswith("ClamAV 1.")


@pytest.mark.parametrize("first", ["", "X-Anything: at all\r\n", "A" * 600 + ": x\r\n"])
def test_the_test_file_is_found_whatever_the_first_header(clamd, tmp_path, caplog, first):
    """clamd opens attachments of what it takes for a mail: our Return-Path makes it do so."""
    caplog.set_level(logging.INFO, "pli.antivirus")
    assert scan(clamd, first.encode() + attached(EICAR), tmp_path) is Scan.INFECTED
    assert caplog.records[-1].signature.startswith(SIGNATURE)


def test_a_harmless_attachment_passes(clamd, tmp_path):
    assert scan(clamd, attached(EICAR[:-1] + b"!"), tmp_path) is Scan.CLEAN


def test_more_than_the_stream_limit_is_its_own_refusal(clamd, tmp_path):
    assert scan(clamd, attached(b"y" * 5 * STREAM_BYTES), tmp_path) is Scan.TOO_LARGE
    assert scan(clamd, message("propre"), tmp_path) is Scan.CLEAN
