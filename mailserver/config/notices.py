"""``[relay]`` and ``[sms]``: how codes and notices leave; ``[bounces]``: how what could not be delivered comes back."""

from dataclasses import dataclass

from mailserver.config import rules
from mailserver.config.rules import key
from mailserver.model.address import LOCAL_PART_BYTES, parse_address
from mailserver.model.hop import LinkSecurity

TAG_CHARACTERS = 42
"""What the return path of a notice bears (``mailserver.service.notice_tokens``)."""
HOME_PREFIXES = ("+33", "+262", "+508", "+590", "+594", "+596", "+681", "+687", "+689")
"""France, and its territories that have a code of their own."""


@dataclass(frozen=True, slots=True)
class RelayConfig:
    host: str = key(
        "",
        "Ordinary mail relay for codes and notifications (never content); empty for none.",
        rules.HOST_OR_NONE,
    )
    port: int = key(25, "Its port.", rules.PORT)
    sender: str = key(
        "",
        "Sender address of notices; empty for ne-pas-repondre at the first of [operator] domains.",
        rules.SENDER,
    )
    security: str = key(
        "opportunistic",
        "opportunistic: TLS when the relay offers it, unchecked, for a relay on the same host or network. starttls (port "
        "587), tls (port 465): demanded, the relay's name and authority checked.",
        rules.SECURITY,
    )
    authority: str = key(
        "", "Authority of the relay's certificate (PEM); empty for the system's own.", rules.PATH_OR_NONE
    )
    user: str = key("", "User name at the relay; empty for none.", rules.LINE_OR_NONE)
    password_file: str = key(
        "", "File that holds its password, one line; empty for none.", rules.PATH_OR_NONE
    )
    dkim_key: str = key(
        "", "Private key (PEM, RSA or Ed25519) that signs notices (DKIM); empty for none.", rules.PATH_OR_NONE
    )
    dkim_selector: str = key(
        "", "Its name in the DNS: selector._domainkey.domain holds the public key.", rules.SELECTOR
    )
    dkim_domain: str = key("", "Domain that signs; empty: the sender address's own.", rules.DOMAIN_OR_NONE)


@dataclass(frozen=True, slots=True)
class BouncesConfig:
    host: str = key(
        "",
        "IMAP server (TLS at once) of the ordinary mailbox that gets mail for the relay's sender address: reports that "
        "notices were not delivered are read there; empty for none.",
        rules.HOST_OR_NONE,
    )
    port: int = key(993, "Its port.", rules.PORT)
    authority: str = key(
        "", "Authority of its certificate (PEM); empty for the system's own.", rules.PATH_OR_NONE
    )
    user: str = key("", "User name there.", rules.LINE_OR_NONE)
    password_file: str = key("", "File that holds its password, one line.", rules.PATH_OR_NONE)
    mailbox: str = key("INBOX", "Mailbox (folder) to read, in ASCII.", rules.MAILBOX)
    minutes: int = key(5, "Time between two readings.", rules.MINUTES)
    subaddress: bool = key(
        True,
        "Whether each notice leaves from an address of its own, as ne-pas-repondre+TAG@…, which the mailbox must get too. "
        "Off for a relay that takes one sender only: most reports name the notice anyway.",
        rules.SWITCH,
    )
    delete: bool = key(
        True,
        "Whether a report about a notice is deleted once it is read. All other mail is marked as seen and stays.",
        rules.SWITCH,
    )


@dataclass(frozen=True, slots=True)
class SmsConfig:
    url: str = key(
        "",
        "SMS provider: where a JSON object is POSTed for each code or notice; empty for none.",
        rules.HTTPS_OR_NONE,
    )
    body: str = key(
        '{"to": "{number}", "from": "{sender}", "text": "{text}"}',
        "The object that it wants; number as +33612345678.",
        rules.SMS_BODY,
    )
    prefixes: list[str] = key(  # noqa: RUF009 # a field
        list(HOME_PREFIXES),
        "Numbers that SMS go to, by how they begin; by default France and its overseas territories. People give their number "
        'themselves: each further country is one where strangers may have SMS sent at your cost. ["+"] for all.',
        rules.PHONE_PREFIXES,
    )
    sender: str = key("Pli", "Name shown as the sender of SMS.", rules.LINE_OR_NONE)
    token_file: str = key(
        "", "File that holds the bearer token, one line; empty for none.", rules.PATH_OR_NONE
    )
    authority: str = key(
        "", "Authority of the provider's certificate (PEM); empty for the system's own.", rules.PATH_OR_NONE
    )


def find_relay_fault(relay: RelayConfig) -> str | None:
    """What does not fit together, as a sentence; None when all is well. A password is never sent to whoever answers."""
    if bool(relay.user) != bool(relay.password_file):
        return "user and password_file in [relay] go together. Give both, or neither."
    if bool(relay.dkim_key) != bool(relay.dkim_selector):
        return "dkim_key and dkim_selector in [relay] go together. Give both, or neither."
    if relay.user and relay.security == LinkSecurity.OPPORTUNISTIC:
        return (
            "user in [relay] needs security = starttls or tls: a password is not sent to a relay that nobody checked. "
            "Demand one of them."
        )
    return None


def find_bounces_fault(bounces: BouncesConfig, relay: RelayConfig) -> str | None:
    """As ``find_relay_fault``."""
    if bool(bounces.host) != bool(bounces.user) or bool(bounces.host) != bool(bounces.password_file):
        return "host, user and password_file in [bounces] go together. Give all, or none."
    room = LOCAL_PART_BYTES - 1 - TAG_CHARACTERS
    is_tagged = bounces.host and bounces.subaddress and relay.sender
    if is_tagged and len(parse_address(relay.sender).local.encode()) > room:
        return (
            f"sender in [relay] is too long for a tag: at most {room} characters before the @. Choose a shorter one, or set "
            "subaddress = false in [bounces]."
        )
    return None
