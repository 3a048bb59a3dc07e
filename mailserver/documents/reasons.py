"""Why an archive is set aside, and what is merely tolerated: closed lists with their words.

One table per list: the code sent back in an MDN (``MdnCode``) and one French and one English text that say what
happened, why, and what to do. No text holds, or is ever filled with, private data.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class MdnCode(IntEnum):
    """Codes of the French MDN for a failed integration (ANS guide, volet transmission LPS)."""

    VERSION = 900
    AUTHOR = 901
    PATIENT_UNKNOWN = 902
    INS_ABSENT = 903
    INS_DIFFERS = 904
    INS_INCOMPLETE = 905
    OTHER = 906


class SetAsideReason(StrEnum):
    """Each value is also the ``code`` of the error that the parsers of this package raise."""

    NOT_AN_ARCHIVE = "not-an-archive"
    MALFORMED_ARCHIVE = "malformed-archive"
    ENCRYPTED_MEMBER = "encrypted-member"
    UNSUPPORTED_COMPRESSION = "unsupported-compression"
    CHECKSUM_MISMATCH = "checksum-mismatch"
    INFLATED_SIZE_DIFFERS = "inflated-size-differs"
    TOO_MANY_MEMBERS = "too-many-members"
    TOO_LARGE = "too-large"
    RATIO = "ratio"
    PATH_TRAVERSAL = "path-traversal"
    BAD_MEMBER_NAME = "bad-member-name"
    SPECIAL_FILE = "special-file"
    DUPLICATE_MEMBER = "duplicate-member"
    NESTED_ARCHIVE = "nested-archive"
    SEVERAL_ROOTS = "several-roots"
    SEVERAL_ARCHIVES = "several-archives"
    NO_IHE_XDM_FOLDER = "no-ihe-xdm-folder"
    NO_METADATA = "no-metadata"
    DOCTYPE = "doctype"
    MARKUP_TOO_LARGE = "markup-too-large"
    METADATA_VERSION = "metadata-version"
    MALFORMED_METADATA = "malformed-metadata"
    NO_DOCUMENT = "no-document"
    URI_MISSING = "uri-missing"
    URI_OUTSIDE = "uri-outside"
    FILE_ABSENT = "file-absent"
    SAME_FILE_TWICE = "same-file-twice"
    HASH_MISSING = "hash-missing"
    HASH_OF_NOTHING = "hash-of-nothing"
    HASH_MISMATCH = "hash-mismatch"
    SIZE_MISMATCH = "size-mismatch"
    MALFORMED_CDA = "malformed-cda"
    PATIENT_DIFFERS = "patient-differs"
    CODE_DIFFERS = "code-differs"
    SEVERAL_PATIENTS = "several-patients"
    PATIENT_MISSING = "patient-missing"
    PATIENT_INCOMPLETE = "patient-incomplete"
    PATIENT_UNKNOWN = "patient-unknown"
    PATIENT_NOT_RECIPIENT = "patient-not-recipient"
    AUTHOR_NOT_ALLOWED = "author-not-allowed"


class WarningCode(StrEnum):
    """Dirt seen in the field that does not put the documents in doubt."""

    BACKSLASH = "backslash"
    NOISE = "noise"
    TOP_FOLDER = "top-folder"
    LETTER_CASE = "letter-case"
    UNUSUAL_FOLDER = "unusual-folder"
    INDEX_MISSING = "index-missing"
    README_MISSING = "readme-missing"
    BYTE_ORDER_MARK = "byte-order-mark"
    SHORT_ASSOCIATION = "short-association"
    NOT_A_MEMBER = "not-a-member"
    URI_CASE = "uri-case"
    HASH_CASE = "hash-case"
    SIZE_MISSING = "size-missing"
    TYPE_MISSING = "type-missing"
    DATE_UNREADABLE = "date-unreadable"
    MEDIA_TYPE_DIFFERS = "media-type-differs"
    UNIQUE_ID_DIFFERS = "unique-id-differs"


@dataclass(frozen=True, slots=True)
class XdmWarning:
    """A tolerated defect. ``document`` is the 1-based rank of the document concerned, 0 for the whole archive."""

    code: WarningCode
    document: int = 0


@dataclass(frozen=True, slots=True)
class SetAside:
    """The decision not to file. ``detail`` names a rank or a limit, never content, a file name or a person."""

    reason: SetAsideReason
    detail: str = ""

    @property
    def mdn_code(self) -> MdnCode:
        return EXPLANATIONS[self.reason].mdn_code


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happened, why, and what to do, in the reader's language."""

    mdn_code: MdnCode
    french: str
    english: str


