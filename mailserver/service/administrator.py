"""An administrator's acts, and the server's own, as the person whose account it is reads them in the access log (L1)."""

from datetime import datetime

from mailserver.audit.events import (
    Actor,
    ActorKind,
    AuditEvent,
    AuditObject,
    EventKind,
    ObjectKind,
    ParameterName,
)

ADMINISTRATOR = Actor(ActorKind.ADMINISTRATOR, "Administrateur", "pli account")
SERVER = Actor(ActorKind.SYSTEM, "Serveur de messagerie")
LOG_ADMINISTRATOR = Actor(ActorKind.ADMINISTRATOR, "Administrateur", "pli log")
QUEUE_ADMINISTRATOR = Actor(ActorKind.ADMINISTRATOR, "Administrateur", "pli queue")


def administrator_act(
    now: datetime, kind: EventKind, what: ObjectKind, act: str, *more: tuple[ParameterName, str]
) -> AuditEvent:
    """One act with its name, and ``more`` parameters in the order of their names."""
    parameters = ((ParameterName.ACT, act), *more)
    return AuditEvent(kind, now, ADMINISTRATOR, AuditObject(what, parameters=parameters))
