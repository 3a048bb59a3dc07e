"""What became of one attempt to hand a message over, and why, in words for its sender.

In French and English what happened, why and what to do; the peer's own words stand in a report and never in a log.
"""

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum

from mailserver.policy.decision import Reason
from mailserver.policy.wording import wording_for

WORDS_CHARACTERS = 400
"""Room for a sentence in each of two languages, as our own replies have them."""
_CUT = " ..."
_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}\b")
_NOT_PRINTABLE = re.compile(r"[^ -~]+")


class Fate(StrEnum):
    DELIVERED = "delivered"
    PASSING = "passing"
    """Trying again may work."""
    REFUSED = "refused"


class Cause(StrEnum):
    """Where an attempt ended. Each but ``DELIVERED`` has its explanation below."""

    DELIVERED = "delivered"
    NO_ROUTE = "no-route"
    NO_SUCH_DOMAIN = "no-such-domain"
    TAKES_NO_MAIL = "takes-no-mail"
    DNS_SILENT = "dns-silent"
    UNREACHABLE = "unreachable"
    LINK_LOST = "link-lost"
    OUR_CERTIFICATE = "our-certificate"
    POLICY = "policy"
    PEER_REPLY = "peer-reply"
    NEEDS_8BIT = "needs-8bit"
    NEEDS_UTF8 = "needs-utf8"
    NEEDS_REQUIRETLS = "needs-requiretls"
    UNFIT_OCTETS = "unfit-octets"
    STORED_DAMAGED = "stored-damaged"
    INTERNAL = "internal"
    NO_RELAY = "no-relay"
    EXPIRED = "expired"
    REMOVED = "removed"
    HELD = "held"
    INTERRUPTED = "interrupted"


_STATUS_OF = {
    Cause.NO_ROUTE: "4.4.4",
    Cause.NO_SUCH_DOMAIN: "5.1.2",
    Cause.TAKES_NO_MAIL: "5.1.10",  # RFC 7505 §4.2
    Cause.DNS_SILENT: "4.4.3",
    Cause.UNREACHABLE: "4.4.1",
    Cause.LINK_LOST: "4.4.2",
    Cause.OUR_CERTIFICATE: "4.7.5",
    Cause.NEEDS_8BIT: "5.6.3",
    Cause.NEEDS_UTF8: "5.6.7",
    Cause.NEEDS_REQUIRETLS: "5.7.30",
    Cause.UNFIT_OCTETS: "5.6.0",
    Cause.STORED_DAMAGED: "5.3.0",
    Cause.INTERNAL: "4.3.0",
    Cause.NO_RELAY: "5.3.5",
    Cause.EXPIRED: "5.4.7",
    Cause.REMOVED: "5.7.0",
    Cause.HELD: "5.4.7",
    Cause.INTERRUPTED: "4.3.0",
}


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """One attempt's end. ``detail`` is ours and safe to log; ``words`` are the peer's and go into a report only."""

    fate: Fate
    cause: Cause
    reply_code: int = 0
    status: str = "2.0.0"
    words: str = field(default="", repr=False)
    detail: str = ""
    reason: Reason | None = None
    is_reported_on: bool = False
    """The peer took the sender's wish to be told over with the message (RFC 3461 §5.2.2)."""

    @property
    def name(self) -> str:
        """What the attempt's row and the operator's log call it."""
        return self.cause.value if self.reason is None else self.reason.value


def passing(cause: Cause, detail: str = "") -> AttemptResult:
    return AttemptResult(Fate.PASSING, cause, status=_STATUS_OF[cause], detail=detail)


def refused(cause: Cause, detail: str = "") -> AttemptResult:
    return AttemptResult(Fate.REFUSED, cause, status=_STATUS_OF[cause], detail=detail)


def refused_by_policy(reason: Reason, detail: str = "") -> AttemptResult:
    """Our own rule ended it: for good, unless the reason passes by itself (a stale list, an unclear handshake)."""
    wording = wording_for(reason)
    is_passing = wording.is_temporary or reason is Reason.HANDSHAKE_FAILED
    fate = Fate.PASSING if is_passing else Fate.REFUSED
    status = f"{4 if is_passing else 5}{wording.enhanced[1:]}"
    return AttemptResult(fate, Cause.POLICY, status=status, detail=detail, reason=reason)


