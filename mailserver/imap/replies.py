"""The one table from an error to a tagged reply (RFC 9051 §7.1, RFC 5530), in words that say what to do.

People see these texts in their mail client, in both languages, without accents since a reply line is US-ASCII.
ALERT and UNAVAILABLE become windows in some clients, so only what a person must know uses them.
"""

import logging
import re
from dataclasses import replace

from mailserver.imap.encode import Status, code_bad_charset
from mailserver.imap.parse import BadCommand
from mailserver.imap.parse_search import CHARSETS
from mailserver.imap.session import Reply
from mailserver.imap.states import REFUSALS, Verdict
from mailserver.model.errors import (
    Conflict,
    Corrupt,
    Denied,
    Malformed,
    NotFound,
    OverLimit,
    PliError,
    Unavailable,
)
from mailserver.service.annotations import VALUE_BYTES

LOG = logging.getLogger("pli.imap")


def _no(code: str, english: str, french: str) -> Reply:
    return Reply(Status.NO, english, code.encode("ascii"), french)


BYE_LATE = Reply(
    Status.BYE,
    "Logged out after too long without a command",
    b"",
    "Déconnexion : trop longtemps sans commande",
)
BYE_OVER = Reply(
    Status.BYE, "Your session is over, log in again", b"", "Votre session est terminée, reconnectez-vous"
)
BYE_LOST = Reply(
    Status.BYE,
    "You no longer have access to this shared mailbox",
    b"",
    "Vous n’avez plus accès à cette boîte partagée",
)


LOGIN_FAILED = _no(
    "AUTHENTICATIONFAILED",
    "Login refused: use your full address and an app password, not your web password. Your operator gives you one.",
    "Connexion refusée : utilisez votre adresse complète et un mot de passe d’application, pas celui du web. Votre opérateur vous en donne un.",
)
TOKEN_REFUSED = _no(
    "AUTHENTICATIONFAILED",
    "Login refused: this token does not open this address. Sign in again where the token comes from, or ask the operator.",
    "Connexion refusée : ce jeton n’ouvre pas cette adresse. Identifiez-vous de nouveau auprès de son fournisseur, ou demandez à l’opérateur.",
)
CERTIFICATE_REFUSED = _no(
    "AUTHENTICATIONFAILED",
    "Login refused: this certificate does not open this box, or opens several and none was named. Ask the operator.",
    "Connexion refusée : ce certificat n’ouvre pas cette boîte, ou en ouvre plusieurs sans en nommer une. Demandez à l’opérateur.",
)
READ_ONLY = _no(
    "", "The mailbox is open for reading only. Open it with SELECT.", "La boîte est ouverte en lecture seule."
)
_NUL_TEXTS = (
    "The message holds a NUL octet and cannot be kept. Send that part in base64.",
    "Le message contient un octet nul : il ne peut pas être gardé. Envoyez cette partie en base64.",
)
HOLDS_NUL = _no("", *_NUL_TEXTS)
HOLDS_BINARY = _no("UNKNOWN-CTE", *_NUL_TEXTS)  # RFC 3516 §4.4
TOO_BIG = _no(
    "TOOBIG",
    "The message is larger than this server allows. Reduce its attachments.",
    "Le message dépasse la taille admise. Réduisez les pièces jointes.",
)
IS_GONE = _no("NONEXISTENT", "There is no such mailbox.", "Cette boîte n’existe pas.")
TRY_CREATE = _no(
    "TRYCREATE", "There is no such mailbox; create it first.", "Cette boîte n’existe pas : créez-la d’abord."
)
UNKNOWN_ROLE = _no(
    "USEATTR",
    "This special use cannot be given to a mailbox.",
    "Cet usage ne peut pas être donné à une boîte.",
)  # RFC 6154 §3
NO_SUCH_QUOTA = _no("NONEXISTENT", "There is no such quota root.", "Ce quota n’existe pas.")
QUOTA_IS_FIXED = _no(
    "NOPERM",
    "Limits are set by the operator of this server, not from a mail client. Ask the operator.",
    "Les limites sont fixées par l’opérateur, pas depuis un logiciel de messagerie. Demandez-lui.",
)
ENTRY_IS_FIXED = _no(
    "NOPERM",
    "Only the operator sets this entry. Ask the operator.",
    "Seul l’opérateur fixe cette valeur. Demandez-lui.",
)
AWAY_REFUSED = _no(
    "CANNOT",
    'Not set. Give JSON: {"from": "2026-12-24", "until": "2026-12-31", "text": "", "colleague": "", "emergency": ""}, alone '
    "in its command, beside your account or a shared box's INBOX; a colleague must be somebody else of the health domains.",
    "Rien n’est enregistré. Donnez ce JSON seul dans sa commande ; le confrère doit être un autre professionnel des domaines de santé.",
)
NO_PRIVATE = _no(
    "METADATA NOPRIVATE",
    "A shared box keeps no private notes. Use a name under /shared, or a mailbox of your own.",
    "Une messagerie partagée ne garde pas de notes privées. Utilisez un nom sous /shared ou une boîte à vous.",
)
NO_SUCH_MESSAGE = _no("NONEXISTENT", "There is no such message.", "Ce message n’existe pas.")
HAS_INFERIORS = _no(
    "HASCHILDREN", "The name only holds other mailboxes.", "Ce nom ne contient que d’autres boîtes."
)
NEEDS_QRESYNC = Reply(Status.BAD, "ENABLE QRESYNC first")  # RFC 7162 §3.2.5, §3.2.6

