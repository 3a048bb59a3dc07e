"""The suite's own promises: no socket in pure tests, warnings that fail."""

import socket
import warnings

import pytest


def test_sockets_are_off() -> None:
    with socket.socket() as client, pytest.raises(AssertionError, match="sockets are off"):
        client.connect(("127.0.0.1", 9))


def test_warnings_are_errors() -> None:
    with pytest.raises(UserWarning, match="seen"):
        warnings.warn("seen", stacklevel=1)
