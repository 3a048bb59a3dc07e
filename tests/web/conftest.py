"""One stage for all tests of the pages: they read it, and write letters of their own."""

from collections.abc import Iterator

import pytest
from harness.web_stage import Stage, make_stage


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with make_stage(tmp_path_factory.mktemp("pages")) as made:
        yield made