_BAD_URL = _no(
    "",
    "A message or part that was to be copied is not there. Nothing was stored.",
    "Un message ou une partie à copier n’existe pas. Rien n’a été enregistré.",
)
_NOT_IN_CODE = re.compile(rb"[^\x21-\x5c\x5e-\x7e]")

_BY_CODE: dict[str, Reply] = {
    "charset_with_utf8": Reply(Status.BAD, "No CHARSET once UTF8=ACCEPT is enabled"),  # RFC 6855 §3
    "bad_charset": Reply(Status.NO, "Use UTF-8", code_bad_charset(CHARSETS)),  # RFC 9051 §6.4.4
    "login": LOGIN_FAILED,
    "scope": LOGIN_FAILED,
    "mailbox": IS_GONE,
    "mailbox-exists": _no("ALREADYEXISTS", "The mailbox exists already.", "Cette boîte existe déjà."),
    "mailbox-permanent": _no("CANNOT", "This mailbox stays where it is.", "Cette boîte ne peut pas être retirée."),
    "mailbox-name": _no(
        "CANNOT", "This name cannot be a mailbox's. Choose another one.", "Ce nom ne convient pas à une boîte. Choisissez-en un autre."
    ),
    "mailbox-reserved": _no(
        "CANNOT",
        "Names below Shared are those of shared boxes. Choose another name.",
        "Les noms sous Shared sont ceux des boîtes partagées. Choisissez un autre nom.",
    ),
    "mailbox-elsewhere": _no(
        "CANNOT",
        "A mailbox cannot be renamed into another account. Create it there, then move the messages.",
        "Une boîte ne peut pas changer de compte. Créez-la là-bas, puis déplacez les messages.",
    ),
    "right": _no(
        "NOPERM",
        "Your rights in this shared box do not allow that. Ask its responsible member.",
        "Vos droits dans cette boîte partagée ne le permettent pas. Demandez à son responsable.",
    ),
    "not-shared": _no(
        "NOPERM",
        "This mailbox is yours alone: rights are keys, and nobody else has one. To work with others, ask your operator for a shared box.",
        "Cette boîte est à vous seul : les droits sont des clés, et personne d’autre n’en a. Pour travailler à plusieurs, demandez une boîte partagée à votre opérateur.",
    ),
    "not-a-member": _no(
        "NOPERM",
        "Rights are keys: only a member of the box can have any. Ask the administrator to make this person a member.",
        "Les droits sont des clés : seul un membre de la boîte peut en avoir. Demandez à l’administrateur d’ajouter cette personne.",
    ),
    "rights-changed": _no(
        "INUSE", "Somebody has just changed these rights. Try again.", "Ces droits viennent de changer. Réessayez."
    ),
    "too-many-mailboxes": _no("LIMIT", "There are too many mailboxes. Delete some.", "Il y a trop de boîtes. Supprimez-en."),
    "too-many-keywords": _no("LIMIT", "The mailbox has too many keywords.", "La boîte a trop d’étiquettes."),
    "too-many-messages": _no(
        "LIMIT", "Too many messages in one command: at most 20000.", "Trop de messages en une fois : 20000 au plus."
    ),
    "unknown-cte": _no(
        "UNKNOWN-CTE",
        "A part has a transfer encoding that this server does not know. Fetch it undecoded, with BODY.PEEK.",
        "Une partie a un codage de transfert inconnu. Demandez-la non décodée, avec BODY.PEEK.",
    ),  # RFC 3516 §4.3
    "quota": _no(
        "OVERQUOTA", "The account is full. Delete messages.", "La messagerie est pleine. Supprimez des messages."
    ),
    "message-too-large": TOO_BIG,
    "message-empty": _no(
        "", "An empty message is not kept: the command is cancelled.", "Un message vide n’est pas gardé : la commande est annulée."
    ),
    "annotation-size": _no(
        f"METADATA MAXSIZE {VALUE_BYTES}",
        "The value is too long to be kept beside a mailbox. Shorten it.",
        "La valeur est trop longue pour être gardée. Raccourcissez-la.",
    ),
    "annotation-count": _no(
        "METADATA TOOMANY",
        "There are too many notes beside this mailbox. Remove some.",
        "Il y a trop de notes sur cette boîte. Supprimez-en.",
    ),
    "other-account": _no(
        "CANNOT",
        "A message of this box can only be replaced within it. Append the new one, then delete the old one.",
        "Un message de cette messagerie ne se remplace que dans celle-ci. Ajoutez le nouveau, puis supprimez l’ancien.",
    ),
    "too-many-uploads": _no(
        "LIMIT",
        "Too much in one command. Append fewer messages at a time.",
        "Trop de messages en une fois. Ajoutez-en moins à la fois.",
    ),
    "disk-full": _no(
        "OVERQUOTA", "The server's disk is full. Tell the operator.", "Le disque du serveur est plein. Prévenez l’opérateur."
    ),
}  # fmt: skip

