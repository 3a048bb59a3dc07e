"""An IMAP server in this process: a store in a folder, accounts, messages delivered to them, TLS and STARTTLS ports."""

import asyncio
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from harness.log_reading import read_log
from mailserver.audit.events import AuditEvent
from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning
from mailserver.crypto.custodian import Custodian
from mailserver.crypto.secret import Secret
from mailserver.crypto.slots import ARGON2_FLOOR, SlotScope
from mailserver.crypto.tokens import TokenCheck
from mailserver.imap.server import ImapServer, ImapServices
from mailserver.mime.summary_wire import format_summary
from mailserver.model.account import AccountKind, Role
from mailserver.model.address import parse_address, parse_domain
from mailserver.model.ids import AccountId
from mailserver.policy.decision import ACCEPT
from mailserver.pool import Pool
from mailserver.service.absence_settings import AbsenceSettings
from mailserver.service.absences import Absences
from mailserver.service.administration import Administration, NewAccount
from mailserver.service.box_members import BoxMembers
from mailserver.service.box_rights import BoxRights
from mailserver.service.boxes import Boxes
from mailserver.service.correspondence import Destination
from mailserver.service.directory import Directory, Profile
from mailserver.service.intake import Intake
from mailserver.service.keys import Keys, OpenAccount
from mailserver.service.login_bindings import LoginBindingActs
from mailserver.service.mail_logins import LoginPolicy, MailLogins
from mailserver.service.mail_permit import MailPermits
from mailserver.service.mailboxes import Mailboxes
from mailserver.service.messages import Messages
from mailserver.service.sealing import PlaceStamp, seal_for_away, seal_octets, shared_octets
from mailserver.service.search_index import SearchIndex
from mailserver.service.service_seals import ServiceSeals
from mailserver.service.summaries import parse_intake
from mailserver.service.throttle import Throttle
from mailserver.service.wakeups import Wakeups
from mailserver.store import items, mailboxes
from mailserver.store.database import Database
from mailserver.store.migrations import upgrade
from mailserver.store.store import Store, open_store
from mailserver.store.writer import Unit
from mailserver.tls.contexts import client_facing_context

DOMAIN = "a.localhost"
HOST = "127.0.0.1"
PASSWORD = "un mot de passe long"
LIMIT_BYTES = 40 * 1024 * 1024


@dataclass
class Account:
    address: str
    app_password: str
    account_id: AccountId


@dataclass
class ImapNode:
    """One store with its services; ``accounts`` by local part."""

    store: Store
    custodian: Custodian
    administration: Administration
    members: BoxMembers
    bindings: LoginBindingActs
    services: ImapServices
    accounts: dict[str, Account] = field(default_factory=dict)
    keys_folder: Path = Path()

    def add(self, name: str, *, has_password: bool = False, kind: AccountKind = AccountKind.PER) -> Account:
        address = f"{name}@{DOMAIN}"
        new = NewAccount(
            kind,
            parse_address(address),
            Profile("Camille FICTIF"),
            password=Secret(PASSWORD.encode()) if has_password else None,
        )
        made = self.administration.add_account(new, datetime.now(UTC))
        assert made.app_password is not None
        account = self.accounts[name] = Account(address, made.app_password, made.account_id)
        return account

    def add_box(self, name: str, *members: str) -> Account:
        """A shared box; the first member is responsible. It has the password too, so that a test can read its log."""
        address = f"{name}@{DOMAIN}"
        new = NewAccount(
            AccountKind.ORG,
            parse_address(address),
            Profile("Secretariat FICTIF"),
            members=tuple(parse_address(self.accounts[member].address) for member in members),
            password=Secret(PASSWORD.encode()),
        )
        made = self.administration.add_account(new, datetime.now(UTC))
        account = self.accounts[name] = Account(address, "", made.account_id)
        return account

    def add_member(self, box: str, person: str) -> None:
        addresses = [parse_address(self.accounts[name].address) for name in (box, person)]
        self.members.add_member(*addresses, datetime.now(UTC))

    def remove_member(self, box: str, person: str) -> None:
        addresses = [parse_address(self.accounts[name].address) for name in (box, person)]
        self.members.remove_member(*addresses, datetime.now(UTC))

    def open(self, name: str) -> OpenAccount:
        account = self.accounts[name]
        scopes = [SlotScope.IMAP_SMTP]
        return self.services.keys.open_with_app_password(account.address, account.app_password, scopes, 0)

    def deliver(
        self, name: str, *messages: bytes, role: Role = Role.INBOX, received_at: int = 1_790_000_000
    ) -> list[int]:
        """Put messages into a mailbox while its owner is away; their UIDs."""
        account_id = self.accounts[name].account_id
        with self.store.database.read() as connection:
            public = self.store.accounts.load_account(connection, account_id).mail_public
            mailbox_id = mailboxes.load_by_role(connection, account_id, role).mailbox_id
        sealed = [self._seal(account_id, public, message) for message in messages]

        def run(connection) -> list[int]:
            modseq = mailboxes.next_modseq(connection, account_id)
            padded = sum(away.blob.padded_bytes for away in sealed)
            arrivals = mailboxes.Arrivals(len(sealed), len(sealed), 0, len(sealed), padded)
            first = mailboxes.place(connection, account_id, mailbox_id, modseq, arrivals)
            stamp = PlaceStamp(0, modseq, received_at, received_at)
            macs = self.store.macs
            rows = [away.place(macs, mailbox_id, first + at, stamp) for at, away in enumerate(sealed)]
            items.add_items(connection, rows)
            for away in sealed:
                items.add_blob(connection, account_id, away.blob.row)
            return list(range(first, first + len(sealed)))

        return self.store.writer.commit(Unit(account_id, run))

    def _seal(self, account_id, public, message):
        intake = Intake(self.store.blobs, LIMIT_BYTES)
        try:
            intake.write(message)
            intake.finish()
            summary = format_summary(parse_intake(intake).summary)
            small = intake.small
            blob = seal_octets(small) if small is not None else shared_octets(intake.keep())
            return seal_for_away(account_id, public, blob, summary)
        finally:
            intake.close()

    def read_log(self, name: str) -> list[AuditEvent]:
        """The account's own log, opened with the password that every account has."""
        opened, _keys = self.services.keys.open_with_password(self.accounts[name].address, PASSWORD)
        return [entry.event for entry in read_log(self.store, opened.account, opened.space_root())]

    def close(self) -> None:
        self.services.logins.close()
        self.store.close()


