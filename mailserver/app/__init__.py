"""The composition root: services of one process, the worker and the supervisor. It alone knows every class."""

from mailserver.app.services import Services, build_services
from mailserver.app.trust_lists import open_trust_store

__all__ = ["Services", "build_services", "open_trust_store"]
