"""``[oauth]``: access tokens of one issuer, with which mail clients log in beside app passwords."""

from dataclasses import dataclass

from mailserver.config import rules
from mailserver.config.rules import key


@dataclass(frozen=True, slots=True)
class OauthConfig:
    issuer: str = key(
        "",
        "Issuer of access tokens for IMAP and submission, as its tokens name it; empty: none are taken.",
        rules.ISSUER,
    )
    audiences: list[str] = key(  # noqa: RUF009 # a field
        [], "A token must name one of these as its audience (aud): it was made for us.", rules.WORDS
    )
    clients: list[str] = key(  # noqa: RUF009 # a field
        [],
        "And one of these as the client that asked for it (azp or client_id): needed where aud names every service of "
        "the issuer. Empty: any client.",
        rules.WORDS,
    )
    claim: str = key(
        "SubjectNameID",
        "The claim that names the person, as pli account token-subject binds it: the RPPS number, or sub, or email.",
        rules.WORD,
    )
    jwks_file: str = key("", "Signed tokens: the issuer's keys (a JWK set) in a file.", rules.PATH_OR_NONE)
    jwks_url: str = key("", "Or where they are fetched, by HTTPS.", rules.HTTPS_URL)
    introspection_url: str = key(
        "", "Or opaque tokens: where the issuer is asked about each (RFC 7662), by HTTPS.", rules.HTTPS_URL
    )
    client_id: str = key("", "Our name at the issuer, for that question.", rules.WORD_OR_NONE)
    client_secret_file: str = key("", "File with our secret there, one line.", rules.PATH_OR_NONE)
    authority: str = key(
        "",
        "Authority of the issuer's HTTPS certificate (PEM); empty for those of this machine.",
        rules.PATH_OR_NONE,
    )
    lifetime_minutes: int = key(5, "A signed token that lives longer in all is refused.", rules.MINUTES)
    session_hours: int = key(
        12, "How long a connection may last that was opened by a token or a certificate.", rules.SESSION_HOURS
    )
    scope: str = key(
        "", "Scope that mail clients should ask the issuer for; told to them.", rules.WORD_OR_NONE
    )
    configuration_url: str = key(
        "", "OpenID configuration of the issuer, told to mail clients; empty for none.", rules.HTTPS_URL
    )


def find_oauth_fault(oauth: OauthConfig) -> str | None:
    """What does not fit together, as a sentence; None when all is well."""
    sources = [name for name in ("jwks_file", "jwks_url", "introspection_url") if getattr(oauth, name)]
    if not oauth.issuer:
        return f"{sources[0]} in [oauth] needs issuer. Name it, or leave both out." if sources else None
    if len(sources) != 1:
        return "issuer in [oauth] needs one of jwks_file, jwks_url and introspection_url, and no more. Give one of them."
    if not oauth.audiences:
        return "issuer in [oauth] needs audiences: a token made for somebody else must not open a mailbox. Name ours."
    if oauth.introspection_url and not (oauth.client_id and oauth.client_secret_file):
        return "introspection_url in [oauth] needs client_id and client_secret_file. Give both."
    return None
