"""What became of a message, in words, for a program that shows them to a person."""

from mailserver.audit.wording import Language
from mailserver.model.notice import NoticeState
from mailserver.service.delivery_reports import Cause, explain_attempt
from mailserver.service.notice_words import STATE_WORDS, explain_code
from mailserver.service.timelines import DeliveryState, HeardState
from mailserver.store.jobs import AttemptRow

_STATES = {  # state: (French, English)
    DeliveryState.HERE: (
        "Remis dans la boîte du destinataire.",
        "Delivered to the recipient's mailbox.",
    ),
    DeliveryState.WAITING: (
        "En attente d'un nouvel essai.",
        "Waiting for the next try.",
    ),
    DeliveryState.HELD: (
        "Retenu par un administrateur de votre opérateur ; s'il n'est pas libéré à temps, il vous sera retourné.",
        "Held by an administrator of your operator; if it is not released in time, it will be returned to you.",
    ),
    DeliveryState.HANDED_OVER: (
        "Pris en charge par le serveur du destinataire.",
        "Taken by the recipient's server.",
    ),
    DeliveryState.RETURNED: (
        "Non remis, et il ne le sera pas : joignez le destinataire par un autre moyen ou renvoyez le message.",
        "Not delivered, and it will not be: reach the recipient by another way, or send the message again.",
    ),
    DeliveryState.FORGOTTEN: (
        "Terminé depuis longtemps : le détail n'est plus gardé.",
        "Over long ago: the details are kept no longer.",
    ),
}
_DELIVERED = ("Remis au serveur du destinataire.", "Handed to the recipient's server.")
_REFUSED = ("Refusé par le serveur du destinataire.", "Refused by the recipient's server.")
_LATER = (
    "Le serveur du destinataire demande de réessayer plus tard.",
    "The recipient's server asks to try again later.",
)


def state_words(state: DeliveryState, language: Language) -> str:
    """Where a recipient's copy is."""
    return _choose(_STATES[state], language)


def attempt_words(attempt: AttemptRow, language: Language) -> str:
    """How an attempt ended: why, and what to do when there is something to do."""
    why = explain_attempt(attempt.result)
    if why is not None:
        french, english = f"{why.why_fr} {why.todo_fr}", f"{why.why_en} {why.todo_en}"
        return _choose((french[0].upper() + french[1:], english[0].upper() + english[1:]), language)
    if attempt.result == Cause.DELIVERED:
        return _choose(_DELIVERED, language)
    return _choose(_REFUSED if attempt.reply_code // 100 == 5 else _LATER, language)


def notice_words(heard: HeardState, language: Language) -> str:
    """What a notice said: with a failure why, and what to do."""
    french, english = STATE_WORDS[heard.state]
    if heard.state is NoticeState.FAILED:
        why = explain_code(heard.code)
        french, english = f"{french} : {why.why_fr} {why.todo_fr}", f"{english}: {why.why_en} {why.todo_en}"
    return _choose((french[0].upper() + french[1:], english[0].upper() + english[1:]), language)


def _choose(words: tuple[str, str], language: Language) -> str:
    return words[0] if language is Language.FRENCH else words[1]