def make_node(
    folder: Path,
    *,
    limit_bytes: int = LIMIT_BYTES,
    tokens: TokenCheck | None = None,
    policy: LoginPolicy = LoginPolicy(),
) -> ImapNode:
    """``tokens`` judges what ``policy`` says that mail clients may show."""
    folder.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{folder}/data.sqlite"
    database = Database(url)
    upgrade(database)
    database.close()
    Custodian.create(folder / "keys").close()
    custodian = Custodian.open(folder / "keys", tokens=tokens)
    store = open_store(url, folder, custodian.row_key())
    seals = ServiceSeals(custodian)
    directory = Directory(store, seals, frozenset({parse_domain(DOMAIN)}))
    clock = asyncio.new_event_loop()
    rights = BoxRights(store, directory)
    keys = Keys(store, directory, custodian)
    services = ImapServices(
        keys=keys,
        logins=MailLogins(store, directory, keys, custodian, policy),
        mailboxes=Mailboxes(store, rights),
        boxes=Boxes(store, directory),
        rights=rights,
        messages=Messages(store),
        search_index=SearchIndex(store),
        permits=MailPermits(store),
        absence_settings=AbsenceSettings(
            store,
            directory,
            Absences(store, seals),
            lambda address, _so_far, _now: (ACCEPT, Destination(address, None)),
        ),
        blobs=store.blobs,
        wakeups=Wakeups(),
        throttle=Throttle(clock.time),
        limit_bytes=limit_bytes,
        hostname="mail." + DOMAIN,
    )
    clock.close()
    administration = Administration(store, directory, custodian, ARGON2_FLOOR)
    members, bindings = (
        BoxMembers(store, directory, custodian),
        LoginBindingActs(store, directory, custodian),
    )
    node = ImapNode(store, custodian, administration, members, bindings, services)
    node.keys_folder = folder / "keys"
    return node


@dataclass(frozen=True)
class TlsFiles:
    server: ssl.SSLContext
    client: ssl.SSLContext
    authority_pem: Path


def make_tls(folder: Path) -> TlsFiles:
    """A certificate for localhost from an authority of its own."""
    now = datetime.now(UTC)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DemoAuthorityWarning)
        authority = DemoAuthority.create(folder / "authority", now, key_bits=2048)
    issued = authority.issue_operator(DOMAIN, ["localhost", HOST], "Cabinet Fictif", now=now)
    cert, key = folder / "imap.pem", folder / "imap.key"
    cert.write_bytes(issued.cert_pem)
    key.write_bytes(issued.key_pem)
    client = ssl.create_default_context(cafile=str(authority.certificate_path))
    return TlsFiles(client_facing_context(cert, key), client, authority.certificate_path)


@dataclass
class RunningImap:
    """The server on its own thread and loop. ``tls_port`` is implicit TLS, ``clear_port`` STARTTLS."""

    node: ImapNode
    server: ImapServer
    loop: asyncio.AbstractEventLoop
    tls_port: int
    clear_port: int

    def poll_revocations(self) -> None:
        """What a worker does each half second (K4)."""

        async def poll() -> None:
            store, wakeups = self.node.store, self.node.services.wakeups
            with store.database.read() as connection:
                counters = store.accounts.list_revocations(connection, wakeups.list_accounts())
            wakeups.revoke_changed(counters)

        self.on_loop(poll())

    def on_loop(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)


@contextmanager
def running_imap(node: ImapNode, tls: TlsFiles) -> Iterator[RunningImap]:
    loop = uvloop.new_event_loop()
    pool = Pool(4, "imap-read")
    thread = threading.Thread(target=loop.run_forever, name="imap-loop", daemon=True)
    thread.start()
    server = ImapServer(node.services, pool)

    def notify(account_ids) -> None:
        loop.call_soon_threadsafe(node.services.wakeups.notify, set(account_ids))

    node.store.writer.on_commit(notify)

    async def listen() -> None:
        await server.listen(HOST, 0, tls=tls.server, starttls=None)
        await server.listen(HOST, 0, tls=None, starttls=tls.server)

    running = RunningImap(node, server, loop, 0, 0)
    running.on_loop(listen())
    running.tls_port, running.clear_port = server.ports
    try:
        yield running
    finally:
        running.on_loop(server.stop(0.5))
        node.store.writer.on_commit(lambda _accounts: None)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
        pool.shutdown()
