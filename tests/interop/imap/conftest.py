"""A running server for each test process, and an account with its trace for each test."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from harness.client_box import TRACE_LOG, Box, make_box
from harness.imap_harness import RunningImap, TlsFiles, make_node, make_tls, running_imap
from harness.imapflow import FOLDER, NODE_VERSION, ImapFlow
from harness.programs import run


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> Iterator[RunningImap]:
    node = make_node(tmp_path_factory.mktemp("node"))
    level = TRACE_LOG.level
    TRACE_LOG.setLevel(logging.INFO)
    with running_imap(node, tls) as server:
        yield server
    TRACE_LOG.setLevel(level)
    node.close()


@pytest.fixture
def make_account(running: RunningImap, tls: TlsFiles) -> Callable[[str], Box]:
    """``make_account("mutt")``: a new account of that name."""
    return lambda name: make_box(running, tls, name)


@pytest.fixture
def make_imapflow(
    require_tool: Callable[[str], str], do_without: Callable[[str], NoReturn], tmp_path: Path
) -> Callable[[], ImapFlow]:
    """``make_imapflow()``: the client at the test's command."""
    node = require_tool("node")
    if not (FOLDER / "node_modules").is_dir():
        do_without("imapflow is not installed; make test installs it")
    version = run(node, "--version", cwd=tmp_path).decode().strip()
    if int(version.lstrip("v").split(".")[0]) < NODE_VERSION:
        do_without(f"imapflow needs Node.js {NODE_VERSION} or newer; {node} is {version}")
    return lambda: ImapFlow(node, tmp_path)
