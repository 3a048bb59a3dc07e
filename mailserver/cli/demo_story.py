"""The main job, step by step, through real protocols. Each step returns what to look at, or raises."""

import shutil
import ssl
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files

from mailserver.audit.verify_export import verify
from mailserver.cli.demo_clients import HOST, Browser, Page, ask_mx, read_newest, send_mail
from mailserver.cli.demo_log import export_settled
from mailserver.cli.demo_relay import DemoRelay
from mailserver.cli.demo_stage import PASSWORD, Stage, run_pli
from mailserver.cli.word_scan import find_traces, plant_copies
from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning
from mailserver.model.errors import Unavailable

ANSWER = "Merci docteur, je viendrai au rendez-vous avec mes anciens examens."
ATTACHMENT = ("mesures.txt", "text/plain", b"Tension du matin : 13/8, 12/8, 14/9.\r\n")
SECRET_WORDS = (
    "PAT-TROIS",
    "adressage",
    "rendez-vous avec mes anciens",
    "mesures.txt",
    "camille.fictif",
    "Tension du",
)
"""Words of the messages, addresses, file names and documents: none may lie in clear in the folders."""
NO_CERTIFICATE = 530
"""Authentication is required (RFC 4954 §6)."""


@dataclass(slots=True)
class Story:
    """What the steps share."""

    stage: Stage
    relay: DemoRelay
    context: ssl.SSLContext = field(init=False)
    browser: Browser = field(init=False)
    page: Page = field(init=False)

    def __post_init__(self) -> None:
        self.context = self.stage.client_context()
        self.browser = Browser(HOST, self.stage.a.port("web"), self.context)


def _demand(condition: object, detail: str) -> None:
    if not condition:
        raise Unavailable("demo-step", detail)


def build_letter(sender: str, recipients: list[str]) -> bytes:
    """A mail with an IHE_XDM archive, of invented people."""
    raw = files("mailserver.cli").joinpath("demo_data/letter.eml").read_bytes()
    raw = raw.replace(b"RECIPIENTS.invalid", ", ".join(recipients).encode())
    return raw.replace(b"SENDER.invalid", sender.encode())


def send_letter(story: Story) -> str:
    """A professional at B writes to a professional and a patient at A."""
    stage = story.stage
    recipients = [stage.cardiologist.address, stage.patient.address]
    raw = build_letter(stage.doctor.address, recipients)
    send_mail(stage.b, stage.doctor, recipients, raw, story.context)
    return f"{stage.doctor.name} handed a letter with an IHE_XDM archive to {stage.b.domain} (SMTP, app password)"


def read_letter(story: Story) -> str:
    """It crosses over mutual TLS; an IMAP client at A reads it. TLS is in its trace; that the certificate was asked
    for shows when the same hand-over is tried without one.
    """
    stage = story.stage
    octets = read_newest(stage.a, stage.cardiologist, "adressage", story.context)
    _demand(b"IHE_XDM.zip" in octets, "the archive is not in the message")
    received = octets.split(b"Received:", 1)[1].split(b";", 1)[0]
    _demand(b"ESMTPS" in received, "the trace line does not say TLS")
    code, words = ask_mx(stage.a, stage.doctor.address, story.context)
    _demand(code == NO_CERTIFICATE, f"the MX port takes mail from who shows no certificate ({code})")
    return (
        f"{stage.cardiologist.name} read {len(octets)} octets by IMAP; trace: {_one_line(received)}; "
        f"without a certificate: {code} {_one_line(words)}"
    )


def notice_arrives(story: Story) -> str:
    """The patient's ordinary mailbox gets a word that something waits, never what."""
    text = story.relay.wait_for("message vous attend")
    _demand(text, "no notice reached the relay")
    lowered = (text or "").lower()
    _demand(not any(word.lower() in lowered for word in SECRET_WORDS), "the notice tells too much")
    return "the ordinary e-mail says that a message waits, and nothing more"


def log_in(story: Story) -> str:
    """Password, then a one-time code that came through the relay."""
    browser = story.browser
    page = browser.get("/login")
    action, fields = page.form_like("login")
    page = browser.post(action, fields | {"login": story.stage.patient.address, "password": PASSWORD})
    action, fields = page.form_like("code")
    text = story.relay.wait_for("code de connexion")
    _demand(text, "no code reached the relay")
    code = next(word for word in (text or "").replace(".", " ").split() if len(word) == 6 and word.isdigit())
    story.page = browser.post(action, fields | {"code": code})
    _demand(story.page.status == 200, f"the code was not accepted ({story.page.status})")
    _demand("adressage" in story.page.words, "the inbox does not show the letter")
    return "the patient logged in with password and code; the inbox shows « Lettre d'adressage … »"


def open_document(story: Story) -> str:
    """The document is in the patient's space, and opens."""
    listing = story.browser.get("/documents")
    _demand(
        "Lettre d'adressage" in listing.words or "Lettre d’adressage" in listing.words,
        "no document is listed",
    )
    page = story.browser.get(listing.link_like(r"/documents/[^/\"]+$"))
    download = story.browser.get(page.link_like(r"download|telecharger|télécharger"))
    _demand(download.status == 200 and download.body, "the document does not download")
    return f"the letter is a document of its own: {len(download.body)} octets, {download.headers.get('content-type')}"