_R = SetAsideReason
_OTHER = MdnCode.OTHER

EXPLANATIONS: dict[SetAsideReason, Explanation] = {
    _R.NOT_AN_ARCHIVE: Explanation(
        _OTHER,
        "La pièce jointe n'a pas été lue : ce n'est pas une archive ZIP. Renvoyez une archive IHE_XDM.zip valide.",
        "The attachment was not read: it is not a ZIP archive. Send a valid IHE_XDM.zip again.",
    ),
    _R.MALFORMED_ARCHIVE: Explanation(
        _OTHER,
        "L'archive n'a pas été lue : sa structure ZIP est abîmée ou incohérente. Reconstruisez-la puis renvoyez-la.",
        "The archive was not read: its ZIP structure is damaged or contradicts itself. Rebuild it and send it again.",
    ),
    _R.ENCRYPTED_MEMBER: Explanation(
        _OTHER,
        "L'archive n'a pas été lue : un fichier y est protégé par un mot de passe. Renvoyez-la sans mot de passe.",
        "The archive was not read: a file in it is locked with a password. Send it again without one.",
    ),
    _R.UNSUPPORTED_COMPRESSION: Explanation(
        _OTHER,
        "L'archive n'a pas été lue : un fichier y est compressé par un procédé inattendu. Utilisez la compression ZIP ordinaire.",
        "The archive was not read: a file in it uses an unexpected compression. Use ordinary ZIP compression (deflate).",
    ),
    _R.CHECKSUM_MISMATCH: Explanation(
        _OTHER,
        "L'archive n'a pas été lue : un fichier a été altéré depuis la compression (CRC faux). Reconstruisez-la puis renvoyez-la.",
        "The archive was not read: a file was altered after compression (wrong CRC). Rebuild it and send it again.",
    ),
    _R.INFLATED_SIZE_DIFFERS: Explanation(
        _OTHER,
        "L'archive a été mise à l'écart : un fichier n'a pas la taille annoncée par l'archive. Reconstruisez-la puis renvoyez-la.",
        "The archive was set aside: a file does not have the size that the archive states. Rebuild it and send it again.",
    ),
    _R.TOO_MANY_MEMBERS: Explanation(
        _OTHER,
        "L'archive a été mise à l'écart : elle contient plus de 1000 fichiers. Répartissez les documents en plusieurs envois.",
        "The archive was set aside: it holds more than 1000 files. Spread the documents over several messages.",
    ),
    _R.TOO_LARGE: Explanation(
        _OTHER,
        "L'archive a été mise à l'écart : elle dépasse 32 Mio, ou son contenu 200 Mio. Répartissez les documents en plusieurs envois.",
        "The archive was set aside: it exceeds 32 MiB, or its content 200 MiB. Spread the documents over several messages.",
    ),
    _R.RATIO: Explanation(
        _OTHER,
        "L'archive a été mise à l'écart : son contenu est plus de 100 fois plus gros qu'elle, signe d'une archive piégée. "
        "Retirez le fichier de remplissage puis renvoyez-la.",
        "The archive was set aside: its content is over 100 times its size, the mark of a trap. "
        "Remove the padding and send it again.",
    ),
    _R.PATH_TRAVERSAL: Explanation(
        _OTHER,
        "L'archive a été mise à l'écart : un nom de fichier cherche à sortir de son dossier. N'utilisez que des noms relatifs.",
        "The archive was set aside: a file name tries to leave its folder. Use relative names only.",
    ),
    _R.BAD_MEMBER_NAME: Explanation(
        _OTHER,
        "L'archive a été mise à l'écart : un nom de fichier est vide, trop long ou illisible. Utilisez des noms courts et simples.",
        "The archive was set aside: a file name is empty, too long or unreadable. Use short, plain names.",
    ),
    _R.SPECIAL_FILE: Explanation(
        _OTHER,
        "L'archive a été mise à l'écart : elle contient un lien ou un fichier spécial. N'y placez que des fichiers ordinaires.",
        "The archive was set aside: it holds a link or a special file. Put ordinary files only in it.",
    ),
    _R.DUPLICATE_MEMBER: Explanation(
        _OTHER,
        "L'archive a été mise à l'écart : deux fichiers y portent le même nom, on ne sait lequel croire. Renvoyez-la sans doublon.",
        "The archive was set aside: two files share one name and neither can be trusted. Send it again without the duplicate.",
    ),
    _R.NESTED_ARCHIVE: Explanation(
        _OTHER,
        "L'archive a été mise à l'écart : elle en contient une autre, qui n'est jamais ouverte. Placez-y directement les documents.",
        "The archive was set aside: it holds another archive, which is never opened. Put the documents in it directly.",
    ),
    _R.SEVERAL_ROOTS: Explanation(
        _OTHER,
        "L'archive a été mise à l'écart : elle contient plusieurs dossiers IHE_XDM. N'en gardez qu'un.",
        "The archive was set aside: it holds several IHE_XDM folders. Keep only one.",
    ),
    _R.SEVERAL_ARCHIVES: Explanation(
        _OTHER,
        "Rien n'a été classé : le message porte plusieurs archives IHE_XDM.zip. Envoyez un message par archive.",
        "Nothing was filed: the message carries several IHE_XDM.zip archives. Send one message for each archive.",
    ),
    _R.NO_IHE_XDM_FOLDER: Explanation(
        _OTHER,
        "Aucun document n'a été lu : l'archive n'a pas de dossier IHE_XDM. Produisez-la selon le profil IHE XDM.",
        "No document was read: the archive has no IHE_XDM folder. Build it according to the IHE XDM profile.",
    ),
    _R.NO_METADATA: Explanation(
        _OTHER,
        "Aucun document n'a été lu : le fichier METADATA.XML manque. Ajoutez-le dans le dossier du lot puis renvoyez l'archive.",
        "No document was read: METADATA.XML is missing. Add it to the submission folder and send the archive again.",
    ),
    _R.DOCTYPE: Explanation(
        _OTHER,
        "L'archive a été mise à l'écart : un fichier XML contient une déclaration DOCTYPE, interdite car dangereuse. Retirez-la.",
        "The archive was set aside: an XML file has a DOCTYPE, which is dangerous and forbidden. Remove it.",
    ),
    _R.MARKUP_TOO_LARGE: Explanation(
        _OTHER,
        "L'archive a été mise à l'écart : un fichier XML est trop gros ou a trop d'éléments. Répartissez les documents.",
        "The archive was set aside: an XML file is too large or has too many elements. Spread the documents.",
    ),
    _R.METADATA_VERSION: Explanation(
        MdnCode.VERSION,
        "Aucun document n'a été lu : METADATA.XML suit une version périmée d'ebRIM. Produisez-le en ebRIM 3.0.",
        "No document was read: METADATA.XML follows an outdated ebRIM version. Write it in ebRIM 3.0.",
    ),
    _R.MALFORMED_METADATA: Explanation(
        _OTHER,
        "Aucun document n'a été lu : METADATA.XML n'est pas conforme. Corrigez-le puis renvoyez l'archive.",
        "No document was read: METADATA.XML does not follow its format. Correct it and send the archive again.",
    ),
    _R.NO_DOCUMENT: Explanation(
        _OTHER,
        "Rien n'a été classé : METADATA.XML n'annonce aucun document. Décrivez-y chaque document puis renvoyez l'archive.",
        "Nothing was filed: METADATA.XML announces no document. Describe each document in it and send the archive again.",
    ),
    _R.URI_MISSING: Explanation(
        _OTHER,
        "Rien n'a été classé : METADATA.XML ne dit pas dans quel fichier est un document (URI absente). Ajoutez-la.",
        "Nothing was filed: METADATA.XML does not say which file holds a document (no URI). Add it.",
    ),
    _R.URI_OUTSIDE: Explanation(
        _OTHER,
        "L'archive a été mise à l'écart : l'URI d'un document désigne un lieu hors du dossier IHE_XDM. Corrigez-la.",
        "The archive was set aside: a document's URI points outside the IHE_XDM folder. Correct it.",
    ),
    _R.FILE_ABSENT: Explanation(
        _OTHER,
        "Rien n'a été classé : un document annoncé par METADATA.XML n'est pas dans l'archive. Ajoutez le fichier ou corrigez l'URI.",
        "Nothing was filed: a document announced by METADATA.XML is not in the archive. Add the file or correct the URI.",
    ),
    _R.SAME_FILE_TWICE: Explanation(
        _OTHER,
        "Rien n'a été classé : deux documents annoncés désignent un seul fichier. Donnez à chaque document son fichier.",
        "Nothing was filed: two announced documents name one and the same file. Give each document its own file.",
    ),
    _R.HASH_MISSING: Explanation(
        _OTHER,
        "Rien n'a été classé : l'empreinte d'un document manque, il ne peut être vérifié. Ajoutez son empreinte SHA-1.",
        "Nothing was filed: a document's hash is missing and it cannot be checked. Add its SHA-1 hash.",
    ),
    _R.HASH_OF_NOTHING: Explanation(
        _OTHER,
        "Rien n'a été classé : l'empreinte annoncée est celle d'un fichier vide, alors que le document ne l'est pas. "
        "Calculez-la sur le fichier final.",
        "Nothing was filed: the stated hash is that of an empty file, while the document is not empty. "
        "Compute it on the final file.",
    ),
    _R.HASH_MISMATCH: Explanation(
        _OTHER,
        "Rien n'a été classé : un document ne correspond pas à son empreinte, il a changé après sa description. Renvoyez-le.",
        "Nothing was filed: a document does not match its hash, so it changed after it was described. Send it again.",
    ),
    _R.SIZE_MISMATCH: Explanation(
        _OTHER,
        "Rien n'a été classé : un document n'a pas la taille annoncée dans METADATA.XML. Corrigez la taille ou le fichier.",
        "Nothing was filed: a document does not have the size stated in METADATA.XML. Correct the size or the file.",
    ),
    _R.MALFORMED_CDA: Explanation(
        _OTHER,
        "Rien n'a été classé : un document n'est pas un CDA lisible. Corrigez-le puis renvoyez l'archive.",
        "Nothing was filed: a document is not a readable CDA. Correct it and send the archive again.",
    ),
    _R.PATIENT_DIFFERS: Explanation(
        MdnCode.INS_DIFFERS,
        "Rien n'a été classé : METADATA.XML et le document ne désignent pas le même patient. Vérifiez l'identité puis renvoyez.",
        "Nothing was filed: METADATA.XML and the document name different patients. Check the identity and send again.",
    ),
    _R.CODE_DIFFERS: Explanation(
        _OTHER,
        "Rien n'a été classé : METADATA.XML et le document n'annoncent pas le même type. Corrigez le code puis renvoyez.",
        "Nothing was filed: METADATA.XML and the document state different types. Correct the code and send again.",
    ),
    _R.SEVERAL_PATIENTS: Explanation(
        _OTHER,
        "Rien n'a été classé : le message concerne plusieurs patients. Envoyez un message par patient.",
        "Nothing was filed: the message concerns several patients. Send one message for each patient.",
    ),
    _R.PATIENT_MISSING: Explanation(
        MdnCode.INS_ABSENT,
        "Rien n'a été classé : METADATA.XML ne donne pas l'identifiant du patient. Ajoutez l'INS qualifiée puis renvoyez.",
        "Nothing was filed: METADATA.XML gives no patient identifier. Add the qualified INS and send again.",
    ),
    _R.PATIENT_INCOMPLETE: Explanation(
        MdnCode.INS_INCOMPLETE,
        "Rien n'a été classé : l'identifiant du patient est incomplet (matricule ou OID absent). Complétez l'INS puis renvoyez.",
        "Nothing was filed: the patient identifier is incomplete (no number or no OID). Complete the INS and send again.",
    ),
    _R.PATIENT_UNKNOWN: Explanation(
        MdnCode.PATIENT_UNKNOWN,
        "Rien n'a été classé : ce patient n'a pas d'espace ici. Vérifiez l'INS ou joignez le patient autrement.",
        "Nothing was filed: this patient has no space here. Check the INS or reach the patient another way.",
    ),
    _R.PATIENT_NOT_RECIPIENT: Explanation(
        MdnCode.INS_DIFFERS,
        "Rien n'a été classé : le patient du document n'est pas celui à qui le message est adressé. Vérifiez l'adresse et l'INS.",
        "Nothing was filed: the document's patient is not the one the message is addressed to. Check the address and the INS.",
    ),
    _R.AUTHOR_NOT_ALLOWED: Explanation(
        MdnCode.AUTHOR,
        "Rien n'a été classé : l'auteur n'a pas le droit de déposer ce document. Demandez à un professionnel habilité de l'envoyer.",
        "Nothing was filed: the author may not deposit this document. Ask an entitled professional to send it.",
    ),
}

