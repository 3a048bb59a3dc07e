"""The MX port's context follows its files: a new authority counts for the next handshake, a bad file changes nothing."""

import os
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning
from mailserver.model.errors import Malformed
from mailserver.tls.contexts import PeerFiles, peer_server_context
from mailserver.tls.reloading import ReloadingContext

NOW = datetime.now(UTC)


@pytest.fixture
def files(tmp_path: Path) -> PeerFiles:
    with pytest.warns(DemoAuthorityWarning):
        authority = DemoAuthority.create(tmp_path, NOW, key_bits=2048)
    issued = authority.issue_operator("a.localhost", ["a.localhost"], "A", now=NOW)
    (tmp_path / "a.pem").write_bytes(issued.cert_pem)
    (tmp_path / "a.key").write_bytes(issued.key_pem)
    return PeerFiles(tmp_path / "a.pem", tmp_path / "a.key", authority.certificate_path)


def test_a_changed_file_gives_a_new_context(files: PeerFiles) -> None:
    current = ReloadingContext([files.ca], lambda: peer_server_context(files))
    first = current()
    assert current() is first
    os.utime(files.ca, ns=(1, 1))
    assert isinstance(current(), ssl.SSLContext)
    assert current() is not first


def test_a_file_that_cannot_be_used_keeps_the_last_good_context(
    files: PeerFiles, caplog: pytest.LogCaptureFixture
) -> None:
    current = ReloadingContext([files.cert], lambda: peer_server_context(files))
    first = current()
    files.cert.write_text("no certificate")
    assert current() is first
    assert "the last good ones are kept" in caplog.text


def test_bad_files_at_the_start_are_told(tmp_path: Path) -> None:
    missing = tmp_path / "none.pem"
    with pytest.raises(Malformed):
        ReloadingContext([missing], lambda: peer_server_context(PeerFiles(missing, missing, missing)))
