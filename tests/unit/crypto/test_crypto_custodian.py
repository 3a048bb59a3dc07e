"""The custodian: its folder, its verbs, its journal."""

import fcntl
import os
from datetime import UTC, datetime, timedelta

import pytest

from mailserver.crypto.ctx import ctx
from mailserver.crypto.custodian import JOURNAL_NAME, KEYS_NAME, Custodian, ReleaseLimit, utc_now
from mailserver.crypto.custodian_files import KeyFolder
from mailserver.crypto.custodian_journal import verify_journal
from mailserver.crypto.custodian_rates import COUNT_SECONDS
from mailserver.crypto.log_keys import verify_log_signatures
from mailserver.crypto.roots import FIRST_EPOCH, AccountKeys
from mailserver.crypto.seal import KeyPair
from mailserver.crypto.secret import Secret, random_secret
from mailserver.crypto.slots import SlotHeader, SlotKind, SlotScope, format_slot_header
from mailserver.model.errors import Conflict, Corrupt, Denied, Malformed, NotFound, OverLimit, Unavailable

ACCOUNT = b"\x11" * 16
OTHER = b"\x22" * 16
START = datetime(2030, 1, 1, 12, 30, tzinfo=UTC)
HOUR = int(START.timestamp()) // 3600
SESSION = KeyPair.from_seed(Secret(bytes(32)))


class Clock:
    def __init__(self):
        self.time = START

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "keys"


@pytest.fixture
def custodian(folder, clock):
    made = Custodian.create(folder, clock, ReleaseLimit(2, timedelta(hours=1)))
    yield made
    made.close()


def refuse(*_arguments, **_options):
    raise OSError(28, "ENOSPC")


def release(custodian, made, account=ACCOUNT, basis="enrolment"):
    return custodian.release(account, made.custody_header, made.custody_body, SESSION.public, basis)


def test_clock():
    assert utc_now().tzinfo is UTC


class TestFolder:
    def test_modes(self, folder, custodian):
        custodian.hourly_key(HOUR)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}

    def test_one_custodian_at_a_time(self, folder, custodian):
        with pytest.raises(Conflict) as caught:
            Custodian.open(folder)
        assert caught.value.code == "custodian-busy"

    def test_reopened_keys_are_the_same(self, folder, clock):
        made = Custodian.create(folder, clock)
        row, publics, custody = made.row_key(), made.log_keys().publics, made.custody_public
        made.close()
        again = Custodian.open(folder, clock)
        assert (again.row_key(), again.log_keys().publics, again.custody_public) == (row, publics, custody)
        again.close()

    def test_keys_are_never_replaced(self, folder, custodian):
        custodian.close()
        with pytest.raises(Conflict) as caught:
            Custodian.create(folder)
        assert caught.value.code == "keys-exist"
        custodian.__init__(KeyFolder(folder), utc_now, ReleaseLimit())

    @pytest.mark.parametrize("make_folder", [False, True])
    def test_no_keys(self, folder, make_folder):
        if make_folder:
            folder.mkdir(mode=0o700)
        for _again in range(2):
            with pytest.raises(NotFound) as caught:
                Custodian.open(folder)
            assert caught.value.code == "keys"

    @pytest.mark.parametrize("name", ["", KEYS_NAME])
    def test_others_may_enter(self, folder, name):
        Custodian.create(folder).close()
        os.chmod(folder / name, 0o750)
        with pytest.raises(Denied) as caught:
            Custodian.open(folder)
        assert caught.value.code == "keys-mode"

    @pytest.mark.parametrize(
        "change", [lambda raw: raw[:-1], lambda raw: raw[:40] + b"\0" + raw[41:], lambda raw: b"x" + raw[1:]]
    )
    def test_damaged_keys(self, folder, change):
        Custodian.create(folder).close()
        path = folder / KEYS_NAME
        path.write_bytes(change(path.read_bytes()))
        with pytest.raises(Corrupt) as caught:
            Custodian.open(folder)
        assert caught.value.code == "custodian-keys"

    def test_unfinished_files_go(self, folder):
        Custodian.create(folder).close()
        (folder / "hour-1.new").write_bytes(b"half")
        Custodian.open(folder).close()
        assert not (folder / "hour-1.new").exists()

    @pytest.mark.parametrize("failing", ["fsync", "rename"])
    def test_a_refused_key_leaves_nothing(self, folder, custodian, monkeypatch, failing):
        with monkeypatch.context() as patch:
            patch.setattr(os, failing, refuse)
            with pytest.raises(Unavailable) as caught:
                custodian.service_key("queue", 1)
        assert caught.value.code == "keys-disk"
        assert not list(folder.glob("service-*"))
        assert custodian.service_key("queue", 1) == custodian.service_key("queue", 1)

    def test_a_refused_removal_says_so(self, folder, custodian, monkeypatch):
        custodian.service_key("queue", 1)
        with monkeypatch.context() as patch:
            patch.setattr(os, "unlink", refuse)
            with pytest.raises(Unavailable) as caught:
                custodian.drop_service_key("queue", 1)
        assert caught.value.code == "keys-disk"
        assert not any((folder / "service-queue-1").read_bytes())


