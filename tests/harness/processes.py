"""Which processes a process has started, as the kernel sees it."""

import contextlib
from pathlib import Path


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
