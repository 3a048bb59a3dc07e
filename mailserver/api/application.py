"""The API as one application under ``/api``: its routes over the services that it needs. ``docs/api.md`` is its contract,
``docs/openapi.json`` the same for programs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from mailserver.api.guard import ApiGuard
from mailserver.api.health import Health
from mailserver.api.login import ApiLogin
from mailserver.api.problems import tell_error, tell_http_error
from mailserver.api.sent_messages import SentMessages
from mailserver.crypto.custodian_verbs import CustodianVerbs
from mailserver.model.errors import PliError
from mailserver.policy.trust_store import TrustStore
from mailserver.service.keys import Keys
from mailserver.service.mail_permit import MailPermits
from mailserver.service.readiness import ReadinessCheck
from mailserver.service.throttle import Throttle
from mailserver.service.timelines import Timelines
from mailserver.store.store import Store


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class ApiServices:
    """What the API needs of a process; the throttle is the one of all its edges (S9)."""

    store: Store
    keys: Keys
    permits: MailPermits
    trust: TrustStore
    custody: CustodianVerbs
    throttle: Throttle
    clock: Callable[[], datetime] = utc_now


def create_api(services: ApiServices) -> Starlette:
    """The application, for a port behind TLS."""
    login = ApiLogin(services.keys, services.permits, services.throttle, services.clock)
    sent = SentMessages(login, Timelines(services.store))
    health = Health(ReadinessCheck(services.store, services.trust, services.custody), services.clock)
    app = Starlette(
        routes=[
            Route("/api/v1/health", health.show, methods=["GET"]),
            Route("/api/v1/sent", sent.show_list, methods=["GET"]),
            Route("/api/v1/sent/search", sent.search, methods=["POST"]),
            Route("/api/v1/sent/{sent_id}", sent.show_one, methods=["GET"]),
        ],
        exception_handlers={PliError: tell_error, HTTPException: tell_http_error},
    )
    app.router.redirect_slashes = False
    app.add_middleware(ApiGuard)
    return app
