"""Archives attached to mail composed here: announced by their own content, or not sent; nothing private is logged."""

import contextlib
import os
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from harness.large_mail import blob_files
from harness.node import Node, make_node
from harness.smtp_harness import log_lines
from unit.documents.xdm_archives import NUMBER, cda_with, sample, with_document, with_extra

from mailserver.audit.events import Origin
from mailserver.documents.mss_headers import MssMismatch
from mailserver.documents.reasons import SetAside, SetAsideReason
from mailserver.mime.composer import FileToAttach, Person, ReplyHeaders
from mailserver.mime.headers import HeaderBlock
from mailserver.mime.summary_wire import parse_summary
from mailserver.model.account import Role
from mailserver.model.address import parse_address
from mailserver.model.errors import Malformed, OverLimit, Unavailable
from mailserver.policy.decision import ACCEPT, Decision
from mailserver.service import filing
from mailserver.service.header_facts import read_header_facts
from mailserver.service.intake import Intake
from mailserver.service.messages import OpenedItem
from mailserver.service.summaries import parse_intake
from mailserver.service.web_answers import AnswerPlan, Draft, WebAnswers
from mailserver.store.blob_folder import Spool

R = SetAsideReason
DOCTOR, COLLEAGUE, PATIENT = "doc@a.localhost", "noa@a.localhost", f"{NUMBER}@a.localhost"
PEOPLE = (DOCTOR, COLLEAGUE, PATIENT)
PASSWORD = "un mot de passe long"
ORIGIN = Origin("127.0.0.0/24", "test")
NAME = "IHE_XDM.zip"
LETTER = {"x-mss-codecda": b"96349-6", "x-mss-ins": b"O"}
NOTHING = {"x-mss-codecda": None, "x-mss-ins": None}
NUMBERS = count(10_000_000)
Files = Sequence[tuple[str, bytes]]


class Desk:
    """A doctor, a colleague and a patient who write to one another on the web."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.services = node.services
        for address in (DOCTOR, COLLEAGUE):
            node.add(address, password=PASSWORD)
        node.add_patient(PATIENT, password=PASSWORD)
        services = self.services
        operator = replace(services.config.operator, product_reference="DEV935997")
        self.answers = WebAnswers(
            services.store, services.mailboxes, services.messages, services.submission, operator
        )

        self.opened = {each: self.services.keys.open_with_password(each, PASSWORD)[0] for each in PEOPLE}
        assert self.send([], PATIENT) == ACCEPT, "whom a patient may write to"

    def send(
        self, files: Files | Iterator[FileToAttach], to: str = COLLEAGUE, sender: str = DOCTOR, **more: object
    ) -> Decision | SetAside:
        account, now = self.opened[sender], datetime.now(UTC)
        decision, destination = self.services.submission.decide_recipient(parse_address(to), 0, now)
        person = Person(parse_address(to))
        plan = AnswerPlan(decision, person, ReplyHeaders(None, (), ""), destination, may_end=to == PATIENT)
        draft = Draft("Bonjour.", f"{next(NUMBERS)}", now, "Un courrier", **more)
        if not isinstance(files, Iterator):
            files = iter([FileToAttach(name, "application/zip", [data]) for name, data in files])
        return self.answers.send(account, plan, draft, files, ORIGIN, now)

    def items(self, address: str, role: Role = Role.INBOX) -> list[OpenedItem]:
        services, account = self.services, self.opened[address]
        box = services.mailboxes.load_by_role(account, role)
        return services.messages.page(account, box.mailbox_id, [(1, 1 << 31)])

    def newest(self, address: str, role: Role = Role.INBOX) -> bytes:
        services, account = self.services, self.opened[address]
        item = self.items(address, role)[-1]
        permit = services.permits.permit(account, ORIGIN, datetime.now(UTC))
        size = parse_summary(item.summary).size_bytes
        return services.messages.reader(account, item, size, permit).read(0, size)

    def find_mismatch(self, octets: bytes) -> MssMismatch | None:
        """What a server that receives this message finds wrong with its header."""
        with contextlib.closing(Intake(self.services.store.blobs, len(octets))) as intake:
            intake.write(octets)
            intake.finish()
            parsed = parse_intake(intake)
            stated = read_header_facts(parsed.headers).mss
            archives = self.services.delivery.archives
            with archives.reading(intake, parsed.summary, stated, (), datetime.now(UTC)) as attached:
                return attached.mismatch


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    node = make_node(tmp_path_factory.mktemp("web-archives"), "a.localhost")
    node.services.trust.refresh(datetime.now(UTC))
    yield Desk(node)
    node.close()


def scratch(node: Node) -> list[str]:
    """Files of the blob folder that are open and have no name."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(descriptor)
            if target.startswith(str(node.folder)) and target.endswith("(deleted)"):
                found.append(target)
    return found