def put_off(result: AttemptResult) -> AttemptResult:
    """The same end, for the same reason, to be tried again: who brought it about has proved nothing."""
    if result.fate is not Fate.REFUSED:
        return result
    return replace(result, fate=Fate.PASSING, status=f"4{result.status[1:]}")


def answered(code: int, text: str) -> AttemptResult:
    """The peer's reply to the step that decided (RFC 5321 §4.2.1): 2yz done, 5yz never, anything else later."""
    words = clean_words(text)
    fate = {2: Fate.DELIVERED, 5: Fate.REFUSED}.get(code // 100, Fate.PASSING)
    stated = _STATUS.match(words)
    leading = {Fate.DELIVERED: "2", Fate.PASSING: "4", Fate.REFUSED: "5"}[fate]
    status = stated[0] if stated and stated[0][0] == leading else f"{leading}.0.0"
    cause = Cause.DELIVERED if fate is Fate.DELIVERED else Cause.PEER_REPLY
    return AttemptResult(fate, cause, code, status, words)


def clean_words(text: str) -> str:
    """A peer's text as one line of printable ASCII; one that is longer than the room ends in dots."""
    words = " ".join(_NOT_PRINTABLE.sub(" ", text).split())
    is_long = len(words) > WORDS_CHARACTERS
    return f"{words[: WORDS_CHARACTERS - len(_CUT)]}{_CUT}" if is_long else words


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why and what to do, for the sender, in both languages."""

    why_fr: str
    todo_fr: str
    why_en: str
    todo_en: str


_RESEND_FR = "Renvoyez-le plus tard ; s'il est urgent, joignez le destinataire par un autre moyen."
_RESEND_EN = "Send it again later; if it is urgent, reach the recipient by another way."
_LOOK_FR = "Cherchez dans l'annuaire une autre adresse de ce destinataire, puis renvoyez."
_LOOK_EN = "Look for another address of this recipient in the directory, then send again."
_TELL_FR = (
    "Prévenez votre opérateur, ou celui du destinataire, en lui transmettant ce rapport ; si c'est urgent, "
    "joignez le destinataire par un autre moyen."
)
_TELL_EN = "Give this report to your operator or the recipient's; if it is urgent, reach the recipient by another way."
_OF_PEER_CERTIFICATE = Explanation(
    "le serveur du destinataire n'a pas pu prouver qu'il appartient à l'espace de confiance (certificat ou liaison "
    "non conforme). Votre message ne lui a pas été confié.",
    _TELL_FR,
    "the recipient's server could not prove that it belongs to the trust space (unsuitable certificate or link). "
    "Your message was not handed to it.",
    _TELL_EN,
)
_OF_TRUST_LIST = Explanation(
    "la liste des domaines de santé détenue par votre opérateur est absente ou trop ancienne : il n'écrit à personne.",
    _TELL_FR,
    "your operator's list of trusted health domains is missing or too old, so it writes to nobody.",
    _TELL_EN,
)
_BY_REASON = {
    Reason.TRUST_LIST_EMPTY: _OF_TRUST_LIST,
    Reason.TRUST_LIST_STALE: _OF_TRUST_LIST,
    Reason.REVOCATION_UNKNOWN: replace(
        _OF_TRUST_LIST,
        why_fr="votre opérateur ne peut pas vérifier que le certificat du serveur du destinataire est encore valable "
        "(sa liste de révocation est périmée).",
        why_en="your operator cannot check that the certificate of the recipient's server still holds (its revocation "
        "list is out of date).",
    ),
    Reason.RECIPIENT_DOMAIN_UNLISTED: Explanation(
        "le domaine du destinataire n'est plus dans la liste des domaines de santé.",
        "Cherchez dans l'annuaire une adresse de messagerie de santé de ce destinataire, puis renvoyez.",
        "the recipient's domain is no longer in the list of trusted health domains.",
        "Look for a secure health address of this recipient in the directory, then send again.",
    ),
    Reason.NO_TLS: replace(
        _OF_PEER_CERTIFICATE,
        why_fr="le serveur du destinataire n'offre pas de liaison chiffrée (TLS). Votre message ne lui a pas été confié.",
        why_en="the recipient's server offers no encrypted link (TLS). Your message was not handed to it.",
    ),
    Reason.WRONG_DN: replace(
        _OF_PEER_CERTIFICATE,
        why_fr="le certificat du serveur du destinataire n'est pas celui que la liste des domaines de santé annonce pour "
        "ce domaine. Votre message ne lui a pas été confié.",
        why_en="the certificate of the recipient's server is not the one listed for that domain. Your message was not "
        "handed to it.",
    ),
}
_BY_CAUSE = {
    Cause.NO_SUCH_DOMAIN: Explanation(
        "le DNS ne connaît aucun serveur de courrier pour ce domaine, qui a peut-être disparu.", _LOOK_FR,
        "the DNS knows no mail server for that domain, which may be gone.", _LOOK_EN),
    Cause.TAKES_NO_MAIL: Explanation(
        "le DNS dit que le domaine du destinataire ne reçoit aucun courrier.", _LOOK_FR,
        "the DNS says that the recipient's domain takes no mail.", _LOOK_EN),
    Cause.DNS_SILENT: Explanation(
        "le DNS ne dit pas, pour le moment, où se trouve le serveur du destinataire.", _RESEND_FR,
        "the DNS does not say, for now, where the recipient's server is.", _RESEND_EN),
    Cause.NO_ROUTE: Explanation(
        "votre opérateur ne sait pas où se trouve le serveur de ce domaine (aucune route configurée).",
        "Vérifiez l'adresse ; si elle est juste, demandez à votre opérateur d'ajouter une route.",
        "your operator does not know where the server of that domain is (no route is set).",
        "Check the address; if it is right, ask your operator to add a route.",
    ),
    Cause.UNREACHABLE: Explanation(
        "le serveur du destinataire ne répond pas.", _RESEND_FR,
        "the recipient's server does not answer.", _RESEND_EN),
    Cause.LINK_LOST: Explanation(
        "la liaison avec le serveur du destinataire a été coupée pendant l'envoi.",
        _RESEND_FR,
        "the link to the recipient's server was cut while sending.",
        _RESEND_EN,
    ),
    Cause.OUR_CERTIFICATE: Explanation(
        "le serveur du destinataire a coupé juste après STARTTLS : il a sans doute refusé le certificat de votre opérateur.",
        "Demandez à votre opérateur de vérifier son certificat (validité, autorité, usage client), puis renvoyez.",
        "the recipient's server closed right after STARTTLS: it has probably refused your operator's certificate.",
        "Ask your operator to check its certificate (dates, authority, client usage), then send again.",
    ),
    Cause.NEEDS_8BIT: Explanation(
        "le serveur du destinataire n'accepte pas les messages en 8 bits.",
        "Renvoyez le message encodé en quoted-printable ou en base 64 (réglage de votre logiciel de messagerie).",
        "the recipient's server does not take 8-bit messages.",
        "Send it encoded in quoted-printable or base 64 (a setting of your mail program).",
    ),
    Cause.NEEDS_UTF8: Explanation(
        "le serveur du destinataire n'accepte pas les adresses ou en-têtes avec accents.",
        "Renvoyez en utilisant des adresses sans accents, ou joignez le destinataire par un autre moyen.",
        "the recipient's server does not take addresses or headers with accents.",
        "Send it with addresses without accents, or reach the recipient by another way.",
    ),
    Cause.NEEDS_REQUIRETLS: Explanation(
        "votre logiciel a demandé que chaque relais s'engage à chiffrer la liaison (REQUIRETLS), et le serveur du "
        "destinataire ne connaît pas cet engagement.",
        "Renvoyez sans cette demande : entre opérateurs de l'espace de confiance, la liaison est chiffrée de toute façon.",
        "your program asked that every server promise an encrypted link (REQUIRETLS), and the recipient's server does not "
        "know that promise.",
        "Send it without that demand: links between operators of the trust space are encrypted anyway.",
    ),
    Cause.UNFIT_OCTETS: Explanation(
        "le message contient un octet nul, que le courrier ne peut pas transporter.",
        "Corrigez ou remplacez le logiciel qui a produit le message, puis renvoyez.",
        "the message holds a NUL octet, which mail cannot carry.",
        "Correct or replace the program that made the message, then send again.",
    ),
    Cause.STORED_DAMAGED: Explanation(
        "le message gardé en attente chez votre opérateur n'a pas pu être relu.",
        "Renvoyez-le depuis vos messages envoyés et prévenez votre opérateur.",
        "the message that waited at your operator could not be read back.",
        "Send it again from your sent messages and tell your operator.",
    ),
    Cause.REMOVED: Explanation(
        "un administrateur de votre opérateur l'a retiré de la file d'attente (sans pouvoir le lire).",
        "Demandez-en la raison à votre opérateur avant de renvoyer ; si c'est urgent, joignez le destinataire par un autre "
        "moyen.",
        "it was removed by the operator: an administrator took it out of the queue (without being able to read it).",
        "Ask your operator why before you send it again; if it is urgent, reach the recipient by another way.",
    ),
    Cause.HELD: Explanation(
        "un administrateur de votre opérateur l'a retenu dans la file d'attente jusqu'à la fin du délai d'envoi.",
        "Demandez-en la raison à votre opérateur avant de renvoyer ; si c'est urgent, joignez le destinataire par un autre "
        "moyen.",
        "an administrator of your operator held it in the queue until the time for sending was over.",
        "Ask your operator why before you send it again; if it is urgent, reach the recipient by another way.",
    ),
    Cause.INTERRUPTED: Explanation(
        "le serveur de votre opérateur s'est arrêté alors qu'il s'occupait de ce message, sans savoir s'il était parti : "
        "le destinataire peut l'avoir reçu deux fois.",
        _RESEND_FR,
        "your operator's server stopped while it had this message in hand, not knowing whether it had left: the "
        "recipient may have it twice.",
        _RESEND_EN,
    ),
    Cause.INTERNAL: Explanation(
        "une panne chez votre opérateur a empêché l'envoi.",
        _TELL_FR,
        "a fault at your operator prevented sending.",
        _TELL_EN,
    ),
}  # fmt: skip
_ADDRESS_UNKNOWN = Explanation(
    "le serveur du destinataire dit que cette boîte n'existe pas ou est fermée.",
    "Vérifiez l'adresse (d'un professionnel : dans l'annuaire ; d'un patient : son matricule INS), puis renvoyez ; sinon, "
    "joignez-le par un autre moyen.",
    "the recipient's server says that this mailbox does not exist or is closed.",
    "Check the address (a professional's in the directory, a patient's against their INS), then send again; otherwise "
    "reach them by another way.",
)
_BOX_FULL = Explanation(
    "la boîte du destinataire est pleine.", _RESEND_FR, "the recipient's mailbox is full.", _RESEND_EN
)
_TOO_LARGE = Explanation(
    "le message dépasse la taille admise par le serveur du destinataire.",
    "Retirez ou réduisez des pièces jointes, puis renvoyez.",
    "the message is larger than the recipient's server allows.",
    "Remove or reduce attachments and send again.",
)
_RULES = Explanation(
    "le serveur du destinataire a refusé le message selon ses règles ; sa réponse est ci-dessous.",
    "Lisez sa réponse et corrigez ce qu'elle indique ; sinon, transmettez ce rapport à votre opérateur.",
    "the recipient's server refused the message under its rules; its answer is below.",
    "Read its answer and correct what it names; otherwise give this report to your operator.",
)
_NOT_NOW = Explanation(
    "le serveur du destinataire ne peut pas prendre le message pour le moment ; sa réponse est ci-dessous.",
    _RESEND_FR,
    "the recipient's server cannot take the message for now; its answer is below.",
    _RESEND_EN,
)
_BY_STATUS = {
    "1.": _ADDRESS_UNKNOWN,
    "2.1": _ADDRESS_UNKNOWN,
    "2.2": _BOX_FULL,
    "2.3": _TOO_LARGE,
    "3.4": _TOO_LARGE,
}


def explanation_for(result: AttemptResult) -> Explanation:
    """Why an attempt ended and what its sender can do."""
    if result.cause in _BY_CAUSE:
        return _BY_CAUSE[result.cause]
    if result.reason is not None:
        return _BY_REASON.get(result.reason, _OF_PEER_CERTIFICATE)
    kind = result.status[2:]
    known = next((text for start, text in _BY_STATUS.items() if kind.startswith(start)), None)
    if known is not None:
        return known
    if result.reply_code == 552:
        return _TOO_LARGE
    return _RULES if result.fate is Fate.REFUSED else _NOT_NOW


def explain_attempt(result: str) -> Explanation | None:
    """Why an attempt of a timeline ended as it did; None when the peer's reply says it all, or nothing failed."""
    if result in {Cause.DELIVERED, Cause.PEER_REPLY}:
        return None
    if result in _BY_CAUSE:
        return _BY_CAUSE[Cause(result)]
    try:
        return explanation_for(refused_by_policy(Reason(result)))
    except ValueError:
        return _BY_CAUSE[Cause.INTERNAL]
