"""One port for people and for programs: the pages, and the API under its own path. Neither knows the other."""

from starlette.types import ASGIApp, Receive, Scope, Send

from mailserver.api.application import ApiServices, create_api
from mailserver.app.services import Services
from mailserver.service.throttle import Throttle

API_PATH = "/api/"


def build_api(services: Services, throttle: Throttle) -> ASGIApp:
    """The API over the services of a process."""
    return create_api(
        ApiServices(
            services.store, services.keys, services.permits, services.trust, services.custody, throttle
        )
    )


def join_site(pages: ASGIApp, api: ASGIApp) -> ASGIApp:
    """What is under API_PATH goes to the API, all else to the pages."""

    async def site(scope: Scope, receive: Receive, send: Send) -> None:
        is_api = scope["type"] == "http" and scope["path"].startswith(API_PATH)
        await (api if is_api else pages)(scope, receive, send)

    return site
