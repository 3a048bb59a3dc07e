from datetime import UTC, datetime

import pytest
from harness.trust_lists import pin_of

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


@pytest.fixture(scope="session")
def pinned(signer):
    return pin_of(signer)


@pytest.fixture(scope="session")
def next_signer(authority):
    return authority.issue_list_signer("next.example", now=NOW)


@pytest.fixture(scope="session")
def operator(authority):
    """Of the same authority, for links and not for lists."""
    return authority.issue_operator("north.demo.example", ["mx.north.demo.example"], "NORD", now=NOW)
