"""``[tls]``: certificates and authorities, for people on one side and for other operators on the other."""

from dataclasses import dataclass

from mailserver.config import rules
from mailserver.config.rules import key as _key


@dataclass(frozen=True, slots=True)
class TlsConfig:
    certificate: str = _key(
        "tls/server.pem", "Certificate chain shown to mail clients and browsers.", rules.PATH
    )
    key: str = _key("tls/server.key", "Its private key.", rules.PATH)
    peer_certificate: str = _key(
        "tls/operator.pem",
        "Operator certificate (usages client and server) shown to other operators, with its chain.",
        rules.PATH,
    )
    peer_key: str = _key("tls/operator.key", "Its private key.", rules.PATH)
    peer_authority: str = _key(
        "tls/authority.pem",
        "The only authority trusted for other operators (PEM): the one that issued their certificates.",
        rules.PATH,
    )
    peer_crl: str = _key(
        "",
        "Revocation lists of that authority: files, or http(s):// addresses fetched hourly; several with commas, empty for "
        "none. Whoever signed them must be in peer_authority.",
        rules.LISTS_OR_NONE,
    )
    peer_ocsp: str = _key(
        "",
        "Address of the authority's OCSP responder (http://…), asked before the lists; empty for none.",
        rules.RESPONDER_OR_NONE,
    )
    revocation: str = _key(
        "require",
        "When the lists and the responder cannot tell: require refuses the peer for now, prefer lets it in with a warning. "
        "With neither set pli serve does not start, unless this is unchecked: then a stolen certificate opens the link "
        "until it ends, and the log says so at each start.",
        rules.REVOCATION,
    )
    peer_server_certificate_suffices: bool = _key(
        False,
        "Whether a calling operator may show a certificate for server use only (docs/threats.md says what that opens).",
        rules.SWITCH,
    )
    peer_cbc: bool = _key(
        False, "Whether other operators may also use the two CBC suites of the MSSanté table.", rules.SWITCH
    )
    client_authority: str = _key(
        "",
        "Authority of the certificates by which application boxes log in (PEM); empty: mail clients are asked for none.",
        rules.PATH_OR_NONE,
    )
    client_crl: str = _key("", "Revocation list of that authority (PEM); empty for none.", rules.PATH_OR_NONE)
