"""What a process that holds keys does first: no core dump, no reading by other processes, no life after its parent."""

import ctypes
import os
import resource
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


def harden_process() -> None:
    """RLIMIT_CORE 0 and PR_SET_DUMPABLE 0 (K21)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def end_with_parent(parent: int) -> None:
    """A worker whose supervisor ``parent`` dies gets SIGTERM: it stops in order, and a new supervisor starts its own.

    Raises SystemExit when the parent died before the signal was asked for: nobody would send it.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit(1)


def raise_file_limit() -> None:
    """As many open files as the system allows: one per connection."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
