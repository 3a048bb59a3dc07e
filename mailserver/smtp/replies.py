"""What the edge itself says: successes, and refusals of form. Refusals of policy have their words in ``policy.wording``.

Every refusal has an enhanced code (RFC 2034 §4, RFC 3463), a cause and a remedy, in both languages. The one table
from an error to its reply is here too: what is unknown becomes a fixed text and an incident id.
"""

import textwrap
from dataclasses import dataclass

from mailserver.audit.wording import Language
from mailserver.model.errors import PliError, Unavailable
from mailserver.policy.decision import Reason
from mailserver.policy.wording import LINE_OCTETS, Wording, format_reply, wording_for

_SYNTAX_FR = "Corrigez le logiciel d’envoi."
TROUBLES: dict[str, Wording] = {
    "command-unknown": Wording(
        500, "5.5.1",
        "This command is not known here. Use the commands of RFC 5321 and of the extensions that EHLO names.",
        "Commande inconnue. Utilisez celles du RFC 5321 et des extensions annoncées par EHLO.",
    ),
    "command-syntax": Wording(
        500, "5.5.2",
        "The command cannot be read. Correct the sending software.",
        f"La commande est illisible. {_SYNTAX_FR}",
    ),
    "line-too-long": Wording(
        500, "5.5.2",
        "The command line is too long. Correct the sending software.",
        f"La ligne de commande est trop longue. {_SYNTAX_FR}",
    ),
    "line-bare-octet": Wording(
        500, "5.5.2",
        "A command line must end with CR LF and hold no CR, LF or NUL alone. Correct the sending software.",
        f"Une ligne de commande finit par CR LF et ne contient ni CR, ni LF, ni NUL isolé. {_SYNTAX_FR}",
    ),
    "argument-syntax": Wording(
        501, "5.5.4",
        "The argument of this command cannot be read. Correct the sending software.",
        f"L’argument de cette commande est illisible. {_SYNTAX_FR}",
    ),
    "parameter-value": Wording(
        501, "5.5.4",
        "A parameter of this command is repeated or has a wrong value. Correct the sending software.",
        f"Un paramètre de cette commande est répété ou sa valeur est fausse. {_SYNTAX_FR}",
    ),
    "parameter-unknown": Wording(
        555, "5.5.4",
        "A parameter of this command is not supported here. Use only the extensions that EHLO names.",
        "Un paramètre de cette commande n’est pas géré ici. N’utilisez que les extensions annoncées par EHLO.",
    ),
    "sender-syntax": Wording(
        553, "5.1.7",
        "The sender's address cannot be read. Write it as name@domain and send again.",
        "L’adresse d’expédition est illisible. Écrivez-la sous la forme nom@domaine, puis renvoyez.",
    ),
    "recipient-syntax": Wording(
        553, "5.1.3",
        "The recipient's address cannot be read. Write it as name@domain and send again.",
        "L’adresse du destinataire est illisible. Écrivez-la sous la forme nom@domaine, puis renvoyez.",
    ),
    "address-utf8": Wording(
        553, "5.6.7",
        "An address with accents needs the parameter SMTPUTF8. Use a mail client that has it, or an address without.",
        "Une adresse accentuée demande le paramètre SMTPUTF8. Utilisez un logiciel qui l’a, ou une adresse sans accent.",
    ),
    "bad-sequence": Wording(
        503, "5.5.1",
        "This command does not come in its order: EHLO, MAIL, RCPT, DATA. Correct the sending software.",
        f"Cette commande n’est pas à sa place : EHLO, MAIL, RCPT, DATA. {_SYNTAX_FR}",
    ),
    "chunk-syntax": Wording(
        501, "5.5.4",
        "The size after BDAT cannot be read, so nobody knows where the message ends. Correct the sending software.",
        f"La taille après BDAT est illisible : rien ne dit où finit le message. {_SYNTAX_FR}",
    ),
    "tls-active": Wording(
        503, "5.5.1",
        "TLS is active already. Go on without STARTTLS.",
        "TLS est déjà actif. Continuez sans STARTTLS.",
    ),
    "tls-injection": Wording(
        554, "5.7.0",
        "Something was sent after STARTTLS and before the TLS handshake, which an attacker could do. Wait for the 220.",
        "Des octets ont suivi STARTTLS avant la négociation TLS, ce qu’un attaquant pourrait faire. Attendez le 220.",
    ),
    "not-verified": Wording(
        252, "2.5.0",
        "Addresses are not verified by this command. Send the message, or look in the health directory.",
        "Cette commande ne vérifie pas les adresses. Envoyez le message, ou cherchez dans l’annuaire santé.",
    ),
    "not-expanded": Wording(
        502, "5.5.1",
        "Lists are not expanded here. Write to each recipient.",
        "Les listes ne sont pas développées ici. Écrivez à chaque destinataire.",
    ),
    "auth-not-here": Wording(
        502, "5.5.1",
        "This port is for mail between operators, without login. Mail clients use port 465 or 587.",
        "Ce port est celui du courrier entre opérateurs, sans identifiant. Un logiciel de messagerie utilise 465 ou 587.",
    ),
    "auth-required": Wording(
        530, "5.7.0",
        "You are not logged in. Log in with your address and an app password of your account.",
        "Vous n’êtes pas identifié. Donnez votre adresse et un mot de passe d’application de votre compte.",
    ),
    "auth-twice": Wording(
        503, "5.5.1",
        "You are logged in already. Go on, or begin a new connection.",
        "Vous êtes déjà identifié. Continuez, ou ouvrez une autre connexion.",
    ),
    "mechanism-unknown": Wording(
        504, "5.5.4",
        "This way of logging in is not known here. Choose PLAIN (normal password, over TLS) in the mail client.",
        "Cette méthode d’identification est inconnue ici. Choisissez PLAIN (mot de passe normal, sur TLS).",
    ),
    "auth-syntax": Wording(
        501, "5.5.2",
        "The login cannot be read. Enter address and app password again in the mail client.",
        "L’identification est illisible. Saisissez de nouveau l’adresse et le mot de passe d’application.",
    ),
    "auth-cancelled": Wording(
        501, "5.0.0",
        "The login was cancelled. Begin again when you like.",
        "L’identification a été abandonnée. Recommencez quand vous voulez.",
    ),
    "auth-failed": Wording(
        535, "5.7.8",
        "Address or password not accepted. Use an app password (not the web one); your operator gives you one.",
        "Adresse ou mot de passe refusé. Utilisez un mot de passe d’application (pas celui du web) ; votre opérateur vous en donne un.",
    ),
    "token-refused": Wording(
        535, "5.7.8",
        "This token does not open this address. Sign in again where the token comes from, or ask the operator.",
        "Ce jeton n’ouvre pas cette adresse. Identifiez-vous de nouveau auprès de son fournisseur, ou demandez à l’opérateur.",
    ),
    "certificate-refused": Wording(
        535, "5.7.8",
        "This certificate does not open this box, or opens several and none was named. Ask the operator.",
        "Ce certificat n’ouvre pas cette boîte, ou en ouvre plusieurs sans en nommer une. Demandez à l’opérateur.",
    ),
    "token-issuer": Wording(
        454, "4.7.0",
        "Tokens cannot be checked now. Try again in a moment, or use an app password.",
        "Les jetons ne peuvent pas être vérifiés. Réessayez dans un instant, ou utilisez un mot de passe d’application.",
    ),
    "session-over": Wording(
        421, "4.7.0",
        "Your session is over. Connect and log in again.",
        "Votre session est terminée. Reconnectez-vous et identifiez-vous de nouveau.",
    ),
    "scope": Wording(
        550, "5.7.0",
        "The app password used here may not send mail. Ask your operator for one that may.",
        "Ce mot de passe d’application ne permet pas d’envoyer. Demandez à votre opérateur un mot de passe qui le permet.",
    ),
    "withdrawn": Wording(
        421, "4.7.0",
        "The access was withdrawn. Log in again with a valid app password.",
        "Cet accès a été retiré. Identifiez-vous de nouveau avec un mot de passe valable.",
    ),
    "disk-full": Wording(
        452, "4.3.1",
        "There is no room to store the message now, and nothing was stored. Try again later.",
        "La place manque pour ce message, et rien n’a été enregistré. Réessayez plus tard.",
    ),
    "unavailable": Wording(
        451, "4.3.0",
        "The message could not be stored now, and nothing is confirmed. Try again later.",
        "Le message n’a pas pu être enregistré, et rien n’est confirmé. Réessayez plus tard.",
    ),
    "too-many-connections": Wording(
        421, "4.7.0",
        "Too many connections at once. Close some, or try again later.",
        "Trop de connexions à la fois. Fermez-en, ou réessayez plus tard.",
    ),
    "too-many-errors": Wording(
        421, "4.7.0",
        "Too many refused commands on this connection. Correct the sending software, then connect again.",
        "Trop de commandes refusées sur cette connexion. Corrigez le logiciel d’envoi, puis reconnectez-vous.",
    ),
    "too-late": Wording(
        421, "4.4.2",
        "Nothing came for too long, or it came too slowly. Connect again.",
        "Rien n’est venu depuis trop longtemps, ou trop lentement. Reconnectez-vous.",
    ),
    "stopping": Wording(
        421, "4.3.2",
        "The server restarts; what was not confirmed is not kept. Connect again in a moment.",
        "Le serveur redémarre ; ce qui n’a pas été confirmé n’est pas gardé. Reconnectez-vous dans un instant.",
    ),
}  # fmt: skip
INCIDENT = "unavailable"


