"""Large mail at submission: files stay here under a key that nothing here holds, the rest travels as it was."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from harness.canary import find_traces
from harness.large_mail import ORIGIN, SECRET, blob_files, find_note, large_message, read_box, submit
from harness.log_reading import read_log
from harness.node import Node
from service.delivery_peers import make_bench
from sqlalchemy import select, update
from unit.documents.xdm_archives import sample

from mailserver.app.housekeeping import Housekeeping
from mailserver.audit.events import Actor, ActorKind, EventKind, Origin
from mailserver.audit.wording import Language, describe
from mailserver.mime.kept_files import KeptNote
from mailserver.model.account import AccountKind
from mailserver.model.errors import Corrupt, Denied, NotFound, Unavailable
from mailserver.policy.decision import Decision, Reason, refuse
from mailserver.service import kept_files
from mailserver.service import submit as submit_module
from mailserver.service.delivery import Outcome
from mailserver.service.entrance import Entrance
from mailserver.service.intake import Intake
from mailserver.service.kept_fetching import SOMEBODY, KeptFetching, OpenedKept
from mailserver.service.keys import OpenAccount
from mailserver.store import inspection, schema
from mailserver.store.blob_folder import Spool
from mailserver.store.writer import Writer

SENDER, COLLEAGUE, AWAY = "doc@a.localhost", "noa@a.localhost", "milan@b.localhost"
PASSWORD = "un mot de passe long"
DATA = os.urandom(150_000)
THRESHOLD = 70_000


@dataclass
class Stage:
    node: Node
    account: OpenAccount
    colleague: OpenAccount

    @property
    def store(self):
        return self.node.services.store

    @property
    def fetching(self) -> KeptFetching:
        return KeptFetching(self.store, self.node.services.config.web_url)

    def send(self, number: object, files, recipients=(COLLEAGUE, AWAY), now: datetime | None = None):
        return submit(self.node, self.account, recipients, large_message(number, SENDER, files), now)

    def note(self) -> KeptNote:
        return find_note(read_box(self.node, self.colleague)[-1])

    def open(self, note: KeptNote, now: datetime | None = None) -> OpenedKept:
        kept_id = self.fetching.find_kept_id(note)
        assert kept_id is not None
        return self.fetching.open_kept(kept_id, note.code, now or datetime.now(UTC))

    def fetch(
        self, note: KeptNote, rank: int = 0, who: Actor = SOMEBODY, now: datetime | None = None
    ) -> bytes:
        now = now or datetime.now(UTC)
        opened = self.open(note, now)
        return b"".join(self.fetching.fetch(opened, rank, who, ORIGIN, now)(0, 1 << 40))

    def log(self) -> list[str]:
        entries = read_log(self.store, self.account.account, self.account.space_root())
        return [describe(each.event, Language.FRENCH) for each in entries]

    def rows(self, table):
        with self.store.database.read() as connection:
            return connection.execute(select(table)).all()


@contextmanager
def make_stage(folder, monkeypatch: pytest.MonkeyPatch, **large: int) -> Iterator[Stage]:
    for key, value in ({"threshold_bytes": THRESHOLD} | large).items():
        monkeypatch.setenv(f"PLI_LARGE_{key}".upper(), str(value))
    monkeypatch.setenv("PLI_LIMITS_MESSAGE_BYTES", "100000")
    bench = make_bench(folder)
    node = bench.node
    for address in (SENDER, COLLEAGUE):
        node.add(address, password=PASSWORD)
    opened = [node.services.keys.open_with_password(each, PASSWORD)[0] for each in (SENDER, COLLEAGUE)]
    try:
        yield Stage(node, *opened)
    finally:
        node.close()


@pytest.fixture
def stage(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with make_stage(tmp_path, monkeypatch) as made:
        yield made


def test_the_message_travels_without_its_large_file(stage: Stage) -> None:
    sent = large_message(1, SENDER, [("petit.zip", b"petit"), ("Images d'Élise.zip", DATA)])
    verdict = submit(stage.node, stage.account, [COLLEAGUE, AWAY], sent)
    assert verdict.decision.reason is Reason.ACCEPTED
    (got,) = read_box(stage.node, stage.colleague)
    assert len(got) < THRESHOLD
    before, after = sent.split(b"--front"), got.split(b"--front")
    assert [len(before)] == [len(after)]
    assert got.endswith(b"--front".join([b"", *before[4:]]))
    assert b"--front".join(before[:3]) in got
    note = stage.note()
    (file,) = note.files
    assert (file.filename, file.size_bytes, file.digest) == (
        "Images d'Élise.zip",
        len(DATA),
        sha256(DATA).digest(),
    )
    assert note.url.startswith("https://")
    assert note.code not in note.url
    assert stage.fetch(note) == DATA


def test_what_the_gateway_hands_on_is_the_same_message(stage: Stage) -> None:
    stage.send(1, [("a.zip", DATA)])
    (job,) = stage.rows(schema.job)
    with stage.store.database.read() as connection:
        order = stage.node.services.outbound.open_relay(stage.store.jobs.list_jobs(connection)[0])
    assert order.size_bytes < THRESHOLD
    assert job.next_hop == "b.localhost"


def test_what_fits_travels_whole(stage: Stage) -> None:
    stage.send("small", [("a.zip", DATA[:40_000])])
    assert stage.rows(schema.kept) == []
    assert b"a.zip" in read_box(stage.node, stage.colleague)[0]


def test_only_the_files_that_are_too_many_stay(stage: Stage) -> None:
    stage.send("some", [("un.zip", DATA[:25_000]), ("deux.zip", DATA[:50_000]), ("trois.zip", DATA[:15_000])])
    assert [each.filename for each in stage.note().files] == ["deux.zip"]
    stage.send("two", [("un.zip", DATA[:90_000]), ("deux.zip", DATA[:5_000]), ("trois.zip", DATA[:80_000])])
    note = stage.note()
    assert [each.filename for each in note.files] == ["un.zip", "trois.zip"]
    assert [stage.fetch(note, rank) for rank in (0, 1)] == [DATA[:90_000], DATA[:80_000]]
    with pytest.raises(NotFound):
        stage.fetch(note, 2)


def test_nothing_is_plain_on_disk_nor_its_key(stage: Stage) -> None:
    body = f"le dossier de {SECRET} ".encode() * 6000
    stage.send("canary", [(f"{SECRET}.zip", body)])
    note = stage.note()
    stage.fetch(note)
    stage.node.services.store.writer.close()
    assert find_traces(stage.node.folder / "data", [SECRET, note.code, note.code.replace("-", "")]) == []


@pytest.mark.parametrize("is_text", [True, False])
def test_what_cannot_be_taken_apart_is_refused_in_words(stage: Stage, is_text: bool) -> None:
    message = large_message("signed", SENDER, [] if is_text else [("a.zip", DATA)])
    if is_text:
        message = message.replace(b"Voici", b"Voici tout " * 20_000)
    else:
        message = message.replace(b"multipart/mixed", b"multipart/signed")
    verdict = submit(stage.node, stage.account, [COLLEAGUE], message)
    assert verdict.decision.reason is Reason.MESSAGE_NOT_SEPARABLE
    assert stage.rows(schema.kept) == []
    assert blob_files(stage.node) == 0


def test_between_the_two_limits_what_cannot_be_taken_apart_travels(stage: Stage) -> None:
    message = large_message("long", SENDER, []).replace(b"Voici", b"Voici tout " * 7_500)
    assert THRESHOLD < len(message) < 100_000
    assert submit(stage.node, stage.account, [COLLEAGUE], message).decision.accepted


def test_what_the_antivirus_refuses_leaves_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole message is scanned, before any file of it is taken out."""
    seen: list[int] = []

    def scan(_entrance: Entrance, intake: Intake) -> Decision:
        seen.append(intake.size_bytes)
        return refuse(Reason.INFECTED)

    monkeypatch.setattr(Entrance, "scan", scan)
    assert stage.send("infected", [("a.zip", DATA)]).decision.reason is Reason.INFECTED
    assert seen[0] > len(DATA)
    assert (stage.rows(schema.kept), blob_files(stage.node)) == ([], 0)


