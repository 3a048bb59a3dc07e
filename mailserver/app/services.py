"""Everything a process needs, built in one place."""

from collections.abc import Callable
from dataclasses import dataclass

from mailserver.app.trust_lists import open_trust_store
from mailserver.config import Config
from mailserver.config.rules import is_web_source, split_sources
from mailserver.crypto.custodian_verbs import CustodianVerbs
from mailserver.crypto.secret import random_id
from mailserver.crypto.slots import ARGON2_DEFAULT, Argon2Parameters
from mailserver.model.address import DomainName
from mailserver.model.errors import Unavailable
from mailserver.model.hop import parse_daemon
from mailserver.model.ids import AccountId
from mailserver.policy.mail_rules import MailLimits, PeerRules
from mailserver.policy.patient_rules import parse_pharmacies
from mailserver.policy.trust_store import TrustStore
from mailserver.service.absence_replies import AbsenceReplies
from mailserver.service.absence_settings import AbsenceSettings
from mailserver.service.absences import Absences
from mailserver.service.account_slots import PasswordSlots
from mailserver.service.administration import Administration
from mailserver.service.antivirus import Antivirus
from mailserver.service.app_passwords import AppPasswords
from mailserver.service.awaited_notices import AwaitedNotices
from mailserver.service.box_members import BoxMembers
from mailserver.service.box_rights import BoxRights
from mailserver.service.boxes import Boxes
from mailserver.service.delivery import Delivery, Effects
from mailserver.service.directory import Directory
from mailserver.service.entrance import Entrance
from mailserver.service.filing import Archives
from mailserver.service.integration_receipts import IntegrationReceipts
from mailserver.service.kept_files import KeptFiles, KeptSettings
from mailserver.service.keys import Keys
from mailserver.service.login_bindings import LoginBindingActs
from mailserver.service.login_failures import LoginFailures
from mailserver.service.login_resets import LoginResets
from mailserver.service.mail_logins import LoginPolicy, MailLogins
from mailserver.service.mail_permit import MailPermits
from mailserver.service.mailboxes import Mailboxes
from mailserver.service.messages import Messages
from mailserver.service.notices import Notices, SmsReach
from mailserver.service.outbound import Outbound
from mailserver.service.overdue_notices import OverdueNotices
from mailserver.service.peers import Peers
from mailserver.service.queue_control import QueueControl
from mailserver.service.quotas import Amount, Quotas
from mailserver.service.receive import Reception
from mailserver.service.revocations import Revocations, Sources
from mailserver.service.sasl import TokenAdvice
from mailserver.service.search_index import SearchIndex
from mailserver.service.sender_reports import SenderReports
from mailserver.service.sendings import Sendings
from mailserver.service.service_seals import ServiceSeals
from mailserver.service.submit import Submission
from mailserver.service.wakeups import Wakeups
from mailserver.store.store import Store, open_store


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases of one process, over one store."""

    config: Config
    custody: CustodianVerbs
    store: Store
    directory: Directory
    trust: TrustStore
    revocations: Revocations
    peers: Peers
    keys: Keys
    logins: MailLogins
    administration: Administration
    members: BoxMembers
    app_passwords: AppPasswords
    resets: LoginResets
    bindings: LoginBindingActs
    boxes: Boxes
    rights: BoxRights
    mailboxes: Mailboxes
    messages: Messages
    search_index: SearchIndex
    permits: MailPermits
    login_failures: LoginFailures
    outbound: Outbound
    notices: Notices
    delivery: Delivery
    entrance: Entrance
    reception: Reception
    submission: Submission
    reports: SenderReports
    overdue: OverdueNotices
    queue: QueueControl
    absence_settings: AbsenceSettings
    wakeups: Wakeups

    def list_revocations(self, account_ids: list[AccountId]) -> dict[AccountId, int]:
        """Revocation counters of accounts that have a connection here (K4)."""
        with self.store.database.read() as connection:
            return self.store.accounts.list_revocations(connection, account_ids)

    def close(self) -> None:
        self.logins.close()
        self.peers.close()
        self.store.close()


def build_services(
    config: Config,
    custody: CustodianVerbs,
    *,
    argon2: Argon2Parameters = ARGON2_DEFAULT,
    on_disk_failure: Callable[[Unavailable], None] | None = None,
    keeps_trust: bool = False,
    login_custody: CustodianVerbs | None = None,
) -> Services:
    """Open the store and wire every service. The schema must be current (``migrations.upgrade``).

    ``keeps_trust``: see TrustSource. ``login_custody``: a second link, lest a slow issuer of tokens hold passwords up.
    """
    store = open_store(config.database_url, config.data_folder, custody.row_key(), on_disk_failure)
    seals = ServiceSeals(custody)
    directory = Directory(store, seals, config.domains)
    trust = open_trust_store(config, keeps=keeps_trust)
    outbound = Outbound(seals)
    notices, delivery, reports = _delivery(config, store, (seals, outbound), directory, trust)
    rights = BoxRights(store, directory)
    keys = Keys(store, directory, custody)
    revocations = make_revocations(config, tells=keeps_trust)
    peers = Peers(_peer_rules(config), revocations)
    sendings = Sendings(store, outbound, reports, delivery.awaited)
    entrance = _entrance(config, store)
    submission = Submission(store, directory, delivery, sendings, trust, entrance)
    return Services(
        config,
        custody,
        store,
        directory,
        trust,
        revocations,
        peers,
        keys,
        MailLogins(store, directory, keys, login_custody or custody, login_policy(config)),
        Administration(store, directory, custody, argon2),
        BoxMembers(store, directory, custody),
        AppPasswords(store, directory, custody),
        LoginResets(store, directory, notices, PasswordSlots(custody, argon2)),
        LoginBindingActs(store, directory, custody),
        Boxes(store, directory),
        rights,
        Mailboxes(store, rights),
        Messages(store, _quota(config)),
        SearchIndex(store),
        MailPermits(store),
        LoginFailures(store, directory),
        outbound,
        notices,
        delivery,
        entrance,
        Reception(store, directory, delivery, trust, peers, entrance),
        submission,
        reports,
        OverdueNotices(store, delivery.awaited, reports, random_id()),
        QueueControl(store, outbound, reports, custody),
        AbsenceSettings(store, directory, delivery.absences, submission.decide_recipient),
        Wakeups(),
    )


def login_policy(config: Config) -> LoginPolicy:
    """What mail clients are offered beside app passwords."""
    oauth = config.oauth
    advice = TokenAdvice(oauth.scope, oauth.configuration_url)
    return LoginPolicy(bool(oauth.issuer), advice, oauth.session_hours)


def _sms_reach(config: Config) -> SmsReach:
    is_on = bool(config.sms.url)
    return SmsReach(is_on, tuple(config.sms.prefixes), is_alone=is_on and not config.relay.host)


def _delivery(
    config: Config,
    store: Store,
    queue: tuple[ServiceSeals, Outbound],
    directory: Directory,
    trust: TrustStore,
) -> tuple[Notices, Delivery, SenderReports]:
    """What mail brings about when it is put into a box: notices, the replies of who is away, receipts; and reports."""
    seals, outbound = queue
    hostname = DomainName(config.operator.hostname)
    sms = _sms_reach(config)
    notices = Notices(directory, outbound, config.operator.name, config.web_url, sms)
    absences = Absences(store, seals)
    replies = AbsenceReplies(store, directory, absences, outbound, config.operator.product_reference)
    awaited = AwaitedNotices(store, seals, directory, trust, config.queue.notice_hours * 3600)
    receipts = IntegrationReceipts(store, directory, outbound, config.operator)
    effects = Effects(notices, replies, awaited, receipts)
    delivery = Delivery(store, directory, Archives(), effects, _kept_files(config, store))
    return notices, delivery, SenderReports(store, delivery, hostname, config.operator.name, config.clock)


def _entrance(config: Config, store: Store) -> Entrance:
    antivirus = Antivirus(parse_daemon(config.antivirus.clamd)) if config.antivirus.clamd else None
    limits = MailLimits(
        config.limits.message_bytes,
        config.limits.recipients,
        parse_pharmacies(config.patients.pharmacies),
        config.patients.refuse_mss_mismatch,
    )
    return Entrance(store.blobs, limits, antivirus)


def make_revocations(config: Config, *, tells: bool = False) -> Revocations:
    """The sources of the configuration; nothing is read before it is needed."""
    lists = tuple(
        each if is_web_source(each) else str(config.path(each)) for each in split_sources(config.tls.peer_crl)
    )
    authority = config.path(config.tls.peer_authority)
    sources = Sources(authority, lists, config.data_folder, config.tls.peer_ocsp)
    return Revocations(sources, tells=tells)


def _peer_rules(config: Config) -> PeerRules:
    return PeerRules(config.tls.revocation == "require", config.tls.peer_server_certificate_suffices)


def _quota(config: Config) -> Amount:
    return Amount(config.limits.messages, config.limits.storage_bytes)


def _kept_files(config: Config, store: Store) -> KeptFiles:
    large, whole_bytes = config.large, config.limits.message_bytes
    settings = KeptSettings(large.limit_bytes, large.threshold_bytes, whole_bytes, large.days, config.web_url)
    return KeptFiles(store, Quotas(store, _quota(config)), settings)
