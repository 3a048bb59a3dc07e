"""The one table from a Reason to what people and servers are told, for SMTP, IMAP and the web pages.

Each sentence says what happened, why, and what to do next; none names a person, an address or a subject. SMTP
replies are ASCII, in both languages, the operator's first, one sentence a line, no line over 500 octets (RFC 5321 §4.5.3.1.5 allows
512), each with its enhanced status code (RFC 2034 §4, RFC 3463).
"""

import re
import textwrap
import unicodedata
from dataclasses import dataclass

from mailserver.audit.wording import Language
from mailserver.policy.decision import Reason

LINE_OCTETS = 500
_TYPOGRAPHY = str.maketrans(
    {"’": "'", "«": '"', "»": '"', "…": "...", "œ": "oe", "–": "-", "\u00a0": " ", "\u202f": " "}
)
_NOT_PRINTABLE = re.compile(r"[^ -~]+")
_DETAIL_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Wording:
    """SMTP code, enhanced status code, and the sentences for people."""

    code: int
    enhanced: str
    english: str
    french: str

    @property
    def is_temporary(self) -> bool:
        return 400 <= self.code < 500


WORDINGS: dict[Reason, Wording] = {
    Reason.ACCEPTED: Wording(250, "2.0.0", "Accepted.", "Accepté."),
    Reason.NO_TLS: Wording(
        530, "5.7.10",
        "Your side did not start TLS, and this server takes mail only over TLS. Issue STARTTLS first, then try again.",
        "Votre côté n’a pas ouvert de liaison TLS, seule admise par ce serveur. Commencez par STARTTLS, puis réessayez.",
    ),
    Reason.WEAK_TLS: Wording(
        530, "5.7.6",
        "Your server offered no TLS version or cipher suite that is allowed here. Offer TLS 1.2 or 1.3 with ECDHE-RSA and AES-GCM.",
        "Votre serveur n’a proposé aucune version ou suite TLS admise ici. Proposez TLS 1.2 ou 1.3 avec ECDHE-RSA et AES-GCM.",
    ),
    Reason.HANDSHAKE_FAILED: Wording(
        530, "5.7.0",
        "The last TLS handshake from this address failed. Check the certificate and TLS settings of your server.",
        "La dernière négociation TLS depuis cette adresse a échoué. Vérifiez le certificat et le réglage TLS de votre serveur.",
    ),
    Reason.NO_CERTIFICATE: Wording(
        530, "5.7.14",
        "Your server showed no certificate, and each operator must show its own. Configure it as TLS client certificate.",
        "Votre serveur n’a pas présenté de certificat, or chaque opérateur le doit. Configurez-le comme certificat client TLS.",
    ),
    Reason.CERTIFICATE_EXPIRED: Wording(
        530, "5.7.5",
        "Your server's certificate has expired. Renew it with the health authority and install it, then send again.",
        "Le certificat de votre serveur a expiré. Renouvelez-le auprès de l’autorité de santé, installez-le, puis renvoyez.",
    ),
    Reason.CERTIFICATE_NOT_YET_VALID: Wording(
        530, "5.7.5",
        "Your server's certificate is not valid yet. Check its start date and the clock of your server, then send again.",
        "Le certificat de votre serveur n’est pas encore valable. Vérifiez sa date de début et l’heure du serveur, puis renvoyez.",
    ),
    Reason.CERTIFICATE_FOREIGN: Wording(
        530, "5.7.8",
        "Your server's certificate was not issued by the authority of the trust space. Install one that was, with its chain.",
        "Le certificat de votre serveur ne vient pas de l’autorité de l’espace de confiance. Installez-en un qui en vient, avec sa chaîne.",
    ),
    Reason.CERTIFICATE_REVOKED: Wording(
        530, "5.7.13",
        "Your server's certificate has been revoked by its authority. Request and install a new one, then send again.",
        "Le certificat de votre serveur a été révoqué par son autorité. Demandez-en un nouveau, installez-le, puis renvoyez.",
    ),
    Reason.CERTIFICATE_USAGE: Wording(
        530, "5.7.4",
        "Your server's certificate may not be used as a TLS client. Install one whose usages include client authentication.",
        "Le certificat de votre serveur n’est pas prévu pour un client TLS. Installez-en un dont l’usage comprend l’authentification client.",
    ),
    Reason.CERTIFICATE_KEY: Wording(
        530, "5.7.9",
        "Your server's certificate has an unsuitable key. Install one with an RSA key of at least 2048 bits.",
        "Le certificat de votre serveur a une clé inadaptée. Installez-en un avec une clé RSA d’au moins 2048 bits.",
    ),
    Reason.REVOCATION_UNKNOWN: Wording(
        454, "4.7.5",
        "This server cannot check now whether your certificate was revoked; the fault is on this side. Try again later.",
        "Ce serveur ne peut pas vérifier si votre certificat a été révoqué ; la faute est de ce côté-ci. Réessayez plus tard.",
    ),
    Reason.TRUST_LIST_STALE: Wording(
        451, "4.3.0",
        "The list of trusted health domains held here is too old, so nobody is trusted. It will be refreshed; try again later.",
        "La liste des domaines de santé détenue ici est trop ancienne : personne n’est admis. Elle va être renouvelée ; réessayez plus tard.",
    ),
    Reason.TRUST_LIST_EMPTY: Wording(
        451, "4.3.5",
        "No list of trusted health domains with a good signature is held here, so nobody is trusted. Its operator must install one; try again later.",
        "Aucune liste des domaines de santé bien signée n’est détenue ici : personne n’est admis. L’opérateur doit en installer une ; réessayez plus tard.",
    ),
    Reason.SENDER_DOMAIN_UNLISTED: Wording(
        550, "5.1.8",
        "The sender's domain is not in the list of trusted health domains. Write from a secure health mail address.",
        "Le domaine de l’expéditeur n’est pas dans la liste des domaines de santé. Écrivez depuis une adresse de messagerie de santé.",
    ),
    Reason.SENDER_DOMAIN_OURS: Wording(
        550, "5.7.1",
        "The sender's domain belongs to this server, and your certificate is not listed for it. Send it through this server.",
        "Le domaine de l’expéditeur est celui de ce serveur, et votre certificat n’y est pas associé. Passez par ce serveur pour l’envoi.",
    ),
    Reason.WRONG_DN: Wording(
        550, "5.7.1",
        "Your server's certificate is not the one listed for the sender's domain. Use the listed one, or have the list corrected.",
        "Le certificat de votre serveur n’est pas celui de la liste pour le domaine de l’expéditeur. Utilisez celui-là, ou faites corriger la liste.",
    ),
    Reason.RECIPIENT_DOMAIN_UNLISTED: Wording(
        550, "5.1.2",
        "The recipient's domain is not in the list of trusted health domains, so nothing was sent. Look for a health address.",
        "Le domaine du destinataire n’est pas dans la liste des domaines de santé : rien n’est parti. Cherchez une adresse de santé.",
    ),
    Reason.RECIPIENT_NOT_HERE: Wording(
        550, "5.7.1",
        "The recipient's domain is not served here, and this server does not relay. Check the address and the route.",
        "Le domaine du destinataire n’est pas géré ici, et ce serveur ne relaie pas. Vérifiez l’adresse et la route.",
    ),
    Reason.UNKNOWN_RECIPIENT: Wording(
        550, "5.1.1",
        "There is no such mailbox here. Check the address in the directory and send again.",
        "Cette boîte n’existe pas ici. Vérifiez l’adresse dans l’annuaire, puis renvoyez.",
    ),
    Reason.DISABLED_ACCOUNT: Wording(
        550, "5.2.1",
        "This mailbox is closed and receives nothing. Reach the person by another way.",
        "Cette boîte est fermée et ne reçoit rien. Joignez la personne par un autre moyen.",
    ),
    Reason.TOO_MANY_RECIPIENTS: Wording(
        452, "4.5.3",
        "Too many recipients for one message. Send to the others in another message.",
        "Trop de destinataires pour un seul message. Envoyez aux autres dans un autre message.",
    ),
    Reason.SENDER_NOT_OWNED: Wording(
        553, "5.7.1",
        "The sender's address is not one of your account's. Choose one of your own addresses and send again.",
        "L’adresse d’expédition n’appartient pas à votre compte. Choisissez l’une de vos adresses, puis renvoyez.",
    ),
    Reason.MESSAGE_TOO_LARGE: Wording(
        552, "5.3.4",
        "The message is larger than this server allows. Remove or reduce attachments and send again.",
        "Le message dépasse la taille admise par ce serveur. Retirez ou réduisez des pièces jointes, puis renvoyez.",
    ),
    Reason.MESSAGE_NOT_SEPARABLE: Wording(
        552, "5.3.4",
        "The message is too large to travel and has no files to keep apart, or is signed or encrypted as a whole. Send less.",
        "Le message est trop grand et n’a pas de fichiers à conserver à part, ou est signé ou chiffré d’un bloc. Réduisez-le.",
    ),
    Reason.KEPT_WITHOUT_ROOM: Wording(
        552, "5.2.2",
        "Your account has no room left to keep these large files for the recipients. Delete mail, or end files kept before.",
        "Votre compte n’a plus la place de conserver ces fichiers pour les destinataires. Supprimez du courrier ou d’anciens fichiers.",
    ),
    Reason.SMUGGLING: Wording(
        554, "5.6.0",
        "The message holds a NUL, or a CR or LF alone, which could hide a second message. Correct the sending software.",
        "Le message contient un NUL, ou un CR ou LF isolé, qui pourrait cacher un second message. Corrigez le logiciel d’envoi.",
    ),
    Reason.MALFORMED_HEADERS: Wording(
        550, "5.6.0",
        "The headers of the message cannot be read safely. Correct the sending software and send again.",
        "Les en-têtes du message ne peuvent pas être lus sans risque. Corrigez le logiciel d’envoi, puis renvoyez.",
    ),
    Reason.INFECTED: Wording(
        554, "5.7.1",
        "The message holds a file that the antivirus refuses. Check your computer, then send it without that file.",
        "Le message contient un fichier que l’antivirus refuse. Vérifiez votre ordinateur, puis renvoyez sans ce fichier.",
    ),
    Reason.ANTIVIRUS_AWAY: Wording(
        451, "4.3.0",
        "The antivirus does not answer, and nothing is taken without it, so nothing was kept. Try again in a few minutes.",
        "L’antivirus ne répond pas, et rien n’est accepté sans lui : rien n’a été gardé. Réessayez dans quelques minutes.",
    ),
    Reason.TOO_LARGE_TO_SCAN: Wording(
        552, "5.3.4",
        "The message is larger than the antivirus here can check. Remove or reduce attachments and send again.",
        "Le message est trop gros pour l’antivirus de ce serveur. Retirez ou réduisez des pièces jointes, puis renvoyez.",
    ),
    Reason.FROM_MISSING: Wording(
        550, "5.6.0",
        "The message has no readable From address, so its author is unknown. Set one and send again.",
        "Le message n’a pas d’adresse From lisible : son auteur est inconnu. Indiquez-en une, puis renvoyez.",
    ),
    Reason.FROM_SEVERAL: Wording(
        550, "5.6.0",
        "The message has several From addresses; one author is required. Keep one and send again.",
        "Le message a plusieurs adresses From ; il faut un seul auteur. N’en gardez qu’une, puis renvoyez.",
    ),
    Reason.FROM_FOREIGN: Wording(
        550, "5.7.1",
        "The domain of the From address is not listed for your server's certificate. Send from a domain that you operate.",
        "Le domaine de l’adresse From n’est pas associé au certificat de votre serveur. Envoyez depuis un domaine que vous gérez.",
    ),
    Reason.FROM_NOT_OWNED: Wording(
        550, "5.7.1",
        "The From address is not one of your account's. Choose one of your own addresses and send again.",
        "L’adresse From n’appartient pas à votre compte. Choisissez l’une de vos adresses, puis renvoyez.",
    ),
    Reason.NULL_SENDER_NO_REPORT: Wording(
        550, "5.7.1",
        "Only a report or an automatic answer may have an empty sender. Send the message with its real sender.",
        "Seul un accusé ou une réponse automatique peut avoir un expéditeur vide. Renvoyez le message avec son véritable expéditeur.",
    ),
    Reason.NULL_SENDER_SEVERAL_RECIPIENTS: Wording(
        550, "5.5.3",
        "A report or an automatic answer goes to one recipient only. Send it to its one addressee.",
        "Un accusé ou une réponse automatique ne va qu’à un destinataire. Envoyez-le à celui-là seul.",
    ),
    Reason.MSS_MISMATCH: Wording(
        550, "5.6.0",
        "The X-MSS headers do not match the attached documents, so nothing was delivered. Correct the software, then send again.",
        "Les en-têtes X-MSS ne correspondent pas aux documents joints : rien n’est remis. Corrigez le logiciel, puis renvoyez.",
    ),
    Reason.UNKNOWN_PATIENT: Wording(
        550, "5.1.1",
        "No patient's space here has this number, so nothing was delivered. Check the INS; otherwise give it by another way.",
        "Aucun espace patient n’a ce matricule ici : rien n’est remis. Vérifiez l’INS ; sinon, transmettez par un autre moyen.",
    ),
    Reason.CLOSED_PATIENT: Wording(
        550, "5.2.1",
        "This patient's messaging service is closed, so nothing was delivered. Give it to them by another way.",
        "La messagerie de ce patient est fermée : rien n’est remis. Transmettez-lui le message par un autre moyen.",
    ),
    Reason.PATIENT_TO_PATIENT: Wording(
        550, "5.7.1",
        "A patient's space cannot write to another patient's. Write to a professional who has written to you.",
        "Un espace patient ne peut pas écrire à un autre patient. Écrivez à un professionnel qui vous a écrit.",
    ),
    Reason.PATIENT_NEVER_CONTACTED: Wording(
        550, "5.7.1",
        "This professional has never written to you from this address, so it is closed to you. Reach them by phone first.",
        "Ce professionnel ne vous a jamais écrit depuis cette adresse, vous ne pouvez donc pas lui écrire. Joignez-le d’abord par téléphone.",
    ),
    Reason.CONVERSATION_CLOSED: Wording(
        550, "5.7.1",
        "The professional has ended this exchange. It opens again if they write to you; otherwise call their practice.",
        "Le professionnel a mis fin à cet échange. Il se rouvrira s’il vous écrit ; sinon, appelez son cabinet.",
    ),
    Reason.MESSAGE_CLOSED: Wording(
        550, "5.7.1",
        "The professional wants no answer to that message. Answer another of theirs or write a new one, or reach them by phone.",
        "Le professionnel n’attend pas de réponse à ce message. Répondez à un autre, écrivez-lui un nouveau message, ou joignez-le par téléphone.",
    ),
    Reason.MESSAGE_TOO_LARGE_FOR_PATIENT: Wording(
        552, "5.2.3",
        "A message to a patient may not exceed 25 MB in total. Remove or reduce attachments and send again.",
        "Un message à un patient ne peut pas dépasser 25 Mo au total. Retirez ou réduisez des pièces jointes, puis renvoyez.",
    ),
}  # fmt: skip


