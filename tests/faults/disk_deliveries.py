"""A process that delivers into an operator's folder and says what was acknowledged; run under strace by the tests.

``disk_deliveries.py CONFIG MODE COUNT``: prints ``ready``, then one line for each message; exits 70 when the store
told it of a failed sync, as a worker does (R5).
"""

import os
import sys
from pathlib import Path

from faults.disk_node import deliver_numbered, open_node

from mailserver.model.errors import PliError, Unavailable


def say(*words: object) -> None:
    """One line, whole, whichever thread says it."""
    os.write(1, f"{' '.join(map(str, words))}\n".encode())


def stop(error: Unavailable) -> None:
    say("told", error.code)
    os._exit(70)


def main() -> None:
    config, mode, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    bench = open_node(config, stop)
    say("ready")
    for number in range(count):
        os.access(f"message-{number}", os.F_OK)  # a mark in the trace: what follows belongs to this message
        try:
            outcome = deliver_numbered(bench, number, is_large=mode == "large")
        except PliError as error:
            say("refused", number, error.code)
        else:
            say("acknowledged", number, outcome)
    os.access("messages-end", os.F_OK)
    bench.node.close()


if __name__ == "__main__":
    main()