def test_what_is_refused_at_last_leaves_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files were sealed and durable before its archive was compared: they go at once, and no sweep is needed."""
    submission = stage.node.services.submission
    monkeypatch.setattr(submission, "_limits", replace(submission._limits, refuses_mss_mismatch=True))
    files = [("IHE_XDM.ZIP", sample("ok-lettre-adressage")), ("a.zip", DATA)]
    message = large_message("lying", SENDER, files)
    lying = message.replace(b"MIME-Version", b"X-MSS-CODECDA: 34112-3\r\nMIME-Version", 1)
    for _again in range(2):
        assert submit(stage.node, stage.account, [AWAY], lying).decision.reason is Reason.MSS_MISMATCH
        assert (stage.rows(schema.kept), blob_files(stage.node)) == ([], 0)
    assert submit(stage.node, stage.account, [AWAY], message).decision.accepted
    assert len(stage.rows(schema.kept)) == 1


def test_files_whose_message_cannot_be_written_leave_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        assert blob_files(stage.node) == 1
        raise Unavailable("disk-full")

    with monkeypatch.context() as patch:
        patch.setattr(kept_files, "_write_reduced", fail)
        with pytest.raises(Unavailable):
            stage.send("no room", [("a.zip", DATA)])
    assert blob_files(stage.node) == 0
    stage.send("no room", [("a.zip", DATA)])
    assert stage.fetch(stage.note()) == DATA


def test_a_patient_gets_no_more_than_the_rules_allow(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be too large for a patient alone is taken apart for them, and travels whole to others."""
    monkeypatch.setattr(submit_module, "PATIENT_MESSAGE_BYTES", 50_000)
    patient = "279035121518989@a.localhost"
    stage.node.add_patient(patient)
    stage.send("to a colleague", [("a.zip", DATA[:40_000])], [COLLEAGUE])
    assert stage.rows(schema.kept) == []
    stage.send("to a patient", [("a.zip", DATA[:40_000])], [COLLEAGUE, patient])
    assert len(read_box(stage.node, stage.colleague)[-1]) < 50_000
    assert stage.fetch(stage.note()) == DATA[:40_000]


