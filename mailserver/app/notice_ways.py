"""How notices leave, as the configuration says: which relay, entered how, signed by whom; which SMS provider; and where
reports about them come back.
"""

from pathlib import Path

from mailserver.config import Config
from mailserver.config.sms_body import parse_sms_body
from mailserver.crypto.mail_signer import load_mail_signer
from mailserver.crypto.secret import Secret
from mailserver.gateway.ordinary_relay import OrdinaryRelay, RelayAccess
from mailserver.gateway.sms_provider import SmsAccess, SmsProvider
from mailserver.mime.dkim import DkimIdentity
from mailserver.model.address import Address, parse_address, parse_domain
from mailserver.model.errors import Malformed
from mailserver.model.hop import LinkSecurity, NextHop
from mailserver.sync.bounce_mailbox import BounceMailbox, MailboxAccess
from mailserver.tls.contexts import web_client_context

SECRET_BYTES = 4096


def open_relay(config: Config) -> OrdinaryRelay | None:
    """The ordinary relay; None when none is configured. Raises Malformed when a file cannot be used."""
    relay = config.relay
    if not relay.host:
        return None
    access = RelayAccess(
        NextHop(relay.host, relay.port),
        LinkSecurity(relay.security),
        config.path(relay.authority) if relay.authority else None,
        relay.user,
        _read_secret(config.path(relay.password_file), "relay-password") if relay.password_file else None,
    )
    sender = parse_address(relay.sender or f"ne-pas-repondre@{config.operator.domains[0]}")
    identity = _dkim_identity(config, sender)
    operator = config.operator
    is_tagged = bool(config.bounces.host) and config.bounces.subaddress
    return OrdinaryRelay(access, sender, operator.name, operator.hostname, identity, tags_sender=is_tagged)


def open_sms(config: Config) -> SmsProvider | None:
    """The SMS provider; None when none is configured. Raises Malformed when a file cannot be used."""
    sms = config.sms
    if not sms.url:
        return None
    token = _read_secret(config.path(sms.token_file), "sms-token") if sms.token_file else None
    authority = config.path(sms.authority) if sms.authority else None
    return SmsProvider(SmsAccess(sms.url, parse_sms_body(sms.body), sms.sender, token, authority))


def open_bounces(config: Config) -> BounceMailbox | None:
    """The mailbox of reports; None when none is configured. Raises Malformed when a file cannot be used."""
    bounces = config.bounces
    if not bounces.host:
        return None
    password = _read_secret(config.path(bounces.password_file), "bounces-password")
    context = web_client_context(config.path(bounces.authority) if bounces.authority else None)
    access = MailboxAccess(bounces.host, bounces.port, context, bounces.user, password, bounces.mailbox)
    return BounceMailbox(access, deletes=bounces.delete)


def _dkim_identity(config: Config, sender: Address) -> DkimIdentity | None:
    relay = config.relay
    if not relay.dkim_key:
        return None
    try:
        signer = load_mail_signer(config.path(relay.dkim_key).read_bytes())
    except OSError as error:
        raise Malformed("dkim-key", "the file cannot be read") from error
    domain = parse_domain(relay.dkim_domain) if relay.dkim_domain else sender.domain
    return DkimIdentity(domain.name, relay.dkim_selector, signer.algorithm, signer.sign)


def _read_secret(path: Path, code: str) -> Secret:
    """One line of a file. Raises Malformed with ``code``."""
    try:
        with path.open("rb") as file:
            line = file.read(SECRET_BYTES).strip()
    except OSError as error:
        raise Malformed(code, "the file cannot be read") from error
    if not line or b"\n" in line or b"\0" in line:
        raise Malformed(code, "the file must hold one line")
    return Secret(line)
