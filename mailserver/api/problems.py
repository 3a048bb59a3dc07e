"""What a refused program is told (RFC 9457): one table from error to status and words, in French and English.

Each text says what happened, why, and what to do. Nothing of the request stands in it; what failed on our side has an
incident number that the operator's log has too.
"""

import logging
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from mailserver.api.credentials import CHALLENGE
from mailserver.audit.wording import Language
from mailserver.log import incident_id
from mailserver.model.errors import Corrupt, Denied, Malformed, NotFound, OverLimit, PliError, Unavailable
from mailserver.service.languages import choose_language

TYPES = "/api/v1/problems/"
"""RFC 9457 §3.1.1: each type is this path and a word. It names the problem; there is no page behind it."""
MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = {"rate": "15", "unavailable": "60"}

logger = logging.getLogger("pli.api")


@dataclass(frozen=True, slots=True)
class Problem:
    status: int
    title_fr: str
    detail_fr: str
    title_en: str
    detail_en: str


PROBLEMS = {
    "login": Problem(
        401,
        "Identification refusée",
        "L'adresse ou le mot de passe d'application manque, est faux, ou n'est plus valable. Envoyez les deux par HTTP "
        "Basic ; un administrateur crée le mot de passe avec « pli account app-password --scope api ».",
        "Login refused",
        "The address or the app password is missing, wrong, or over. Send both by HTTP Basic; an administrator makes the "
        'password with "pli account app-password --scope api".',
    ),
    "scope": Problem(
        403,
        "Ce mot de passe d'application ne convient pas",
        "Il est juste, mais il a été créé pour un logiciel de messagerie et n'ouvre pas l'espace de la personne. Demandez "
        "un mot de passe d'application de portée « api ».",
        "This app password does not serve here",
        "It is right, but it was made for a mail client and does not open the person's space. Ask for an app password of "
        'scope "api".',
    ),
    "absent": Problem(
        404,
        "Rien à cette adresse",
        "L'adresse est fausse, ou ce message n'a pas été envoyé par ce compte, ou son suivi n'est plus gardé. Partez de la "
        "liste, /api/v1/sent.",
        "Nothing here",
        "The address is wrong, or this account did not send such a message, or what became of it is kept no longer. Start "
        "from the list, /api/v1/sent.",
    ),
    "method": Problem(
        405,
        "Méthode refusée",
        "Cette adresse n'accepte pas cette méthode HTTP. Employez l'une de celles de l'en-tête Allow.",
        "Method refused",
        "This address does not take this HTTP method. Use one of those in the header Allow.",
    ),
    "slow": Problem(
        408,
        "Demande trop lente",
        "Le corps de la demande n'est pas arrivé à temps, rien n'a été fait. Envoyez-le d'un seul coup.",
        "Request too slow",
        "The body of the request did not come in time, so nothing was done. Send it at once.",
    ),
    "too-large": Problem(
        413,
        "Demande trop grande",
        "Le corps de la demande dépasse 4 Kio, rien n'a été fait. Envoyez un seul Message-ID.",
        "Request too large",
        "The body of the request is over 4 KiB, so nothing was done. Send one Message-ID only.",
    ),
    "media-type": Problem(
        415,
        "Type de contenu refusé",
        "Le corps de la demande doit être du JSON. Envoyez-le avec « Content-Type: application/json ».",
        "Content type refused",
        'The body of the request must be JSON. Send it with "Content-Type: application/json".',
    ),
    "request": Problem(
        400,
        "Demande mal formée",
        "Un paramètre ou le corps ne suit pas la forme décrite dans docs/api.md, rien n'a été fait. Corrigez le programme.",
        "Malformed request",
        "A parameter or the body does not follow the form told in docs/api.md, so nothing was done. Correct the program.",
    ),
    "rate": Problem(
        429,
        "Trop de demandes",
        "Ce mot de passe d'application a demandé plus que deux fois par seconde, rien n'a été fait. Attendez le délai de "
        "l'en-tête Retry-After, puis reprenez plus lentement.",
        "Too many requests",
        "This app password asked more than twice a second, so nothing was done. Wait as long as the header Retry-After "
        "says, then go on more slowly.",
    ),
    "corrupt": Problem(
        500,
        "Contenu abîmé",
        "Un enregistrement a été abîmé ou altéré dans notre stockage, il n'est donc pas ouvert. Donnez à votre opérateur le "
        "numéro d'incident.",
        "Damaged content",
        "A record was damaged or altered in our store, so it is not opened. Give your operator the incident number.",
    ),
    "internal": Problem(
        500,
        "Erreur de notre côté",
        "Une erreur est survenue chez nous, pas chez vous. Réessayez dans quelques minutes ; si cela continue, donnez à "
        "votre opérateur le numéro d'incident.",
        "An error on our side",
        "Something failed on our side, not on yours. Try again in a few minutes; if it goes on, give your operator the "
        "incident number.",
    ),
    "unavailable": Problem(
        503,
        "Service momentanément indisponible",
        "Le service ne peut pas répondre pour l'instant, la difficulté vient de notre côté et rien n'est perdu. Réessayez "
        "dans quelques minutes.",
        "Service not available for the moment",
        "The service cannot answer now; the trouble is on our side and nothing is lost. Try again in a few minutes.",
    ),
}  # fmt: skip


def problem_answer(language: Language, code: str, incident: str = "") -> JSONResponse:
    """The whole answer, in the language that was asked for."""
    problem = PROBLEMS[code]
    is_french = language is Language.FRENCH
    body: dict[str, object] = {
        "type": TYPES + code,
        "title": problem.title_fr if is_french else problem.title_en,
        "status": problem.status,
        "detail": problem.detail_fr if is_french else problem.detail_en,
    }
    headers = {"content-language": language.value}
    if incident:
        body["incident"] = incident
    if problem.status == 401:
        headers["www-authenticate"] = CHALLENGE
    if code in RETRY_SECONDS:
        headers["retry-after"] = RETRY_SECONDS[code]
    return JSONResponse(body, problem.status, headers, MEDIA_TYPE)


async def tell_error(request: Request, error: Exception) -> JSONResponse:
    """A PliError as its problem; what failed on our side is a line in the operator's log."""
    code, incident = _code_of(error), ""
    if PROBLEMS[code].status >= 500:
        incident = incident_id()
        said = error.code if isinstance(error, PliError) else type(error).__name__
        logger.warning("a request was refused", extra={"code": said, "incident": incident})
    return problem_answer(language_of(request), code, incident)


async def tell_http_error(request: Request, error: Exception) -> JSONResponse:
    """What routing refuses: no such path, not this method (RFC 9110 §15.5.6 asks for Allow)."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: "absent", 405: "method"}.get(status, "request")
    answer = problem_answer(language_of(request), code)
    if isinstance(error, HTTPException) and error.headers:
        answer.headers.update(error.headers)
    return answer


def language_of(request: Request) -> Language:
    """The language that the client asks for."""
    return choose_language(request.headers.get("accept-language", ""))


def _code_of(error: Exception) -> str:
    match error:
        case Denied(code="login") | Malformed(code="credentials"):
            return "login"
        case Denied():
            return "scope"
        case NotFound():
            return "absent"
        case OverLimit(code="request-rate"):
            return "rate"
        case OverLimit(code="slow"):
            return "slow"
        case OverLimit():
            return "too-large"
        case Malformed(code="media-type"):
            return "media-type"
        case Malformed():
            return "request"
        case Unavailable():
            return "unavailable"
        case Corrupt():
            return "corrupt"
        case _:
            return "internal"
