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
def signer(authority):
    return authority.issue_list_signer("demo.example", now=NOW)
