"""What is said of an absence, in French and English: the automatic reply, and the words at RCPT for a mail client."""

from mailserver.audit.wording import Language
from mailserver.model.absence import Absence
from mailserver.policy.wording import in_both, to_ascii

SUBJECT = "Réponse automatique : absence / Automatic reply: away"
"""RFC 3834 §3.1.5 would have the original's subject. That may name a patient, and one reply stands for every message of
a correspondent; In-Reply-To says which one was answered.
"""
_RCPT_CHARACTERS = 300


def format_reply_text(name: str, absence: Absence, *, is_for_patient: bool) -> str:
    """The whole text of the automatic reply."""
    french = [
        f"Réponse automatique. {name} ne lit pas ses messages {_days_fr(absence)}.",
        "Votre message est remis et attend son retour.",
        absence.text,
        f"Confrère à joindre pendant ce temps : {absence.colleague}" if absence.colleague else "",
        f"En cas d’urgence : {absence.emergency}" if absence.emergency else "",
        "Urgence vitale : appelez le 15 (SAMU) ou le 112 ; le 114 par SMS." if is_for_patient else "",
        "Cette réponse n’est envoyée qu’une fois pendant cette absence.",
    ]
    english = [
        f"Automatic reply. {name} does not read messages {_days_en(absence)}.",
        "Your message is delivered and waits.",
        f"Colleague to turn to meanwhile: {absence.colleague}" if absence.colleague else "",
        f"In an emergency: {absence.emergency}" if absence.emergency else "",
        "In danger of life: call 15 (SAMU) or 112; 114 by text message." if is_for_patient else "",
        "This reply is sent once during this absence.",
    ]
    parts = ["\n\n".join(filter(None, said)) for said in (french, english)]
    return "\n\n--\n".join(parts) + "\n"


def format_recipient_words(absence: Absence, first: Language) -> list[str]:
    """Lines of the 250 to RCPT, in ASCII, in both languages: few mail clients show them, all have them before the message is sent."""
    english = [f"Recipient away {_days_en(absence)}."]
    french = [f"Destinataire absent {_days_fr(absence)}."]
    if absence.colleague is not None and absence.colleague.is_ascii:
        english.append(f"Colleague: {absence.colleague}.")
        french.append(f"Confrere : {absence.colleague}.")
    if absence.emergency:
        english.append(f"In an emergency: {absence.emergency}")
        french.append(f"En cas d'urgence : {absence.emergency}")
    both = in_both(" ".join(english), " ".join(french), first)
    lines = [*both, " ".join(absence.text.split())[:_RCPT_CHARACTERS]]
    return [" ".join(to_ascii(line).split()) for line in lines if line]


def _days_fr(absence: Absence) -> str:
    return f"du {absence.first_day:%d/%m/%Y} au {absence.last_day:%d/%m/%Y} inclus"


def _days_en(absence: Absence) -> str:
    return f"from {absence.first_day} to {absence.last_day}, both included"
