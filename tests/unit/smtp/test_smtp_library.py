"""What smtp.engine relies on in aiosmtpd and asyncio: a change of a private name fails here, not in production."""

import ast
import asyncio
import inspect
import logging
from pathlib import Path

import aiosmtpd
import pytest
from aiosmtpd.smtp import SMTP

from mailserver.smtp import engine


class Closing(asyncio.Transport):
    def is_closing(self):
        return True


def test_version():
    assert aiosmtpd.__version__ == engine.VERSION


@pytest.mark.parametrize(
    "name",
    [
        "_handle_client",
        "_reset_timeout",
        "_timeout_cb",
        "handle_exception",
        "connection_made",
        "connection_lost",
    ],
)
def test_methods(name):
    assert callable(getattr(SMTP, name))


def test_attributes():
    loop = asyncio.new_event_loop()
    try:
        protocol = SMTP(object(), hostname="a.example", loop=loop)
        for name in ("_timeout_handle", "_handler_coroutine", "transport", "session", "loop"):
            assert hasattr(protocol, name), name
        for name in ("_stream_reader_wr", "_over_ssl", "_transport"):
            assert hasattr(protocol, name), name
        reader = asyncio.StreamReader(loop=loop)
        assert reader._buffer == bytearray()
        assert reader._transport is None
        assert "_transport" in vars(asyncio.StreamWriter(Closing(), protocol, reader, loop))
    finally:
        loop.close()


def test_the_library_reads_with_our_limit():
    assert "limit=self.line_length_limit" in inspect.getsource(SMTP.__init__)


def test_connection_made_starts_our_loop():
    assert "self._handle_client()" in inspect.getsource(SMTP.connection_made)
    assert {"self._reader = reader", "self._writer = writer"} <= {
        line.strip() for line in inspect.getsource(SMTP._cb_client_connected).splitlines()
    }


def test_no_command_of_the_library_is_reached():
    """Ours never looks at the table of the library's commands, nor calls its way of replying."""
    source = Path(engine.__file__).read_text()
    names = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    assert not names & {"_smtp_methods", "push", "event_handler", "_call_handler_hook", "envelope"}
    assert "_handle_client" in vars(engine.Engine)
    assert "handle_exception" in vars(engine.Engine)


def test_its_tables_are_empty():
    loop = asyncio.new_event_loop()
    try:
        library = SMTP(object(), hostname="a.example", loop=loop)
        assert library._smtp_methods
        assert library._auth_methods
        ours = SMTP.__new__(engine.Engine)
        SMTP.__init__(ours, engine._Nameless(), hostname="a.example", loop=loop)
        assert (ours._smtp_methods, ours._auth_methods, ours._handle_hooks) == ({}, {}, {})
    finally:
        loop.close()


def test_one_module_knows_it():
    folder = Path(engine.__file__).parent
    users = [path.name for path in folder.glob("*.py") if "import SMTP" in path.read_text()]
    assert users == ["engine.py"]


def test_its_log_is_quiet():
    engine.quiet_library()
    assert logging.getLogger("mail.log").level == logging.WARNING