@dataclass(frozen=True, slots=True)
class Refusal:
    """``word`` is what the operator's log says; ``detail`` is shown to the peer and never logged."""

    word: str
    wording: Wording
    detail: str = ""

    @property
    def code(self) -> int:
        return self.wording.code

    def octets(self, first: Language) -> bytes:
        """The whole reply, with the sentence of this language first."""
        return format_reply(self.wording, first, self.detail)


def refuse_for(reason: Reason, detail: str = "") -> Refusal:
    """Policy's refusal."""
    return Refusal(reason.value, wording_for(reason), detail)


def refuse_form(word: str, detail: str = "") -> Refusal:
    """A refusal of this table. KeyError for a word that it has not: a fault of ours."""
    return Refusal(word, TROUBLES[word], detail)


def refuse_error(error: PliError) -> Refusal | None:
    """The reply to an expected failure; None for one that no peer can cause."""
    if error.code in TROUBLES:
        return refuse_form(error.code)
    return refuse_form("unavailable") if isinstance(error, Unavailable) else None


def refuse_incident(incident: str) -> Refusal:
    """Whatever else went wrong: no word of it reaches the peer."""
    return Refusal("incident", TROUBLES[INCIDENT], f"incident {incident}")


def format_lines(code: int, texts: list[str]) -> bytes:
    """A reply of one or several lines, each within RFC 5321 §4.5.3.1.5's 512 octets."""
    room = LINE_OCTETS - len(f"{code}-\r\n")
    lines = [line for text in texts for line in _fit(text, room)]
    last = len(lines) - 1
    return "".join(
        f"{code}{' ' if number == last else '-'}{line}\r\n" for number, line in enumerate(lines)
    ).encode("ascii")