UNQUALIFIED = with_document(cda_with('<birthTime value="19790328"/>', ""))
NOTE = ("note.txt", b"rien de plus")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([(NAME, sample("ok-lettre-adressage"))], LETTER),
        ([NOTE, ("ihe_xdm.ZIP", sample("ok-lettre-adressage")), ("copie.pdf", b"%PDF-")], LETTER),
        ([("IHE_XDM (1).zip", sample("ok-lettre-adressage"))], LETTER),
        ([("IHE_XDM(12).zip", sample("ok-lettre-adressage"))], LETTER),
        ([("ihe_xdm-2.zip", sample("ok-lettre-adressage"))], LETTER),
        ([(NAME, sample("ok-two-documents"))], LETTER | {"x-mss-codecda": b"96349-6,11488-4"}),
        ([(NAME, UNQUALIFIED)], LETTER | {"x-mss-ins": b"N"}),
        ([(NAME, with_extra("README.PDF", os.urandom(400_000)))], LETTER),
        ([(NAME, sample("warn-macosx-noise"))], LETTER),
        ([("archive.zip", sample("ok-lettre-adressage"))], NOTHING),
        ([("IHE_XDM.zip.pdf", b"%PDF-")], NOTHING),
        ([NOTE], NOTHING),
        ([], NOTHING),
    ],
)
@pytest.mark.parametrize(("sender", "to"), [(DOCTOR, COLLEAGUE), (DOCTOR, PATIENT), (PATIENT, DOCTOR)])
def test_the_header_says_what_the_archive_holds(
    desk: Desk, files: Files, said: dict[str, bytes | None], sender: str, to: str
) -> None:
    assert desk.send([*files], to, sender, wants_no_answer=to == PATIENT) == ACCEPT
    octets = desk.newest(to)
    head = HeaderBlock(octets.partition(b"\r\n\r\n")[0])
    assert {name: head.find(name.encode()) for name in said} == said
    assert head.find(b"x-mss-nil") == b"DEV935997"
    assert head.find(b"x-mss-mes") == (b"FIN" if to == PATIENT else None)
    assert desk.find_mismatch(octets) is None
    assert head.count(b"message-id") == head.count(b"received") == head.count(b"return-path") == 1
    sent = desk.newest(sender, Role.SENT)
    assert octets.endswith(sent), "the copy is the mail that left"
    if said is LETTER and files[0] != NOTE:
        assert b'filename="IHE_XDM.zip"' in octets, "the one name that readers know"


