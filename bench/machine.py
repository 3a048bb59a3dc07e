"""The machine and the versions that figures were measured with: a figure without them says nothing."""

import os
import platform
import re
import shutil
import sqlite3
import ssl
import subprocess
from importlib.metadata import version
from pathlib import Path


def describe_machine(folder: Path) -> dict[str, str]:
    """Facts by name; ``folder`` is where the measured files lie."""
    cpu = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores",
        "memory": f"{memory:.0f} GiB",
        "disk": describe_disk(folder),
        "system": f"{platform.system()} {platform.release()}, {_distribution()}",
        "Pli": f"{version('pli')}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"cryptography {version('cryptography')}, uvloop {version('uvloop')}, {ssl.OPENSSL_VERSION}",
        "peer": f"Postfix {_said('postconf', '-h', 'mail_version')}, Dovecot {_said('dovecot', '--version')}",
    }


def describe_disk(folder: Path) -> str:
    """File system and device that hold ``folder``."""
    best = ("", "", "")
    for line in Path("/proc/mounts").read_text().splitlines():
        device, point, kind = line.split()[:3]
        if folder.resolve().is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, device, kind)
    name = Path(best[1]).name
    spins = Path(f"/sys/class/block/{name}/queue/rotational")
    if name.startswith(("vd", "xvd")):  # what a hypervisor says of spinning means nothing
        media = ", virtual"
    elif spins.exists():
        media = ", spinning" if spins.read_text().strip() == "1" else ", solid state"
    else:
        media = ""
    return f"{best[2]} on {name}{media}"


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return "unknown distribution"


def _said(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return "absent"
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    return done.stdout.split()[0] if done.stdout.split() else "unknown"
