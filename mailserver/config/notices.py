"""``[relay]`` and ``[sms]``: how codes and notices leave."""

from dataclasses import dataclass

from mailserver.config import rules
from mailserver.config.rules import key
from mailserver.model.hop import LinkSecurity


@dataclass(frozen=True, slots=True)
class RelayConfig:
    host: str = key(
        "",
        "Ordinary mail relay for codes and notifications (never content); empty for none.",
        rules.HOST_OR_NONE,
    )
    port: int = key(25, "Its port.", rules.PORT)
    sender: str = key("", "Sender address of notices, for example ne-pas-repondre@example.org.", rules.SENDER)
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