WARNING_TEXTS: dict[WarningCode, tuple[str, str]] = {
    WarningCode.BACKSLASH: (
        "Les chemins utilisent « \\ » au lieu de « / ».",
        "Paths use backslashes instead of slashes.",
    ),
    WarningCode.NOISE: (
        "Des fichiers parasites ont été ignorés.",
        "Stray system files were ignored.",
    ),
    WarningCode.TOP_FOLDER: (
        "L'archive est enveloppée dans un dossier de trop.",
        "The archive is wrapped in an extra top folder.",
    ),
    WarningCode.LETTER_CASE: (
        "Des noms imposés en majuscules sont en minuscules.",
        "Names that must be upper case are not.",
    ),
    WarningCode.UNUSUAL_FOLDER: (
        "METADATA.XML n'est pas dans un sous-dossier direct de IHE_XDM.",
        "METADATA.XML is not in a direct sub-folder of IHE_XDM.",
    ),
    WarningCode.INDEX_MISSING: ("INDEX.HTM manque.", "INDEX.HTM is missing."),
    WarningCode.README_MISSING: ("README.TXT manque.", "README.TXT is missing."),
    WarningCode.BYTE_ORDER_MARK: (
        "METADATA.XML commence par une marque d'ordre (BOM).",
        "METADATA.XML begins with a byte order mark.",
    ),
    WarningCode.SHORT_ASSOCIATION: (
        "Un type d'association est écrit sans son préfixe.",
        "An association type lacks its prefix.",
    ),
    WarningCode.NOT_A_MEMBER: (
        "Un document n'est pas rattaché au lot.",
        "A document is not linked to the submission set.",
    ),
    WarningCode.URI_CASE: (
        "L'URI et le nom du fichier diffèrent par la casse.",
        "The URI and the file name differ in letter case.",
    ),
    WarningCode.HASH_CASE: ("L'empreinte est en majuscules.", "The hash is in upper case."),
    WarningCode.SIZE_MISSING: ("La taille d'un document manque.", "A document's size is missing."),
    WarningCode.TYPE_MISSING: ("Le type d'un document manque.", "A document's type is missing."),
    WarningCode.DATE_UNREADABLE: ("Une date est illisible.", "A date cannot be read."),
    WarningCode.MEDIA_TYPE_DIFFERS: (
        "Le format annoncé n'est pas celui du fichier.",
        "The stated media type is not that of the file.",
    ),
    WarningCode.UNIQUE_ID_DIFFERS: (
        "L'identifiant unique diffère entre METADATA.XML et le document.",
        "The unique id differs between METADATA.XML and the document.",
    ),
}
"""French and English words for each warning."""