class TestAccounts:
    def test_provision_and_release(self, custodian):
        made = custodian.provision(ACCOUNT)
        amk = SESSION.open(release(custodian, made), ctx("release", ACCOUNT))
        keys = AccountKeys(Secret(amk))
        assert keys.mail.pair(FIRST_EPOCH).public == made.mail_public
        assert keys.space.pair(FIRST_EPOCH).public == made.space_public
        assert keys.signing.public == made.signing_public
        assert made.amk_sealed == made.custody_body
        assert amk not in repr(made).encode()

    def test_release_is_for_its_account_only(self, custodian):
        made = custodian.provision(ACCOUNT)
        with pytest.raises(Denied) as caught:
            release(custodian, made, OTHER)
        assert caught.value.code == "custody-slot"
        member = SlotHeader(ACCOUNT, OTHER, SlotKind.MEMBER, SlotScope.IMAP, OTHER)
        with pytest.raises(Denied) as caught:
            custodian.release(ACCOUNT, format_slot_header(member), made.custody_body, SESSION.public, "x")
        assert caught.value.code == "custody-slot"
        moved = made.custody_header.replace(ACCOUNT, OTHER)
        with pytest.raises(Corrupt) as refused:
            custodian.release(OTHER, moved, made.custody_body, SESSION.public, "x")
        assert refused.value.code == "unseal"

    @pytest.mark.parametrize("basis", ["", "x" * 201])
    def test_release_needs_a_basis(self, custodian, basis):
        with pytest.raises(Malformed) as caught:
            release(custodian, custodian.provision(ACCOUNT), basis=basis)
        assert caught.value.code == "release-basis"

    def test_release_rate_survives_a_restart(self, custodian, clock, folder):
        made = custodian.provision(ACCOUNT)
        release(custodian, made)
        custodian.close()
        custodian.__init__(KeyFolder(folder), clock, ReleaseLimit(2, timedelta(hours=1)))
        release(custodian, made)
        with pytest.raises(OverLimit) as caught:
            release(custodian, made)
        assert caught.value.code == "release-rate"
        other = custodian.provision(OTHER)
        release(custodian, other, OTHER)
        clock.time += timedelta(hours=1)
        release(custodian, made)

    def test_harden(self, custodian):
        value = custodian.harden(ACCOUNT, OTHER, b"v" * 32)
        assert value == custodian.harden(ACCOUNT, OTHER, b"v" * 32)
        assert (
            len(
                {
                    value,
                    custodian.harden(OTHER, OTHER, b"v" * 32),
                    custodian.harden(ACCOUNT, OTHER, b"w" * 32),
                }
            )
            == 3
        )
        assert len(value) == 32

    def test_log_keys(self, custodian):
        keys = custodian.log_keys()
        assert verify_log_signatures(keys.publics, b"m", keys.sign(b"m"))


class TestTimedKeys:
    def test_hours(self, custodian, clock, folder):
        key = custodian.hourly_key(HOUR)
        assert key == custodian.hourly_key(HOUR)
        assert key != custodian.hourly_key(HOUR + 1)
        clock.time = START + timedelta(hours=12)
        assert custodian.hourly_key(HOUR) == key
        clock.time = START + timedelta(hours=13)
        with pytest.raises(NotFound) as caught:
            custodian.hourly_key(HOUR)
        assert caught.value.code == "hourly-key"
        assert not (folder / f"hour-{HOUR}").exists()

    @pytest.mark.parametrize("distance", [-2, 2])
    def test_far_hours_are_not_made(self, custodian, distance):
        with pytest.raises(NotFound) as caught:
            custodian.hourly_key(HOUR + distance)
        assert caught.value.code == "hourly-key"

    def test_service_keys(self, custodian, folder):
        key = custodian.service_key("queue", 1)
        assert key == custodian.service_key("queue", 1)
        assert (
            len(
                {
                    each.reveal()
                    for each in (key, custodian.service_key("queue", 2), custodian.service_key("totp", 1))
                }
            )
            == 3
        )
        custodian.drop_service_key("queue", 1)
        custodian.drop_service_key("queue", 1)
        assert not (folder / "service-queue-1").exists()
        assert custodian.service_key("queue", 1) != key

    @pytest.mark.parametrize("purpose", ["", "../x", "Queue", "a_b", "x" * 33])
    def test_purpose(self, custodian, purpose):
        with pytest.raises(Malformed) as caught:
            custodian.service_key(purpose, 1)
        assert caught.value.code == "service-purpose"

    def test_a_renamed_key_is_refused(self, custodian, folder):
        custodian.service_key("queue", 1)
        (folder / "service-queue-1").rename(folder / "service-queue-2")
        with pytest.raises(Corrupt) as caught:
            custodian.service_key("queue", 2)
        assert caught.value.code == "unwrap"


