"""Give the fuzz targets octets that reach new code: ``make fuzz ARGS="--seconds 60 imap_framing"``.

Each target runs in a process of its own, for so many seconds, on tests/fuzz/corpus and on what earlier runs found
(.work/fuzz). A find is printed, kept as .work/fuzz/NAME/crash-…, and the command ends with 1: fix it, and add the file
to the corpus, where every run of the tests plays it again.
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORK = ROOT / ".work" / "fuzz"
INPUT_BYTES = 8192
SLOW_SECONDS = 10
MEMORY_MIB = 2048
SAMPLES = {"mime_message": ("tests/data/mime",), "xdm_archive": ("tests/data/xdm", "tests/data/xdm-field")}
"""Where more octets of a target's kind lie."""


def main() -> int:
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("target", nargs="*", help="all of them when none is named")
    asked = parser.parse_args()
    if asked.alone:
        explore(asked.target[0], asked.seconds)
    from fuzz.targets import TARGETS

    if unknown := set(asked.target) - TARGETS.keys():
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    failed = [name for name in asked.target or TARGETS if run_alone(name, asked.seconds)]
    print(f"found something: {', '.join(failed)}" if failed else "nothing found")
    return 1 if failed else 0


def run_alone(name: str, seconds: int) -> int:
    print(f"--- {name}, {seconds} s", flush=True)
    command = [sys.executable, str(Path(__file__)), "--alone", "--seconds", str(seconds), name]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def explore(name: str, seconds: int) -> None:
    """Never returns: libFuzzer ends the process, with another code than 0 when something was found."""
    import atheris

    with atheris.instrument_imports(include=["mailserver", "webmail"]):
        from fuzz.targets import CORPUS, TARGETS
    own = WORK / name
    (own / "corpus").mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={INPUT_BYTES}",
        f"-timeout={SLOW_SECONDS}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-artifact_prefix={own}/",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    folders = [own / "corpus", CORPUS / name, *(ROOT / each for each in SAMPLES.get(name, ()))]
    atheris.Setup([sys.argv[0], *options, *map(str, folders)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
