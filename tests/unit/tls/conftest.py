"""Certificates for the TLS tests: by the machine's clock, which OpenSSL reads."""

from datetime import UTC, datetime

import pytest

from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning, Variant
from mailserver.tls.contexts import PeerFiles


@pytest.fixture(scope="session")
def now():
    return datetime.now(UTC)


@pytest.fixture(scope="session")
def authority(tmp_path_factory, now):
    with pytest.warns(DemoAuthorityWarning):
        return DemoAuthority.create(tmp_path_factory.mktemp("ca"), now, key_bits=2048)


@pytest.fixture(scope="session")
def peer_files(tmp_path_factory, authority, now):
    """One operator's files; ``crl`` is set by the tests that check it."""
    folder = tmp_path_factory.mktemp("operator")
    issued = authority.issue_operator("mx.demo.example", ["127.0.0.1"], "A", now=now, variant=Variant.SOUND)
    (folder / "key.pem").write_bytes(issued.key_pem)
    (folder / "cert.pem").write_bytes(issued.cert_pem)
    return PeerFiles(folder / "cert.pem", folder / "key.pem", authority.certificate_path)
