"""What notices mean, in French and English words for the sender: one text a state, one explanation a code."""

from mailserver.model.notice import NoticeState
from mailserver.service.delivery_reports import Explanation

STATE_WORDS: dict[NoticeState, tuple[str, str]] = {
    NoticeState.SENT: ("aucun avis reçu à ce jour", "no notice has come so far"),
    NoticeState.RELAYED: (
        "transmis à un serveur qui n'envoie pas d'avis de remise",
        "passed on to a server that sends no notices of delivery",
    ),
    NoticeState.DELIVERED: ("remis dans la boîte du destinataire", "delivered to the recipient's mailbox"),
    NoticeState.OVERDUE: (
        "aucun avis reçu dans le délai : appelez le destinataire si la réponse compte pour les soins",
        "no notice came in time: call the recipient if care depends on it",
    ),
    NoticeState.DISPATCHED: (
        "transmis plus loin par le système du destinataire (transfert, impression ou logiciel métier)",
        "sent on by the recipient's system (forwarded, printed, or handed to their software)",
    ),
    NoticeState.PROCESSED: (
        "intégré par le système du destinataire ; cela ne dit pas que quelqu'un l'a lu",
        "processed by the recipient's system; it does not say that anybody read it",
    ),
    NoticeState.DISPLAYED: (
        "ouvert par le destinataire ; cela ne dit pas qu'il l'a compris",
        "opened by the recipient; it does not say that it was understood",
    ),
    NoticeState.DELETED: (
        "supprimé par le destinataire, peut-être sans avoir été lu : appelez-le si c'est important",
        "deleted by the recipient, maybe unread: call them if it matters",
    ),
    NoticeState.FAILED: ("échec chez le destinataire", "failed at the recipient's side"),
}

_OTHER = Explanation(
    "le système du destinataire n'a pas pu traiter le message.",
    "Lisez l'avis reçu dans votre boîte, puis appelez le destinataire ou envoyez-lui le document autrement.",
    "the recipient's system could not take the message.",
    "Read the notice in your inbox, then call the recipient or send the document another way.",
)
_OF_IDENTITY_FR = "Vérifiez l'identité (INS qualifiée) dans votre logiciel, puis renvoyez le document."
_OF_IDENTITY_EN = "Check the identity (qualified INS) in your software, then send the document again."
_BY_CODE = {
    900: Explanation(
        "version de l'archive ou du document non prise en charge (code 900).",
        "Demandez à l'éditeur de votre logiciel de produire la version en vigueur, puis renvoyez le document.",
        "unsupported version of the archive or document (code 900).",
        "Ask the maker of your software for the version in force, then send the document again.",
    ),
    901: Explanation(
        "auteur du document non autorisé (code 901).",
        "Demandez à un professionnel habilité d'envoyer le document.",
        "the document's author is not allowed (code 901).",
        "Ask an entitled professional to send the document.",
    ),
    902: Explanation(
        "patient inconnu chez le destinataire (code 902).",
        "Vérifiez l'adresse du destinataire et l'identité du patient, puis appelez le destinataire.",
        "patient unknown at the recipient's (code 902).",
        "Check the recipient's address and the patient's identity, then call the recipient.",
    ),
    903: Explanation(
        "INS du patient absente du document (code 903).",
        _OF_IDENTITY_FR,
        "the patient's INS is missing (code 903).",
        _OF_IDENTITY_EN,
    ),
    904: Explanation(
        "INS du document différente de celle du patient attendu (code 904).",
        _OF_IDENTITY_FR,
        "the document's INS is not that of the expected patient (code 904).",
        _OF_IDENTITY_EN,
    ),
    905: Explanation(
        "INS du patient incomplète (code 905).",
        _OF_IDENTITY_FR,
        "the patient's INS is incomplete (code 905).",
        _OF_IDENTITY_EN,
    ),
}


def explain_code(code: int) -> Explanation:
    """Why an integration failed and what to do; 906 and what is no code have the text for anything else."""
    return _BY_CODE.get(code, _OTHER)
