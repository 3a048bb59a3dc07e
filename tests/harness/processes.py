"""Which processes a process has started, as the kernel sees it; waiting for what they do."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def list_children(parent: int) -> list[int]:
    """Pids of the live children of ``parent``."""
    pids = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                if int(fields[1]) == parent:
                    pids.append(int(folder.name))
    return pids


def list_descendants(ancestor: int) -> list[int]:
    """Pids of the children, of their children, and so on."""
    children = list_children(ancestor)
    return [*children, *(pid for child in children for pid in list_descendants(child))]


def find_server(port: int, client_port: int, among: list[int]) -> int | None:
    """Which process of ``among`` serves the connection from ``client_port`` to ``port`` of 127.0.0.1."""
    ends = (f"0100007F:{port:04X}", f"0100007F:{client_port:04X}")
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
    links = {f"socket:[{row[9]}]" for row in rows if (row[1], row[2]) == ends}
    for pid in among:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                if str(descriptor.readlink()) in links:
                    return pid
    return None


def wait_for(look: Callable[[], T | None], seconds: float = 20.0) -> T:
    """What ``look`` finds as soon as it finds something; a failed test when that takes too long."""
    end = time.monotonic() + seconds
    while (found := look()) is None:
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found