_BY_CLASS: dict[type[PliError], Reply] = {
    Malformed: Reply(Status.BAD, "The command cannot be understood"),
    NotFound: _no("NONEXISTENT", "That does not exist.", "Cela n’existe pas."),
    Conflict: _no("INUSE", "That has just changed. Try again.", "Cela vient de changer. Réessayez."),
    Denied: _no("NOPERM", "That is not allowed.", "Cela n’est pas permis."),
    OverLimit: _no("LIMIT", "That is more than this server allows.", "Cela dépasse ce que ce serveur admet."),
    Unavailable: _no(
        "UNAVAILABLE", "The store cannot answer now. Try again later.", "Le serveur ne peut pas répondre. Réessayez plus tard."
    ),
    Corrupt: _no(
        "CONTACTADMIN",
        "A stored message fails its integrity check and is not shown. Tell the operator.",
        "Un message conservé a été altéré : il n’est pas montré. Prévenez l’opérateur.",
    ),
}  # fmt: skip


def reply_to_error(error: PliError) -> Reply:
    """The answer to a command that failed in an expected way."""
    known = _BY_CODE.get(error.code)
    if known is not None:
        return known
    return next(reply for kind, reply in _BY_CLASS.items() if isinstance(error, kind))


def reply_to_failure(error: PliError) -> Reply:
    """As above; the operator hears of a failing store or an altered message, and of a client's mistakes nobody does."""
    if isinstance(error, Unavailable | Corrupt):
        LOG.error("command failed", exc_info=error, extra={"code": error.code})
    return reply_to_error(error)


def reply_to_bad_url(url: bytes) -> Reply:
    """RFC 4469 §4.1: the code names the URL, with what a code cannot hold written as a URL writes it."""
    shown = _NOT_IN_CODE.sub(lambda found: b"%%%02X" % found[0][0], url)
    return replace(_BAD_URL, code=b"BADURL " + shown)


def reply_to_bad_command(error: BadCommand) -> Reply:
    """BAD for what does not parse."""
    return Reply(Status.BAD, error.code.replace("_", " ").capitalize())


def reply_to_verdict(verdict: Verdict) -> Reply:
    """The refusal of a command that its state does not allow."""
    refusal = REFUSALS[verdict]
    return Reply(Status(refusal.status), refusal.text, refusal.code)
