"""The words of every notice, in French and English: no health content, no sender, no link but the pages' own address.

A person's language is not known here, so a mail says all twice; an SMS says it in French, then shortly in English.
"""

from dataclasses import dataclass
from enum import StrEnum


class NoticeKind(StrEnum):
    CODE = "code"
    WAITING = "waiting"
    GUESSES = "guesses"
    CONTACT_CODE = "contact-code"
    CONTACT_CHANGED = "contact-changed"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105 # the name of a notice
    FACTOR_CHANGED = "factor-changed"


@dataclass(frozen=True, slots=True)
class NoticeText:
    """Templates with {operator}, {url} and {code}. ``sms`` keeps to letters that one SMS of 160 can hold."""

    subject: str
    french: str
    english: str
    sms: str


NOTICE_TEXTS: dict[NoticeKind, NoticeText] = {
    NoticeKind.CODE: NoticeText(
        "{operator} : votre code de connexion",
        "Votre code de connexion : {code}\n\n"
        "Il est valable 10 minutes et ne sert qu'une fois.\n"
        "Si vous n'avez pas demandé de code, ne faites rien : personne n'entre sans lui.\n"
        "Ne le donnez à personne, même à quelqu'un qui se dit de nos services.",
        "Your login code: {code}\n\n"
        "It is valid for 10 minutes, once.\n"
        "If you did not ask for a code, do nothing: nobody gets in without it.\n"
        "Give it to nobody, even to somebody who says they work for us.",
        "{operator} : code {code}, valable 10 minutes. Ne le donnez à personne. / Your login code.",
    ),
    NoticeKind.WAITING: NoticeText(
        "{operator} : un message vous attend",
        "Un nouveau message vous attend dans votre espace {operator}.\n"
        "Pour le lire, connectez-vous comme d'habitude : {url}\n\n"
        "Ce courriel ne demande ni mot de passe ni code, et n'en demandera jamais.\n"
        "Vous pouvez choisir les avis que vous recevez dans les réglages de votre espace.",
        "A new message waits in your {operator} space.\n"
        "To read it, log in as usual: {url}\n\n"
        "This e-mail asks for no password and no code, and never will.\n"
        "You can choose which notices you get in the settings of your space.",
        "{operator} : un message vous attend dans votre espace. Connectez-vous comme d'habitude. / A message waits.",
    ),
    NoticeKind.GUESSES: NoticeText(
        "{operator} : des codes faux ont été essayés",
        "Quelqu'un a donné le mot de passe de votre espace {operator}, puis plusieurs codes faux. Personne n'est entré.\n\n"
        "Si c'était vous, ne faites rien : vérifiez seulement que votre téléphone est à l'heure.\n"
        "Si ce n'était pas vous, quelqu'un connaît votre mot de passe : appelez l'assistance pour en changer.\n"
        "Ne donnez à personne votre mot de passe ni un code, même à quelqu'un qui se dit de nos services.",
        "Somebody gave the password of your {operator} space, then several wrong codes, and did not get in.\n\n"
        "If it was you, do nothing: only check that your phone's clock is right.\n"
        "If it was not you, somebody knows your password: call support to change it.\n"
        "Give your password or a code to nobody, even to somebody who says they work for us.",
        "{operator} : des codes faux ont été essayés. Si ce n'était pas vous, appelez l'assistance. / Wrong codes were tried.",
    ),
    NoticeKind.CONTACT_CODE: NoticeText(
        "{operator} : votre code de vérification",
        "Vous avez donné cette adresse pour vos avis {operator}. Code de vérification : {code}\n\n"
        "Il est valable 10 minutes et ne sert qu'une fois.\n"
        "Si vous n'avez rien demandé, ne faites rien.",
        "You gave this address for your {operator} notices. Verification code: {code}\n\n"
        "It is valid for 10 minutes, once.\n"
        "If you did not ask for anything, do nothing.",
        "{operator} : code de vérification {code}, valable 10 minutes. / Your verification code.",
    ),
    NoticeKind.CONTACT_CHANGED: NoticeText(
        "{operator} : vos coordonnées ont changé",
        "L'adresse ou le téléphone de vos avis {operator} a été changé.\n\n"
        "Si c'était vous, ne faites rien.\n"
        "Si ce n'était pas vous, appelez l'assistance tout de suite.",
        "The address or phone of your {operator} notices was changed.\n\n"
        "If it was you, do nothing.\n"
        "If it was not you, call support at once.",
        "{operator} : vos coordonnées ont été changées. Si ce n'était pas vous, appelez l'assistance. / Your contact changed.",
    ),
    NoticeKind.PASSWORD_CHANGED: NoticeText(
        "{operator} : votre mot de passe a changé",
        "Le mot de passe de votre espace {operator} a été changé. L'ancien n'ouvre plus rien.\n\n"
        "Si vous l'avez demandé, ne faites rien.\n"
        "Si ce n'était pas vous, appelez l'assistance tout de suite.",
        "The password of your {operator} space was changed. The old one opens nothing any more.\n\n"
        "If you asked for it, do nothing.\n"
        "If it was not you, call support at once.",
        "{operator} : mot de passe de votre espace changé. Si ce n'était pas vous, appelez l'assistance. / Password changed.",
    ),
    NoticeKind.FACTOR_CHANGED: NoticeText(
        "{operator} : vos codes de connexion ont changé",
        "La façon dont vous recevez les codes de connexion de votre espace {operator} a été changée.\n\n"
        "Si vous l'avez demandé, ne faites rien.\n"
        "Si ce n'était pas vous, appelez l'assistance tout de suite.",
        "The way you get login codes for your {operator} space was changed.\n\n"
        "If you asked for it, do nothing.\n"
        "If it was not you, call support at once.",
        "{operator} : vos codes de connexion ont changé. Si ce n'était pas vous, appelez l'assistance. / Login codes changed.",
    ),
}


def format_mail_text(kind: NoticeKind, values: dict[str, str]) -> tuple[str, str]:
    """Subject and text of a mail."""
    text = NOTICE_TEXTS[kind]
    body = f"Bonjour,\n\n{text.french}\n\n--\nHello,\n\n{text.english}\n"
    return text.subject.format_map(values), body.format_map(values)


def format_sms(kind: NoticeKind, values: dict[str, str]) -> str:
    return NOTICE_TEXTS[kind].sms.format_map(values)
