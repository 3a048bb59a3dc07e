"""A process of its own mount namespace: an operator on a small tmpfs that fills up and is freed again.

``disk_full.py FOLDER`` prints one JSON object with what was acknowledged, refused and found afterwards.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from faults.disk_node import count_by_subject, deliver_numbered, find_problems, make_disk_node

from mailserver.model.errors import PliError

DISK_BYTES = 24 * 1024 * 1024
LEFT_BYTES = 4 * 1024 * 1024
MOST = 2000


def fill(path: Path, left_bytes: int) -> None:
    """Take all but ``left_bytes`` of the disk."""
    state = os.statvfs(path.parent)
    with path.open("wb") as file:
        file.write(bytes(state.f_bavail * state.f_frsize - left_bytes))


def main() -> None:
    disk = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", disk], check=True)
    bench = make_disk_node(disk)
    ballast = bench.node.folder / "data" / "ballast"
    fill(ballast, LEFT_BYTES)
    result: dict = {"acknowledged": [], "refused": [], "after": []}

    def deliver(number: int, *, is_large: bool) -> bool:
        try:
            deliver_numbered(bench, number, is_large=is_large)
        except PliError as error:
            result["refused"].append([type(error).__name__, error.code, error.detail])
            return False
        result["acknowledged"].append(number)
        return True

    numbers = iter(range(MOST))
    for is_large in (True, False):
        while deliver(next(numbers), is_large=is_large):
            pass
        for _again in range(5):
            deliver(next(numbers), is_large=is_large)
    result["problems while full"] = find_problems(bench)
    ballast.unlink()
    for is_large in (True, False):
        number = next(numbers)
        result["after"].append(deliver(number, is_large=is_large))
    result["problems"] = find_problems(bench)
    result["counts"] = count_by_subject(bench)
    bench.node.close()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
