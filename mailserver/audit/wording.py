"""An event as one sentence in the third person, French or English: actor first, object quoted.

Every kind has its words in both languages; a test walks the whole family. The sentence has no date: pages group
by date and say from where and by which client beside it.
"""

from enum import StrEnum

from mailserver.audit.events import (
    Actor,
    ActorKind,
    AuditEvent,
    AuditObject,
    EventKind,
    EventResult,
    ObjectKind,
    ParameterName,
)


class Language(StrEnum):
    FRENCH = "fr"
    ENGLISH = "en"


_VERBS: dict[EventKind, tuple[tuple[str, str], tuple[str, str]]] = {
    # kind: ((done, tried) in French, (done, tried) in English)
    EventKind.LOGIN: (("a ouvert une session sur", "ouvrir une session sur"), ("logged in to", "log in to")),
    EventKind.LOGIN_FAILED: (
        ("a échoué à ouvrir une session sur", "ouvrir une session sur"),
        ("failed to log in to", "log in to"),
    ),
    EventKind.DOCUMENT_OPENED: (("a consulté", "consulter"), ("opened", "open")),
    EventKind.MESSAGE_OPENED: (("a lu", "lire"), ("read", "read")),
    EventKind.MAILBOX_READ: (("a relevé", "relever"), ("collected mail from", "collect mail from")),
    EventKind.SEARCHED: (("a cherché dans", "chercher dans"), ("searched in", "search in")),
    EventKind.DELIVERED: (("a remis", "remettre"), ("delivered", "deliver")),
    EventKind.SENT: (("a envoyé", "envoyer"), ("sent", "send")),
    EventKind.FILED: (("a classé", "classer"), ("filed", "file")),
    EventKind.FETCHED: (("a téléchargé", "télécharger"), ("downloaded", "download")),
    EventKind.REPLACED: (("a remplacé", "remplacer"), ("replaced", "replace")),
    EventKind.HIDDEN: (("a masqué", "masquer"), ("hid", "hide")),
    EventKind.SHOWN: (("a rendu visible", "rendre visible"), ("made visible", "make visible")),
    EventKind.SHARED: (("a partagé", "partager"), ("shared", "share")),
    EventKind.UNSHARED: (("a cessé de partager", "cesser de partager"), ("stopped sharing", "stop sharing")),
    EventKind.GRANT_GIVEN: (("a accordé", "accorder"), ("gave", "give")),
    EventKind.GRANT_ENDED: (("a retiré", "retirer"), ("withdrew", "withdraw")),
    EventKind.BLOCKED: (("a bloqué", "bloquer"), ("blocked", "block")),
    EventKind.UNBLOCKED: (("a débloqué", "débloquer"), ("unblocked", "unblock")),
    EventKind.BREAK_GLASS: (
        ("a ouvert en urgence", "ouvrir en urgence"),
        ("opened in an emergency", "open in an emergency"),
    ),
    EventKind.EXPORTED: (
        ("a téléchargé une copie de", "télécharger une copie de"),
        ("downloaded a copy of", "download a copy of"),
    ),
    EventKind.DELETED: (("a supprimé", "supprimer"), ("deleted", "delete")),
    EventKind.KEY_CHANGED: (("a changé", "changer"), ("changed", "change")),
    EventKind.SLOT_ADDED: (("a ajouté", "ajouter"), ("added", "add")),
    EventKind.SLOT_REMOVED: (("a retiré", "retirer"), ("removed", "remove")),
    EventKind.SETTING_CHANGED: (("a modifié", "modifier"), ("modified", "modify")),
    EventKind.CUSTODIAN_ACT: (
        ("a utilisé la clé gardée pour", "utiliser la clé gardée pour"),
        ("used the kept key for", "use the kept key for"),
    ),
    EventKind.ADMINISTRATOR_ACT: (
        ("est intervenu, pour l’opérateur, sur", "intervenir, pour l’opérateur, sur"),
        ("acted for the operator on", "act for the operator on"),
    ),
    EventKind.SUPPORT_ACT: (
        ("est intervenu, comme assistance, sur", "intervenir, comme assistance, sur"),
        ("acted as support on", "act as support on"),
    ),
    EventKind.LOG_READ: (("a consulté", "consulter"), ("viewed", "view")),
    EventKind.LOG_REOPENED: (
        ("a rouvert, après une restauration,", "rouvrir, après une restauration,"),
        ("reopened, after a restore,", "reopen, after a restore,"),
    ),
}