def _fit(text: str, room: int) -> list[str]:
    """Lines of a text, with blanks alone for white space."""
    is_line = len(text) <= room and text.isprintable()
    return [text] if is_line else textwrap.wrap(text, room) or [""]


def format_challenge(challenge: bytes) -> bytes:
    """334 with its base64 (RFC 4954 §4)."""
    return b"334 %b\r\n" % challenge


def format_greeting(hostname: str) -> bytes:
    """RFC 5321 §4.2: the first line, without any version."""
    return f"220 {hostname} ESMTP Pli\r\n".encode("ascii")


OK = b"250 2.0.0 OK\r\n"
SENDER_OK = b"250 2.1.0 Sender accepted\r\n"
START_DATA = b"354 End the message with a dot alone on its line\r\n"
CHUNK_OK = b"250 2.0.0 Chunk taken\r\n"
START_TLS = b"220 2.0.0 Begin the TLS handshake\r\n"
LOGGED_IN = b"235 2.7.0 Logged in\r\n"
BYE = b"221 2.0.0 Goodbye\r\n"
HELP = format_lines(
    214,
    [
        "2.0.0 Commands: EHLO HELO STARTTLS AUTH MAIL RCPT DATA RSET NOOP HELP QUIT.",
        "2.0.0 Each refusal says its cause and what to do, in French and in English.",
    ],
)


def format_recipient(note: list[str]) -> bytes:
    """250 to RCPT; ``note`` is ASCII that few mail clients show."""
    return format_lines(250, [f"2.1.5 {text}" for text in ["Recipient accepted", *note]])


def format_accepted(delivery: str) -> bytes:
    """250 after DATA: every commit is done (R1)."""
    return f"250 2.6.0 Accepted as {delivery}\r\n".encode("ascii")