def test_a_comparison_is_not_blind(desk: Desk) -> None:
    """The same octets with another code, or without their archive, are found out."""
    assert desk.send([(NAME, sample("ok-lettre-adressage"))]) == ACCEPT
    octets = desk.newest(COLLEAGUE)
    other = octets.replace(b"X-MSS-CODECDA: 96349-6", b"X-MSS-CODECDA: 34112-3")
    assert desk.find_mismatch(other) is MssMismatch.CODES_DIFFER
    named = octets.replace(b"IHE_XDM.zip", b"archive.zip")
    assert desk.find_mismatch(named) is MssMismatch.CODES_WITHOUT_CDA


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([(NAME, b"PK, or so it says")], R.NOT_AN_ARCHIVE),
        ([(NAME, b"")], R.NOT_AN_ARCHIVE),
        ([(NAME, sample("ok-lettre-adressage")[:-30])], R.MALFORMED_ARCHIVE),
        ([(NAME, sample("ko-no-metadata"))], R.NO_METADATA),
        ([(NAME, sample("ko-hash-mismatch"))], R.HASH_MISMATCH),
        ([(NAME, sample("ko-patient-differs-cda-vs-metadata"))], R.PATIENT_DIFFERS),
        ([(NAME, sample("hostile-xxe-doctype"))], R.DOCTYPE),
        ([(NAME, sample("hostile-nested-zip"))], R.NESTED_ARCHIVE),
        ([(NAME, sample("ok-two-subsets-two-patients"))], R.SEVERAL_PATIENTS),
        ([(NAME, with_document(cda_with('code="96349-6"', 'code="96,349"'), "96349-6", "96,349"))], R.MALFORMED_CDA),
        ([(NAME, with_document(cda_with('code="96349-6"', 'code="é&#10;X: y"'), "96349-6", "é&#10;X: y"))], R.MALFORMED_CDA),
        ([(NAME, with_extra("README.PDF", os.urandom(400_000)))], R.TOO_LARGE),
        ([(NAME, sample("ok-lettre-adressage")), ("IHE_XDM (1).zip", sample("ok-two-documents"))], R.SEVERAL_ARCHIVES),
    ],
    ids=lambda value: value.value if isinstance(value, R) else "",
)  # fmt: skip
def test_an_archive_that_nobody_could_file_is_not_sent(
    desk: Desk, files: Files, reason: SetAsideReason, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason is R.TOO_LARGE:
        monkeypatch.setattr(filing, "ARCHIVE_BYTES", 200_000)
    before = (len(desk.items(COLLEAGUE)), len(desk.items(DOCTOR, Role.SENT)), blob_files(desk.node))
    with log_lines() as log:
        verdict = desk.send([NOTE, *files])
    assert isinstance(verdict, SetAside)
    assert verdict.reason is reason
    after = (len(desk.items(COLLEAGUE)), len(desk.items(DOCTOR, Role.SENT)), blob_files(desk.node))
    assert (after, scratch(desk.node)) == (before, [])
    assert log.text.count('"what": "an archive was not sent"') == 1
    assert f'"code": "{reason.value}"' in log.text
    for private in (NUMBER, "PAT-TROIS", "Un courrier", "noa@", "IHE_XDM", "96349"):
        assert private not in log.text, private


@pytest.fixture
def low_threshold(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = desk.services.delivery.kept
    monkeypatch.setattr(kept, "_settings", replace(kept._settings, threshold_bytes=300_000))


@pytest.mark.usefixtures("low_threshold")
def test_an_archive_that_stays_here_is_not_announced(desk: Desk) -> None:
    """It does not travel (ADR 0016): who reads the header would look for it in vain. The patient's is filed all the same."""
    archive = with_extra("README.PDF", os.urandom(400_000))
    for to in (COLLEAGUE, PATIENT):
        assert desk.send([(NAME, archive)], to) == ACCEPT
        octets = desk.newest(to)
        head = HeaderBlock(octets.partition(b"\r\n\r\n")[0])
        assert (head.find(b"x-mss-codecda"), head.find(b"x-mss-ins")) == (None, None)
        assert len(octets) < 64 * 1024
        assert desk.find_mismatch(octets) is None


@pytest.mark.usefixtures("low_threshold")
def test_larger_files_stay_before_the_archive_does(desk: Desk) -> None:
    large = ("images.bin", os.urandom(400_000))
    assert desk.send([large, (NAME, sample("ok-lettre-adressage"))]) == ACCEPT
    octets = desk.newest(COLLEAGUE)
    assert len(octets) < 64 * 1024
    assert b"X-MSS-CODECDA: 96349-6\r\n" in octets
    assert desk.find_mismatch(octets) is None


@pytest.mark.usefixtures("low_threshold")
@pytest.mark.parametrize("reason", [R.TOO_LARGE, R.NOT_AN_ARCHIVE])
def test_what_stays_may_be_larger_than_what_is_filed(
    desk: Desk, reason: SetAsideReason, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason is R.TOO_LARGE:
        monkeypatch.setattr(filing, "ARCHIVE_BYTES", 200_000)
    verdict = desk.send([(NAME, bytes(400_000))])
    assert verdict == (ACCEPT if reason is R.TOO_LARGE else SetAside(reason))


def test_memory_does_not_grow_with_the_files(desk: Desk) -> None:
    """Beside an archive, 17 MiB of files: through two intakes and the copy, in a few pieces at a time."""
    block = os.urandom(65536)
    archive = FileToAttach(NAME, "application/zip", [sample("ok-lettre-adressage")])
    images = FileToAttach("images.bin", "application/octet-stream", (block for _each in range(272)))
    tracemalloc.start()
    try:
        assert desk.send(iter([archive, images])) == ACCEPT
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * 1024 * 1024
    octets = desk.newest(COLLEAGUE)
    assert len(octets) > 23 * 1024 * 1024
    assert b"X-MSS-CODECDA: 96349-6\r\n" in octets[:4096]


@pytest.mark.parametrize("failure", [Malformed("form"), TimeoutError()])
def test_an_upload_that_breaks_off_leaves_nothing(desk: Desk, failure: Exception) -> None:
    def broken() -> Iterator[bytes]:
        yield os.urandom(300_000)
        assert len(scratch(desk.node)) == 1, "what has come lies in a file without a name"
        raise failure

    blobs = blob_files(desk.node)
    whole = FileToAttach(NAME, "application/zip", [sample("ok-lettre-adressage")])
    with pytest.raises(type(failure)):
        desk.send(iter([whole, FileToAttach("images.bin", "image/png", broken())]))
    assert (blob_files(desk.node), scratch(desk.node)) == (blobs, [])


@pytest.mark.parametrize("written", [100_000, 500_000, 700_000])
def test_a_full_disk_leaves_nothing(desk: Desk, written: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the files come, and while the mail is assembled under its header."""
    room, write = [written], Spool.write

    def fill(spool: Spool, data: bytes) -> None:
        room[0] -= len(data)
        if room[0] < 0:
            raise Unavailable("disk-full")
        write(spool, data)

    blobs = blob_files(desk.node)
    archive = with_extra("README.PDF", os.urandom(300_000))
    with monkeypatch.context() as patch:
        patch.setattr(Spool, "write", fill)
        with pytest.raises(Unavailable):
            desk.send([(NAME, archive)])
    assert (blob_files(desk.node), scratch(desk.node)) == (blobs, [])


def test_the_header_counts_for_the_limit(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = sample("ok-lettre-adressage")
    assert desk.send([(NAME, archive)]) == ACCEPT
    octets = desk.newest(DOCTOR, Role.SENT)
    monkeypatch.setattr(desk.services.submission, "limit_bytes", len(octets) - 1)
    with pytest.raises(OverLimit):
        desk.send([(NAME, archive)])
    assert scratch(desk.node) == []
