"""Whether the ports of the configuration are ours to serve.

Workers share their ports with SO_REUSEPORT, which lets another operator's workers share them too and take half of the
mail: so the supervisor asks for each port once, alone, before any worker starts.
"""

import errno
import socket
import time

from mailserver.config import ListenConfig
from mailserver.model.errors import Unavailable

_AGAIN_SECONDS = 0.05


def demand_ports(listen: ListenConfig, wait_seconds: float) -> None:
    """Raises Unavailable("port-in-use") when another program still listens on one of them after ``wait_seconds``;
    OSError for a port or an address that this process may not have.
    """
    deadline = time.monotonic() + wait_seconds
    for key, port in listen.ports.items():
        while not _is_free(listen.host, port):
            if time.monotonic() >= deadline:
                raise Unavailable(
                    "port-in-use", f"Port {port} of {listen.host} ({key} in [listen] of pli.toml)"
                )
            time.sleep(_AGAIN_SECONDS)


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ended connections may linger there
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True
