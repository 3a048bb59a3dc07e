"""Where the server of a domain is: fixed routes of the configuration, then its routes file, then MX records.

The file is read again when it changes; one that cannot be read leaves the last good routes in force.
"""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from mailserver.model.address import DomainName, parse_domain
from mailserver.model.errors import Malformed
from mailserver.model.hop import NextHop, parse_hop

NO_ROUTE = 'no route to this domain: set it in routes of [trust] ("host:port") or in routes_file, or set mx = true to ask the DNS'
_ROUTES_BYTES = 4 * 1024 * 1024

logger = logging.getLogger("pli.gateway")


LookUpMx = Callable[[DomainName], tuple[NextHop, ...]]
"""The hosts of a domain's MX records, most preferred first (RFC 5321 §5.1); blocks, so called from a pool thread."""


def look_up_no_mx(_domain: DomainName) -> tuple[NextHop, ...]:
    """For an operator that keeps to routes."""
    return ()


class Routes:
    """Next hops. ``fixed`` wins over ``file``, and both over MX records. Raises Malformed for a bad fixed route."""

    def __init__(
        self, fixed: Mapping[str, str], file: Path | None = None, look_up_mx: LookUpMx = look_up_no_mx
    ) -> None:
        self._fixed = _parse_routes(fixed)
        self._file = file
        self._from_file: dict[DomainName, NextHop] = {}
        self._seen: tuple[int, int, int] | None = None
        self._look_up_mx = look_up_mx

    def list_hops(self, domain: DomainName) -> tuple[NextHop, ...]:
        """The servers to try, in order; empty when none is known. Raises what the lookup raises; pool threads only."""
        self._refresh()
        found = self._fixed.get(domain) or self._from_file.get(domain)
        return (found,) if found is not None else self._look_up_mx(domain)

    def _refresh(self) -> None:
        if self._file is None:
            return
        try:
            state = self._file.stat()
            seen = (state.st_mtime_ns, state.st_size, state.st_ino)
            if seen == self._seen:
                return
            self._seen = seen
            self._from_file = _parse_routes(_read(self._file))
        except (OSError, ValueError, Malformed) as error:
            reason = error.code if isinstance(error, Malformed) else type(error).__name__
            logger.error("routes_file not taken, the last good routes are kept", extra={"code": reason})  # noqa: TRY400 # no trace of use


def _read(file: Path) -> Mapping[str, str]:
    with file.open("rb") as opened:
        routes: object = json.loads(opened.read(_ROUTES_BYTES))
    if not isinstance(routes, dict):
        raise Malformed("route-syntax", "the file is not one JSON object")
    return routes


def _parse_routes(routes: Mapping[str, str]) -> dict[DomainName, NextHop]:
    return {parse_domain(str(domain)): parse_hop(str(hop)) for domain, hop in routes.items()}