def wording_for(reason: Reason) -> Wording:
    """The row of the table; every Reason has one."""
    return WORDINGS[reason]


def in_both(english: str, french: str, first: Language) -> list[str]:
    """A sentence in both languages, in ASCII, that of ``first`` before the other: what many mail clients cut is the end."""
    texts = [english, to_ascii(french)]
    return texts if first is Language.ENGLISH else texts[::-1]


def format_reply(wording: Wording, first: Language, detail: str = "") -> bytes:
    """A whole SMTP reply, CRLF included: ``detail`` (a phrase of the TLS library, a host name), then both languages.

    ``detail`` is cut to 200 printable ASCII characters; callers give no private data in it.
    """
    head = f"{wording.code}", f" {wording.enhanced} "
    room = LINE_OCTETS - len("".join(head)) - len("-\r\n")
    sentences = in_both(wording.english, wording.french, first)
    shown = _NOT_PRINTABLE.sub(" ", detail)[:_DETAIL_CHARACTERS].strip()
    if shown:
        sentences.insert(0, f"({shown})")
    lines = [line for sentence in sentences for line in textwrap.wrap(sentence, room)]
    last = len(lines) - 1
    return "".join(
        f"{wording.code}{' ' if number == last else '-'}{wording.enhanced} {line}\r\n"
        for number, line in enumerate(lines)
    ).encode("ascii")


def to_ascii(text: str) -> str:
    """French without accents or typographic marks, for a reply line (RFC 5321 §4.2 textstring)."""
    plain = unicodedata.normalize("NFKD", text.translate(_TYPOGRAPHY))
    return plain.encode("ascii", "ignore").decode("ascii")