def answer_letter(story: Story) -> str:
    """The patient reads and answers, with an attachment."""
    inbox = story.browser.get("/")
    message = story.browser.get(inbox.link_like(r"/messages/"))
    _demand("confr" in message.words, "the text of the letter is not shown")
    action, fields = message.form_like("answer|reply|repondre")
    sent = story.browser.post_file(action, fields | {"text": ANSWER}, ("file", *ATTACHMENT))
    _demand(sent.status == 200, f"the answer was refused ({sent.status}): {sent.words[:200]}")
    return f"« {ANSWER} » left with {ATTACHMENT[0]}"


def read_answer(story: Story) -> str:
    """The answer comes back to B and is read there by IMAP."""
    stage = story.stage
    octets = read_newest(stage.b, stage.doctor, "Re:", story.context)
    _demand(b"mesures.txt" in octets, "the attachment did not come along")
    return (
        f"{stage.doctor.name} read the answer at {stage.b.domain}: {len(octets)} octets, attachment included"
    )


def refuse_unlisted(story: Story) -> str:
    """A domain that is not on the trust list is refused, in words."""
    stage = story.stage
    folder = stage.folder / "unlisted"
    folder.mkdir(exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DemoAuthorityWarning)
        authority = DemoAuthority.open(stage.authority)
    issued = authority.issue_operator(
        "c.localhost", ["c.localhost"], "Opérateur inconnu", now=datetime.now(UTC)
    )
    (folder / "c.pem").write_bytes(issued.cert_pem)
    (folder / "c.key").write_bytes(issued.key_pem)
    context = stage.client_context()
    context.load_cert_chain(folder / "c.pem", folder / "c.key")
    code, words = ask_mx(stage.a, "intrus@c.localhost", context)
    _demand(code >= 500, f"the unlisted domain was not refused ({code})")
    return f"{code} {_one_line(words)}"


def read_history(story: Story) -> str:
    """The patient's history shows each step, under the name of who did it."""
    doctor, patient = story.stage.doctor.address, story.stage.patient.name
    page = story.browser.get("/history")
    _demand(page.status == 200, f"the history does not open ({page.status})")
    sentences = (
        f"{doctor} a remis le message « Lettre d'adressage",
        f"{doctor} a classé le document « Lettre d'adressage",
        f"{patient} a ouvert une session",
        f"{patient} a consulté le document « Lettre d'adressage",
        f"{patient} a envoyé le message « Re: Lettre d'adressage",
    )
    for sentence in sentences:
        _demand(sentence in page.words, f"the history does not say: {sentence}")
    return f"{len(sentences)} acts in words and under the names of who did them, from delivery to answer"


def scan_folders(story: Story) -> str:
    """None of the messages' words lies readable in the folders; the scan first finds a word planted in every form."""
    stage, words = story.stage, list(SECRET_WORDS)
    planted = stage.folder / "planted"
    planted.mkdir()
    copies = plant_copies(planted, words[0])
    missed = copies - {trace.path for trace in find_traces(planted, words)}
    shutil.rmtree(planted)
    _demand(not missed, f"the scan does not find its own planted copies: {sorted(missed)}")
    looked = 0
    for operator in (stage.a, stage.b):
        traces = find_traces(operator.folder, words)
        _demand(not traces, f"readable in {operator.folder}: {traces[:3]}")
        looked += sum(path.is_file() for path in operator.folder.rglob("*"))
    return (
        f"{looked} files of both folders searched for {len(words)} words, as bytes, base64, quoted-printable, UTF-16 "
        f"and inside compressed streams: nothing found; {len(copies)} planted copies, each found"
    )


def verify_log(story: Story) -> str:
    """The patient's copy of the log verifies offline, and none of the acts so far is missing from it."""
    stage = story.stage
    copy = stage.folder / "journal.jsonl"
    arguments = ("-c", str(stage.a.config), "--as", stage.patient.address, "--output", str(copy))
    facts = export_settled(lambda: run_pli("audit", "export", *arguments, secret=PASSWORD))
    verify(copy.read_bytes(), None, allow_erased=False)
    return f"{facts['entries']} entries verified against the signed tree (Ed25519 and ML-DSA-44), offline"


def check_stores(story: Story) -> str:
    """Both stores are whole and consistent."""
    operators = (story.stage.a, story.stage.b)
    with ThreadPoolExecutor(2) as pool:
        reports = pool.map(lambda operator: run_pli("check", "-c", str(operator.config)), operators)
    for operator, facts in zip(operators, reports, strict=True):
        _demand(not facts["problems"], f"{operator.domain}: {facts['problems']}")
    return "row MACs, digests, names both ways, counters and log chains hold at both operators"


def _one_line(octets: bytes) -> str:
    return " ".join(octets.decode("utf-8", "replace").split())


STEPS: tuple[tuple[str, Callable[[Story], str]], ...] = (
    ("a letter leaves operator b", send_letter),
    ("it arrives over mutual TLS and is read by IMAP", read_letter),
    ("the patient is told that something waits", notice_arrives),
    ("the patient logs in on the web", log_in),
    ("the document is in the patient's space", open_document),
    ("the patient reads and answers", answer_letter),
    ("the answer is read at operator b", read_answer),
    ("an unlisted domain is refused", refuse_unlisted),
    ("the history shows each step", read_history),
    ("a scan of the folders finds none of the words", scan_folders),
    ("the log verifies", verify_log),
    ("the stores are whole", check_stores),
)