_OBJECTS: dict[ObjectKind, tuple[str, str]] = {
    ObjectKind.ACCOUNT: ("le compte", "the account"),
    ObjectKind.APP_PASSWORD: ("le mot de passe d’application", "the app password"),
    ObjectKind.CONTACT: ("le contact", "the contact"),
    ObjectKind.DOCUMENT: ("le document", "the document"),
    ObjectKind.FILE: ("le fichier envoyé", "the sent file"),
    ObjectKind.GRANT: ("le droit d’accès", "the right of access"),
    ObjectKind.KEY: ("la clé", "the key"),
    ObjectKind.LOG: ("l’historique des accès", "the access history"),
    ObjectKind.MAILBOX: ("la boîte aux lettres", "the mailbox"),
    ObjectKind.MESSAGE: ("le message", "the message"),
    ObjectKind.PERSON: ("l’accès de", "the access of"),
    ObjectKind.SETTING: ("le réglage", "the setting"),
    ObjectKind.SLOT: ("le moyen de connexion", "the means of login"),
    ObjectKind.SPACE: ("l’espace santé", "the health space"),
}

_PARAMETERS: dict[ParameterName, tuple[str, str]] = {
    ParameterName.ACT: ("acte", "act"),
    ParameterName.AUTHOR: ("auteur", "author"),
    ParameterName.COUNT: ("nombre de fois", "times"),
    ParameterName.DEVICE: ("appareil", "device"),
    ParameterName.FINGERPRINT: ("empreinte", "fingerprint"),
    ParameterName.PATIENT: ("patient", "patient"),
    ParameterName.REASON: ("motif", "reason"),
    ParameterName.RECIPIENT: ("destinataire", "recipient"),
    ParameterName.UNTIL: ("jusqu’au", "until"),
}

_ACTS: dict[str, tuple[str, str]] = {
    "account-disabled": ("compte fermé", "account closed"),
    "account-made": ("compte créé", "account made"),
    "app-password-ended": ("terminé depuis un mois", "ended a month ago"),
    "app-password-made": ("mot de passe créé", "password made"),
    "app-password-revoked": ("mot de passe retiré", "password withdrawn"),
    "app-passwords-listed": ("mots de passe d’application listés", "app passwords listed"),
    "by-certificate": ("par un certificat", "by a certificate"),
    "by-token": ("par un jeton d’accès", "by an access token"),
    "certificate-added": ("certificat rattaché", "certificate bound"),
    "certificate-removed": ("certificat détaché", "certificate unbound"),
    "certificates-listed": ("certificats listés", "certificates listed"),
    "contact-changed": ("coordonnées changées", "contact changed"),
    "member-added": ("nouveau membre", "new member"),
    "member-removed": ("n’est plus membre", "no longer a member"),
    "member-responsible": ("nouveau responsable", "newly responsible"),
    "removed-from-queue": ("retiré de la file d’attente", "taken out of the queue"),
    "second-factor-application": ("codes par une application", "codes by an application"),
    "second-factor-codes": ("codes par courriel ou SMS", "codes by e-mail or SMS"),
    "token-subject-added": ("identité rattachée", "identity bound"),
    "token-subject-removed": ("identité détachée", "identity unbound"),
    "token-subjects-listed": ("identités listées", "identities listed"),
    "web-password": ("mot de passe du site", "password of the site"),
}
"""Values of ACT that are ours; any other (rights of a mailbox) is shown as it is."""
_TO_SEVERAL = ("nombre de destinataires", "number of recipients")
"""What COUNT is of a message that was sent; of one recipient it says nothing."""

_LOST = ("entrées perdues, au plus", "entries lost, at most")
"""What COUNT is of a log that was reopened."""

