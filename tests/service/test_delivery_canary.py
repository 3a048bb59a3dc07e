"""Canary at store level: words that went in by every field lie readable in no byte under the operator's folder."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from email.header import Header
from pathlib import Path

import pytest
from harness.canary import find_traces, plant_copies
from harness.imap_session import open_session, search
from service.delivery_peers import Bench, make_bench, message, open_with_password, with_archive
from sqlalchemy import func, select
from unit.documents.xdm_archives import sample

from mailserver.imap.search import fold
from mailserver.imap.search_keys import TextKey
from mailserver.model.account import Role
from mailserver.service.keys import OpenAccount
from mailserver.service.mailboxes import MailboxInfo
from mailserver.store import schema

WORDS = {
    "subject": "zobéline-quartz",
    "sender": "emetteur.vulpin",
    "author": "Hégésippe Baliverne",
    "recipient": "doc.ornithorynque",
    "holder": "Capucine Rhinanthe",
    "contact": "proche.campanule",
    "body": "carabistouille-phlogistique",
    "large": "hippocampe-majuscule",
    "file": "bulletin-rhododendron",
    "mailbox": "Dossier-xylophone",
    "keyword": "etiquette-sycomore",
    "lost mailbox": "Dossier-argousier",
    "note": "remarque-liseron",
    "note's name": "/private/vendor/aubepine",
    "note on the account": "remarque-myosotis",
    "message id": "identifiant-belladone",
}
# What the sample archive says: its patient's number and name, its documents' titles
SAMPLE_WORDS = ["279035121518989", "PAT-TROIS", "adressage vers la cardiologie", "ClinicalDocument"]


def test_the_scanner_finds_every_planted_copy(tmp_path: Path) -> None:
    for word in (WORDS["body"], WORDS["subject"]):
        folder = tmp_path / word[:3]
        folder.mkdir()
        plant_copies(folder, word)
        traces = find_traces(folder, [word])
        assert {trace.path for trace in traces} == {path.name for path in folder.iterdir()}, (
            "each planted file"
        )
        assert len({trace.form for trace in traces}) >= 8
        assert {"bytes", "without line ends", "inflated", "file name"} <= {trace.view for trace in traces}
        assert find_traces(folder, ["un-autre-mot"]) == []


def test_a_word_cut_by_a_page_is_found_in_its_row(tmp_path: Path) -> None:
    word, path = WORDS["body"], tmp_path / "cut.sqlite"
    for filling in range(0, 512, len(word) // 2):
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA page_size = 512")
            database.execute("CREATE TABLE t (c TEXT)")
            database.execute(
                "INSERT INTO t VALUES (?)", ["." * (2000 - filling) + word + "." * (900 + filling)]
            )
            database.commit()
        if word.encode() not in path.read_bytes():
            break
    assert word.encode() not in path.read_bytes()
    assert [(trace.form, trace.view) for trace in find_traces(tmp_path, [word])] == [("raw", "rows")]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = make_bench(tmp_path_factory.mktemp("canary"))
    yield bench
    bench.node.close()


def _letter(number: str, body: bytes) -> bytes:
    return message(
        f"{WORDS['message id']}-{number}",
        sender=f"{WORDS['sender']}@b.localhost",
        Subject=Header(WORDS["subject"], "utf-8").encode(),
        From=f"{Header(WORDS['author'], 'utf-8').encode()} <{WORDS['sender']}@b.localhost>",
        Content_Type=f'text/plain; name="{WORDS["file"]}.txt"',
        Content_Disposition=f'attachment; filename="{WORDS["file"]}.txt"',
        body=body,
    )


def _write_notes(bench: Bench, account: OpenAccount, mailbox: MailboxInfo) -> None:
    """Annotations, and a subscription that outlives its mailbox."""
    mailboxes = bench.services.mailboxes
    entries = ((WORDS["note's name"], WORDS["note"].encode()),)
    mailboxes.change(account, mailbox.mailbox_id, lambda now: replace(now, entries=entries))
    inbox = mailboxes.load_by_role(account, Role.INBOX)
    server = (("/private/comment", WORDS["note on the account"].encode()),)
    mailboxes.change(account, inbox.mailbox_id, lambda now: replace(now, server_entries=server))
    mailboxes.add_mailbox(account, WORDS["lost mailbox"], 1)
    mailboxes.delete_mailbox(account, WORDS["lost mailbox"])
    told = mailboxes.list_mailboxes(account)
    assert told[0].lost_names == (WORDS["lost mailbox"],)
    assert told[0].server_entries == server
    assert next(info.entries for info in told if info.mailbox_id == mailbox.mailbox_id) == entries


def test_nothing_lies_readable_under_the_operators_folder(bench: Bench) -> None:
    sender, doctor = f"{WORDS['sender']}@b.localhost", f"{WORDS['recipient']}@a.localhost"
    patient_address = "279035121518989@a.localhost"
    made = bench.node.add(doctor, name=WORDS["holder"])
    bench.node.add_patient(patient_address, contact=f"{WORDS['contact']}@example.org")
    recipients = [doctor, patient_address]
    small = _letter("1", WORDS["body"].encode() + b"\r\n")
    large = _letter("2", (WORDS["large"].encode() + b"\r\n") * 6000)
    for letter in (small, large, with_archive("xdm", sample("ok-two-documents"))):
        bench.deliver(
            recipients, letter, sender=sender if letter in (small, large) else "camille@b.localhost"
        )
    account = bench.node.open(doctor, made.app_password)
    mailbox = bench.services.mailboxes.add_mailbox(account, WORDS["mailbox"], 1)
    mailbox = bench.services.mailboxes.add_keywords(account, mailbox, [WORDS["keyword"]])
    _write_notes(bench, account, mailbox)
    for item in bench.page(account):
        assert bench.read(account, item)
    session = open_session(bench.node, account)
    for _time in range(2):  # by opening, then from the index
        assert search(session, TextKey(WORDS["large"], with_header=False))
    assert count_segments(bench) > 0
    patient = open_with_password(bench, patient_address)
    assert [bench.open_document(patient, row) for row in bench.documents(patient)]
    assert bench.services.administration.list_accounts()
    bench.settle(account)
    folder, words = bench.node.folder, [*WORDS.values(), *SAMPLE_WORDS]
    words += {fold(word) for word in words} - {*words}  # as the index of texts has them
    assert find_traces(folder, words) == []
    # and once more after deletion and a checkpoint, on what SQLite leaves behind
    bench.services.messages.expunge(account, bench.box(account, Role.INBOX).mailbox_id, [(1, 9)])
    assert count_segments(bench) == 0
    bench.services.administration.disable_account(account.addresses[0], datetime.now(UTC))
    with bench.store.database.reader.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert find_traces(folder, words) == []


def count_segments(bench: Bench) -> int:
    with bench.store.database.read() as connection:
        return connection.execute(select(func.count()).select_from(schema.text_segment)).scalar_one()


def test_the_words_were_really_there(bench: Bench) -> None:
    """The same scan over what was sent finds every word: the silence above is the seals', not the scanner's."""
    folder = bench.node.folder.parent / "sent"
    folder.mkdir()
    for number, body in (("1", WORDS["body"].encode()), ("2", WORDS["large"].encode())):
        (folder / number).write_bytes(_letter(number, body))
    (folder / "xdm").write_bytes(with_archive("xdm", sample("ok-two-documents")))
    sent = {"subject", "sender", "author", "body", "large", "file", "message id"}
    found = {trace.word for trace in find_traces(folder, list(WORDS.values()))}
    assert found == {WORDS[name] for name in sent}
