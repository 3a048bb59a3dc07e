"""``pli demo``: two operators on this machine, and the main job played through real protocols, one line a step.

``--once`` stops at the end with exit code 0, or at the first step that fails with 1; otherwise both operators keep
serving and the settings for a mail client are printed.
"""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mailserver.cli.demo_clients import HOST
from mailserver.cli.demo_relay import DemoRelay
from mailserver.cli.demo_stage import PASSWORD, PORT_NAMES, Operator, Person, Stage, set_up
from mailserver.cli.demo_story import STEPS, Story
from mailserver.model.errors import PliError


@dataclass(frozen=True, slots=True)
class Teller:
    """Prints one short line a step: what happened, and what to look at."""

    as_json: bool
    started: float

    def say(self, step: str, look: str, *, is_done: bool = True) -> None:
        """One step: what happened and what to look at; as words, or as one JSON object."""
        seconds = round(time.monotonic() - self.started, 1)
        if self.as_json:
            fields = {"step": step, "look": look, "done": is_done, "seconds": seconds}
            print(json.dumps(fields, ensure_ascii=False), flush=True)
        else:
            mark = "ok" if is_done else "FAILED"
            print(f"[{seconds:5.1f} s] {mark:6} {step}\n          {look}", flush=True)


def demo(folder: Path, *, once: bool, as_json: bool) -> int:
    """Play the story; 0 when every step worked. However it ends, both operators end with it: after SIGTERM or
    SIGHUP by SystemExit, as Ctrl-C does by KeyboardInterrupt.
    """
    teller = Teller(as_json, time.monotonic())
    with ExitStack() as at_end:
        at_end.enter_context(_signals_exit())
        relay = DemoRelay()
        at_end.callback(relay.server_close)
        at_end.callback(relay.shutdown)
        if not as_json:
            print("making keys, certificates and two operators (about ten seconds)", flush=True)
        try:
            stage = set_up(folder, relay.port, at_end)
        except PliError as error:
            teller.say("two operators start", error.detail or error.code, is_done=False)
            return 1
        teller.say(
            "two operators serve", f"{stage.a.domain} and {stage.b.domain}, logs in {folder}/a, {folder}/b"
        )
        if not _play(Story(stage, relay), teller):
            return 1
        if once:
            return _end(stage, teller)
        _print_settings(stage)
        _serve_on(relay)
        return 0


@contextmanager
def _signals_exit() -> Iterator[None]:
    """SIGTERM and SIGHUP raise SystemExit in the main thread, once: what stops then is not interrupted again. It is
    raised anew at the end, for a library that says its goodbyes on the way out may put its own error in its place.
    """
    received: list[int] = []

    def leave(number: int, _frame: object) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        received.append(number)
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        raise SystemExit(128 + received[0])


def _play(story: Story, teller: Teller) -> bool:
    for name, act in STEPS:
        try:
            look = act(story)
        except Exception as error:  # noqa: BLE001 # whatever it is, the step that failed is named
            detail = error.detail if isinstance(error, PliError) else f"{type(error).__name__}: {error}"
            teller.say(name, detail or str(error), is_done=False)
            return False
        teller.say(name, look)
    return True


def _end(stage: Stage, teller: Teller) -> int:
    codes = stage.stop()
    teller.say(
        "both operators stop in order", f"exit codes {codes[0]} and {codes[1]}", is_done=not any(codes)
    )
    return 1 if any(codes) else 0


def _print_settings(stage: Stage) -> None:
    print(
        "\nBoth operators keep serving. For a mail client (trust the demo authority below, or accept its certificate once):\n"
    )
    for operator, person in ((stage.a, stage.cardiologist), (stage.b, stage.doctor)):
        _print_person(operator, person)
    print(f"  Patient: {stage.patient.name}, https://{HOST}:{stage.a.port('web')}/")
    print(
        f"    address {stage.patient.address}\n    password {PASSWORD}\n    the one-time codes are printed here\n"
    )
    print(f"  Demo authority: {stage.authority}/demo-ca.pem\n\nCtrl-C stops both.", flush=True)


def _print_person(operator: Operator, person: Person) -> None:
    ports = {name: operator.port(name) for name in PORT_NAMES}
    print(f"  {person.name}, at {operator.domain}, server {HOST}")
    print(f"    user name {person.address}\n    password  {person.app_password}")
    print(f"    IMAP {ports['imaps']} TLS (or {ports['imap']} STARTTLS)", end="; ")
    print(f"SMTP {ports['submissions']} TLS (or {ports['submission']} STARTTLS)\n")


def _serve_on(relay: DemoRelay) -> None:
    """Until Ctrl-C; each notice that arrives at the ordinary relay is shown."""
    wait: Callable[[], str | None] = lambda: relay.wait_for("", seconds=1)  # noqa: E731 # one line, named for the loop
    try:
        while True:
            if (notice := wait()) is not None:
                print(f"--- an ordinary e-mail arrived for the patient ---\n{notice}", flush=True)
            threading.Event().wait(0.1)
    except KeyboardInterrupt:
        print("Stopping.")