_CLAIMANTS = frozenset({EventKind.DELIVERED, EventKind.FILED})
"""Acts of a sender: who is the address that was verified, and AUTHOR the name that it gives itself."""
_COUNTED = {EventKind.SENT: _TO_SEVERAL, EventKind.LOG_REOPENED: _LOST}
_CLAIMED = (" (qui se nomme ", " (who goes by ")
_NOBODY = ("Une personne non identifiée", "An unidentified person")
_ADMINISTRATOR = ("Un administrateur", "An administrator")
"""No name of theirs is kept: whoever runs the command is this."""
_QUOTES = (("« ", " »"), ("“", "”"))
_INNER_QUOTES = str.maketrans({"«": "‹", "»": "›", "“": "‘", "”": "’"})
"""Words that come from outside stand between quotes, and cannot end them."""
_BEHALF = (", au nom de ", ", on behalf of ")
_TRIED = (" a tenté de ", " tried to ")
_TRIED_ELIDED = " a tenté d’"
_VOWELS = "aeiouhéèê"
_COLON = (" : ", ": ")
_SEMICOLON = (" ; ", "; ")
_OUTCOMES: dict[EventResult, tuple[str, str]] = {
    EventResult.DONE: ("", ""),
    EventResult.REFUSED: (" – accès refusé", " – access refused"),
    EventResult.FAILED: (" – sans succès", " – without success"),
}


def describe(event: AuditEvent, language: Language) -> str:
    """One sentence, closed by a full stop: ``Dr Alix Demo a consulté le document « Bilan ».``"""
    at = 0 if language is Language.FRENCH else 1
    done, tried = _VERBS[event.kind][at]
    who = _actor_words(event.who, at)
    what = event.what
    claimed = dict(what.parameters).get(ParameterName.AUTHOR) if event.kind in _CLAIMANTS else None
    if claimed:
        # the national label joins its parts with underscores (ECO.2.2.7): people read spaces
        who += f"{_CLAIMED[at]}{_quote(claimed.replace('_', ' '), at)})"
        rest = tuple(each for each in what.parameters if each[0] is not ParameterName.AUTHOR)
        what = AuditObject(what.kind, what.words, rest)
    counted = _COUNTED.get(event.kind, _PARAMETERS[ParameterName.COUNT])
    if event.on_behalf_of is not None:
        who += _BEHALF[at] + _actor_words(event.on_behalf_of, at) + ","
    verb = f" {done}" if event.result is EventResult.DONE else _attempt(tried, at)
    return f"{who}{verb} {_object_words(what, at, counted[at])}{_OUTCOMES[event.result][at]}."


def _attempt(tried: str, at: int) -> str:
    is_elided = at == 0 and tried[0] in _VOWELS
    return (_TRIED_ELIDED if is_elided else _TRIED[at]) + tried


def _actor_words(actor: Actor, at: int) -> str:
    position = ", ".join(filter(None, (actor.profession, actor.structure)))
    name = _ADMINISTRATOR[at] if actor.kind is ActorKind.ADMINISTRATOR else actor.name or _NOBODY[at]
    return f"{name} ({position})" if position else name


def _object_words(what: AuditObject, at: int, counted: str) -> str:
    words = _OBJECTS[what.kind][at]
    if what.words:
        words += f" {_quote(what.words, at)}"
    said = _SEMICOLON[at].join(
        _parameter_words(name, value, at, counted)
        for name, value in what.parameters
        if (name, value) != (ParameterName.COUNT, "1") or counted == _LOST[at]
    )
    return f"{words} ({said})" if said else words


def _parameter_words(name: ParameterName, value: str, at: int, counted: str) -> str:
    if name is ParameterName.ACT and value in _ACTS:
        return _ACTS[value][at]
    label = counted if name is ParameterName.COUNT else _PARAMETERS[name][at]
    return f"{label}{_COLON[at]}{value}"


def _quote(text: str, at: int) -> str:
    opening, closing = _QUOTES[at]
    return f"{opening}{text.translate(_INNER_QUOTES)}{closing}"
