"""How notices leave, as the configuration says: which relay, entered how."""

from pathlib import Path

from mailserver.config import Config
from mailserver.crypto.secret import Secret
from mailserver.gateway.ordinary_relay import OrdinaryRelay, RelayAccess
from mailserver.model.address import parse_address
from mailserver.model.errors import Malformed
from mailserver.model.hop import LinkSecurity, NextHop

SECRET_BYTES = 4096


def open_relay(config: Config) -> OrdinaryRelay | None:
    """The ordinary relay; None when none is configured. Raises Malformed when a file cannot be used."""
    relay = config.relay
    if not relay.host:
        return None
    access = RelayAccess(
        NextHop(relay.host, relay.port),
        LinkSecurity(relay.security),
        config.path(relay.authority) if relay.authority else None,
        relay.user,
        _read_secret(config.path(relay.password_file), "relay-password") if relay.password_file else None,
    )
    sender = parse_address(relay.sender or f"ne-pas-repondre@{config.operator.domains[0]}")
    return OrdinaryRelay(access, sender, config.operator.name, config.operator.hostname)


def _read_secret(path: Path, code: str) -> Secret:
    """One line of a file. Raises Malformed with ``code``."""
    try:
        with path.open("rb") as file:
            line = file.read(SECRET_BYTES).strip()
    except OSError as error:
        raise Malformed(code, "the file cannot be read") from error
    if not line or b"\n" in line or b"\0" in line:
        raise Malformed(code, "the file must hold one line")
    return Secret(line)
