"""An operator on a disk that fails: made once, opened again, delivered to, counted."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from harness.node import Node
from service.delivery_peers import Bench, make_bench, message, summary_of

from mailserver.app import build_services
from mailserver.config import load_config
from mailserver.crypto.custodian import Custodian
from mailserver.crypto.slots import ARGON2_FLOOR
from mailserver.model.errors import Unavailable
from mailserver.service.keys import OpenAccount
from mailserver.store import inspection

ADDRESS = "doc@a.localhost"
PASSWORD = "un mot de passe long"
LARGE = b"une longue ligne\r\n" * 8000


def make_disk_node(folder: Path) -> Bench:
    """An operator with one account, whose peer's name is kept beside it for other processes."""
    bench = make_bench(folder)
    bench.node.add(ADDRESS, password=PASSWORD)
    return bench


def open_node(config_path: Path, on_failure: Callable[[Unavailable], None] | None = None) -> Bench:
    config = load_config(config_path)
    custodian = Custodian.open(config.keys_folder)
    services = build_services(config, custodian, argon2=ARGON2_FLOOR, on_disk_failure=on_failure)
    services.trust.refresh(datetime.now(UTC))
    dn = next(each.dn for each in services.trust.current.entries if each.domain.name == "b.localhost")
    return Bench(Node(config_path.parent, custodian, services), dn)


def open_owner(bench: Bench) -> OpenAccount:
    return bench.services.keys.open_with_password(ADDRESS, PASSWORD)[0]


def numbered(number: int, *, is_large: bool) -> bytes:
    return message(
        f"numéro {number}".encode("ascii", "ignore").decode(), body=LARGE if is_large else b"petit"
    )


def deliver_numbered(bench: Bench, number: int, *, is_large: bool = False) -> str:
    (outcome,) = bench.deliver([ADDRESS], numbered(number, is_large=is_large))
    return str(outcome)


def count_by_subject(bench: Bench) -> dict[str, int]:
    """How often each message is there; each is read to its end on the way."""
    owner, counts = open_owner(bench), dict[str, int]()
    for item in bench.page(owner):
        subject = summary_of(item).subject
        assert bench.read(owner, item).endswith((b"petit", LARGE))
        counts[subject] = counts.get(subject, 0) + 1
    return counts


def find_problems(bench: Bench) -> list[tuple[str, str]]:
    """Counters, names both ways, digests and MACs, as ``pli check`` sees them; swept files aside."""
    with bench.store.database.read() as connection:
        return [
            *inspection.find_counter_problems(connection),
            *inspection.find_mac_problems(connection, bench.store.macs),
            *(
                problem
                for problem in inspection.find_blob_problems(connection, bench.store.blobs)
                if "swept" not in problem[0]
            ),
        ]