def test_switched_off(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    with make_stage(tmp_path, monkeypatch, limit_bytes=0) as stage:
        assert stage.node.services.submission.limit_bytes == 100_000


def test_a_retry_gives_the_same_files_and_no_second_message(stage: Stage) -> None:
    first = stage.send("twice", [("a.zip", DATA)])
    later = datetime.now(UTC) + timedelta(hours=30)
    second = stage.send("twice", [("a.zip", DATA)], now=later)
    assert [each.result() for each in first.commits] == [Outcome.PLACED] * 2
    assert [each.result() for each in second.commits] == [Outcome.FOLDED] * 2
    assert len(stage.rows(schema.kept)) == 1
    assert len(read_box(stage.node, stage.colleague)) == 1
    assert stage.fetch(stage.note()) == DATA


def test_a_crash_before_the_senders_commit_leaves_what_a_retry_completes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The colleague has the message, the sender no 250: the retry gives the files to the message that is there."""
    real = Writer.submit

    def crash(writer: Writer, unit):
        if unit.account_id == stage.account.account_id:
            raise Unavailable("stopping")
        return real(writer, unit)

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "submit", crash)
        with pytest.raises(Unavailable):
            stage.send("crash", [("a.zip", DATA)], [COLLEAGUE])
    note = stage.note()
    with pytest.raises(Denied):
        stage.fetch(note)
    assert blob_files(stage.node) == 1
    stage.send("crash", [("a.zip", DATA)], [COLLEAGUE])
    assert len(read_box(stage.node, stage.colleague)) == 1
    assert stage.fetch(note) == DATA
    assert sweep(stage, datetime.now(UTC)) == 1, "the first object, which nobody names"
    assert stage.fetch(note) == DATA


def sweep(stage: Stage, now: datetime) -> int:
    """As the daily round does, when every file is older than an hour."""
    for path in (stage.node.folder / "data" / "blobs").glob("??/*"):
        os.utime(path, (time.time() - 7200,) * 2)
    return Housekeeping(stage.node.services).sweep_once(now)


def test_they_end_on_their_day(stage: Stage) -> None:
    now = datetime(2026, 7, 6, 9, tzinfo=UTC)
    stage.send("month", [("a.zip", DATA)], now=now)
    note = stage.note()
    assert note.until == datetime(2026, 8, 5, tzinfo=UTC).date()
    last, over = datetime(2026, 8, 5, 23, 59, tzinfo=UTC), datetime(2026, 8, 6, tzinfo=UTC)
    assert stage.fetch(note, now=last) == DATA
    with pytest.raises(Denied):
        stage.fetch(note, now=over)
    sweep(stage, last)
    assert len(stage.rows(schema.kept)) == 1
    files = blob_files(stage.node)
    sweep(stage, over)
    assert stage.rows(schema.kept) == []
    assert blob_files(stage.node) == files - 1


def test_the_sender_ends_them(stage: Stage) -> None:
    stage.send("back", [("a.zip", DATA), ("b.zip", DATA)])
    note = stage.note()
    (sent,) = stage.fetching.list_sent(stage.account)
    assert (sent.subject, [name for name, _size in sent.files]) == ("Images back", ["a.zip", "b.zip"])
    with pytest.raises(NotFound):
        stage.fetching.withdraw(stage.colleague, sent.kept_id, ORIGIN, datetime.now(UTC))
    stage.fetching.withdraw(stage.account, sent.kept_id, ORIGIN, datetime.now(UTC))
    with pytest.raises(Denied):
        stage.open(note)
    assert stage.fetching.list_sent(stage.account) == []
    assert sum("a supprimé le fichier envoyé" in line for line in stage.log()) == 2


def test_a_download_is_logged_before_it_begins_once_a_day_and_reader(stage: Stage) -> None:
    stage.send("logged", [("a.zip", DATA)])
    note, now = stage.note(), datetime.now(UTC)
    before = stage.log()
    opened = stage.open(note)
    assert stage.log() == before, "looking at the list downloads nothing"
    stage.fetching.fetch(opened, 0, SOMEBODY, ORIGIN, now)
    assert stage.log()[len(before) :] == [
        "Une personne non identifiée a téléchargé le fichier envoyé « a.zip »."
    ]
    stage.fetch(note, now=now)
    assert len(stage.log()) == len(before) + 1
    stage.fetch(note, who=Actor(ActorKind.PROFESSIONAL, "Noa FICTIF", COLLEAGUE), now=now)
    assert "Noa FICTIF a téléchargé" in stage.log()[-1]
    elsewhere = Origin("192.0.2.0/24", "Firefox")
    stage.fetching.fetch(opened, 0, SOMEBODY, elsewhere, now)
    stage.fetching.fetch(opened, 0, SOMEBODY, ORIGIN, now + timedelta(days=1))
    assert len(stage.log()) == len(before) + 4
    entries = read_log(stage.store, stage.account.account, stage.account.space_root())
    assert entries[-2].event.kind is EventKind.FETCHED
    assert entries[-2].event.origin == elsewhere


def test_no_entry_no_byte(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.send("no log", [("a.zip", DATA)])
    opened = stage.open(stage.note())

    def fail(_writer: Writer, _unit) -> None:
        raise Unavailable("database")

    monkeypatch.setattr(Writer, "commit", fail)
    with pytest.raises(Unavailable):
        stage.fetching.fetch(opened, 0, SOMEBODY, ORIGIN, datetime.now(UTC))


@pytest.mark.parametrize("code", ["", "a", "abcd-efgh-ijkl-mnop-qrst-uvwx-yz23-4567", "é" * 32, "a" * 5000])
def test_a_wrong_code_opens_nothing(stage: Stage, code: str) -> None:
    stage.send("wrong", [("a.zip", DATA)])
    kept_id = stage.fetching.find_kept_id(stage.note())
    assert kept_id is not None
    with pytest.raises(Denied, match="kept-code"):
        stage.fetching.open_kept(kept_id, code, datetime.now(UTC))


def test_a_code_may_be_typed_as_people_type(stage: Stage) -> None:
    stage.send("typed", [("a.zip", DATA)])
    note = stage.note()
    kept_id = stage.fetching.find_kept_id(note)
    for code in (
        note.code.upper(),
        note.code.replace("-", ""),
        note.code.replace("-", " \u2013 "),
        f" {note.code}\n",
    ):
        assert stage.fetching.open_kept(kept_id, code, datetime.now(UTC)).files == note.files
    misread = note.code.replace("o", "0").replace("l", "1").replace("b", "8")
    assert stage.fetching.open_kept(kept_id, misread, datetime.now(UTC)).files == note.files


@pytest.mark.parametrize("column", ["expires_at", "contents", "blob_id", "padded_bytes", "record"])
def test_a_row_that_was_altered_opens_nothing(stage: Stage, column: str) -> None:
    stage.send("planted", [("a.zip", DATA)])
    note = stage.note()
    (row,) = stage.rows(schema.kept)
    value = getattr(row, column)
    changed = value + 86400 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]
    with stage.store.database.write() as connection:
        connection.execute(update(schema.kept).values({column: changed}))
    with pytest.raises(Corrupt):
        stage.open(note)


def test_the_files_of_another_message_open_for_nobody_else(stage: Stage) -> None:
    stage.send("one", [("a.zip", DATA)])
    first = stage.note()
    stage.send("other", [("a.zip", DATA)])
    second = stage.note()
    assert (first.url != second.url, first.code != second.code) == (True, True)
    with pytest.raises(Denied):
        stage.fetching.open_kept(stage.fetching.find_kept_id(first), second.code, datetime.now(UTC))


def test_the_senders_room_counts(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLI_LIMITS_STORAGE_BYTES", "500000")
    with make_stage(tmp_path, monkeypatch) as stage:
        assert stage.send("one", [("a.zip", DATA)]).decision.accepted
        held = stage.node.services.messages.quotas.load_usage(stage.account.account_id)
        assert held.storage_bytes >= len(DATA)
        again = stage.send("two", [("a.zip", DATA), ("b.zip", DATA)])
        assert again.decision.reason is Reason.KEPT_WITHOUT_ROOM
        assert stage.send("one", [("a.zip", DATA)]).decision.accepted, "what is kept already needs no room"


def test_a_full_disk_leaves_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    real, room = Spool.write, [400_000]

    def full(spool: Spool, data: bytes) -> None:
        room[0] -= len(data)
        if room[0] < 0:
            raise Unavailable("disk-full")
        real(spool, data)

    with monkeypatch.context() as patch:
        patch.setattr(Spool, "write", full)
        with pytest.raises(Unavailable):
            stage.send("full", [("a.zip", DATA), ("b.zip", DATA)])
    assert (stage.rows(schema.kept), stage.rows(schema.job), stage.rows(schema.item)) == ([], [], [])
    assert blob_files(stage.node) == 0
    assert stage.send("full", [("a.zip", DATA)]).decision.accepted


def test_a_patients_archive_is_filed_though_it_stays(stage: Stage) -> None:
    """The documents of a large message to a patient of ours are in their space as of any other."""
    patient = "279035121518989@a.localhost"
    stage.node.add_patient(patient)
    archive = sample("ok-lettre-adressage")
    assert stage.send("xdm", [("IHE_XDM.ZIP", archive), ("a.zip", DATA)], [patient]).decision.accepted
    account = stage.node.services.keys.open_with_password(patient, PASSWORD)[0]
    with stage.store.database.read() as connection:
        assert len(stage.store.space.list_documents(connection, account.account_id)) >= 1
    assert [each.filename for each in find_note(read_box(stage.node, account)[0]).files] == ["a.zip"]


def test_the_store_is_found_in_order(stage: Stage) -> None:
    stage.send("check", [("a.zip", DATA)])
    with stage.store.database.read() as connection:
        assert list(inspection.find_blob_problems(connection, stage.store.blobs)) == []
        assert list(inspection.find_mac_problems(connection, stage.store.macs)) == []
        assert inspection.count_rows(connection)["kept"] == 1
    with stage.store.database.write() as connection:
        connection.execute(update(schema.kept).values(expires_at=1))
    with stage.store.database.read() as connection:
        (problem,) = inspection.find_mac_problems(connection, stage.store.macs)
    assert problem[0] == "row MAC does not fit (kept)"


def test_a_box_of_software_sends_large_mail_too(stage: Stage) -> None:
    stage.node.add("pacs@a.localhost", AccountKind.APP, password=PASSWORD)
    account = stage.node.services.keys.open_with_password("pacs@a.localhost", PASSWORD)[0]
    message = large_message("app", "pacs@a.localhost", [("a.dcm", DATA)])
    assert submit(stage.node, account, [COLLEAGUE], message).decision.accepted
    assert stage.fetch(stage.note()) == DATA
