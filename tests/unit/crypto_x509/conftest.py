from datetime import UTC, datetime

import pytest

from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def now():
    return NOW


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    with pytest.warns(DemoAuthorityWarning):
        return DemoAuthority.create(tmp_path_factory.mktemp("ca"), NOW, key_bits=2048)


@pytest.fixture(scope="session")
def stranger(tmp_path_factory):
    """Another authority of the same name."""
    with pytest.warns(DemoAuthorityWarning):
        return DemoAuthority.create(tmp_path_factory.mktemp("other-ca"), NOW, key_bits=2048)


@pytest.fixture(scope="session")
def signer(authority):
    return authority.issue_list_signer("demo.example", now=NOW)


@pytest.fixture(scope="session")
def operator(authority):
    hosts = ["mx.north.demo.example", "127.0.0.1"]
    return authority.issue_operator("north.demo.example", hosts, "HOPITAL NORD, SITE A", now=NOW)