class TestJournal:
    def test_acts_are_chained(self, custodian, folder, clock):
        made = custodian.provision(ACCOUNT)
        release(custodian, made, basis="enrolment by letter")
        custodian.harden(ACCOUNT, OTHER, b"")
        clock.time += timedelta(seconds=COUNT_SECONDS)
        custodian.harden(ACCOUNT, OTHER, b"")
        head = verify_journal(folder / JOURNAL_NAME)
        assert head == custodian.journal_head
        assert head.count == 3
        text = (folder / JOURNAL_NAME).read_text()
        assert [verb in text for verb in ("provision", "release", "harden", "enrolment by letter")] == [
            True
        ] * 4

    @pytest.mark.parametrize(
        "change",
        [
            lambda lines: lines[1:],
            lambda lines: [lines[0], lines[2]],
            lambda lines: [lines[1], lines[0], lines[2]],
            lambda lines: [lines[0], lines[0], *lines[1:]],
            lambda lines: [lines[0].replace(b"provision", b"harden"), *lines[1:]],
            lambda lines: [lines[0].replace(b":", b": ", 1), *lines[1:]],
            lambda lines: [b"{}\n", *lines],
            lambda lines: [b"[]\n", *lines],
            lambda lines: [b"\xff\n", *lines],
            lambda lines: [*lines, b"{"],
        ],
    )
    def test_tampering_shows(self, custodian, folder, change):
        for _again in range(3):
            custodian.provision(ACCOUNT)
        path = folder / JOURNAL_NAME
        path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
        with pytest.raises(Corrupt) as caught:
            verify_journal(path)
        assert caught.value.code == "custodian-journal"

    def test_goes_on_after_a_torn_line_and_a_long_past(self, folder, clock, monkeypatch):
        monkeypatch.setattr("mailserver.crypto.custodian_journal._TAIL_BYTES", 500)
        first = Custodian.create(folder, clock)
        for _again in range(5):
            first.provision(ACCOUNT)
        first.close()
        with (folder / JOURNAL_NAME).open("ab") as file:
            file.write(b'{"torn')
        second = Custodian.open(folder, clock)
        second.provision(ACCOUNT)
        assert verify_journal(folder / JOURNAL_NAME).count == 6
        second.close()

    def test_a_journal_that_is_none(self, folder):
        Custodian.create(folder).close()
        (folder / JOURNAL_NAME).write_bytes(b"hello\n")
        with pytest.raises(Corrupt) as caught:
            Custodian.open(folder)
        assert caught.value.code == "custodian-journal"

    @pytest.mark.parametrize("is_short", [False, True])
    def test_no_journal_no_act(self, custodian, folder, monkeypatch, is_short):
        made = custodian.provision(ACCOUNT)
        before = (folder / JOURNAL_NAME).read_bytes()
        real = os.write
        with monkeypatch.context() as patch:
            patch.setattr(
                os, "write", (lambda descriptor, raw: real(descriptor, raw[:5])) if is_short else refuse
            )
            with pytest.raises(Unavailable) as caught:
                release(custodian, made)
        assert caught.value.code == "custodian-journal"
        assert (folder / JOURNAL_NAME).read_bytes() == before
        release(custodian, made)
        assert verify_journal(folder / JOURNAL_NAME).count == 2

    def test_a_failed_sync_is_final(self, custodian, monkeypatch):
        made = custodian.provision(ACCOUNT)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", refuse)
            with pytest.raises(Unavailable) as caught:
                release(custodian, made)
            assert caught.value.code == "custodian-journal"
        with pytest.raises(Unavailable) as again:
            release(custodian, made)
        assert again.value.code == "custodian-journal"


def test_lock_ends_with_the_descriptor(folder, custodian):
    custodian.close()
    descriptor = os.open(folder / "lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)
    custodian.__init__(KeyFolder(folder), utc_now, ReleaseLimit())
    assert random_secret() != custodian.row_key()
