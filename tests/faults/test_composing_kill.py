"""A mail that is being composed when its process is killed leaves no file, named or not, and nothing plain."""

import subprocess
import sys
from pathlib import Path


def test_a_killed_upload_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "blobs"
    command = [sys.executable, str(Path(__file__).with_name("composing_process.py")), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            held = process.stdout.readline().strip()
            octets = [
                each.read_bytes() for each in Path(f"/proc/{process.pid}/fd").iterdir() if is_in(each, folder)
            ]
        finally:
            process.kill()
    assert held == b"1"
    (scratch,) = octets
    assert len(scratch) > 1_000_000
    assert b"IHE_XDM" not in scratch, "sealed as it comes (S5)"
    assert b"SUhFX1hETS" not in scratch
    assert [each for each in folder.rglob("*") if each.is_file()] == []


def is_in(link: Path, folder: Path) -> bool:
    return str(link.readlink()).startswith(str(folder))
