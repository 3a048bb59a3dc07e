"""The TLS profiles: client-facing ports, the MX port between operators, and our own calls to peers.

Everywhere: TLS 1.2 and 1.3, ECDHE, authenticated encryption; no compression, no renegotiation, no tickets. Between
operators: RSA certificates of one pinned authority on both sides and the suites of the MSSanté table
(0xC030, 0xC02F; its CBC suites 0xC028, 0xC027 by a setting). A context is built once and replaced when its files change.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path

from mailserver.model.errors import Malformed
from mailserver.tls.purpose import accept_any_purpose

CLIENT_SUITES = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
"""Mozilla's intermediate list for TLS 1.2, without finite-field Diffie-Hellman."""
PEER_SUITES = ("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256")
PEER_CBC_SUITES = ("ECDHE-RSA-AES256-SHA384", "ECDHE-RSA-AES128-SHA256")


@dataclass(frozen=True, slots=True)
class PeerProfile:
    """The two settings of the link between operators; see ``[tls]`` of ``pli.toml``."""

    is_cbc_allowed: bool = False
    does_server_usage_suffice: bool = False


STRICT = PeerProfile()


@dataclass(frozen=True, slots=True)
class PeerFiles:
    """PEM files of the link between operators. Revocation is judged after the handshake, so that it has words (S2)."""

    cert: Path
    key: Path
    ca: Path


@dataclass(frozen=True, slots=True)
class ClientAuthority:
    """Who vouches for application boxes; ``crl`` is its revocation list, None when not checked."""

    ca: Path
    crl: Path | None = None


def client_facing_context(cert: Path, key: Path, clients: ClientAuthority | None = None) -> ssl.SSLContext:
    """For 443, 465, 993 (implicit TLS) and 143, 587 (STARTTLS). Raises Malformed when a file cannot be used.

    With ``clients`` a certificate is asked for: none passes the handshake, a wrong one fails it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context, CLIENT_SUITES)
    # Mozilla's list stops at X25519, P-256 and P-384; this API sets one group only, and P-256 is the one that every
    # client has (RFC 8446 §9.1). The price is one more round trip for clients that guess X25519.
    context.set_ecdh_curve("prime256v1")
    context.num_tickets = 0
    _use_identity(context, cert, key)
    if clients is not None:
        _trust(context, clients.ca, clients.crl)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def peer_server_context(files: PeerFiles, profile: PeerProfile = STRICT) -> ssl.SSLContext:
    """For the MX port: asks for a client certificate of the pinned authority.

    A missing certificate passes the handshake, so that policy can refuse it with a code; a wrong one fails it.
    Raises Malformed when a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context, PEER_SUITES + (PEER_CBC_SUITES if profile.is_cbc_allowed else ()))
    context.num_tickets = 0
    _use_identity(context, files.cert, files.key)
    _trust(context, files.ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    if profile.does_server_usage_suffice:
        accept_any_purpose(context)
    return context


def peer_client_context(files: PeerFiles, profile: PeerProfile = STRICT) -> ssl.SSLContext:
    """For the gateway's calls: shows our certificate and demands one of the pinned authority.

    Host names are not checked: policy compares the peer's DN with the trust list, which is the stricter rule.
    Raises Malformed when a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context, PEER_SUITES + (PEER_CBC_SUITES if profile.is_cbc_allowed else ()))
    _use_identity(context, files.cert, files.key)
    _trust(context, files.ca)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def web_client_context(authority: Path | None) -> ssl.SSLContext:
    """For our own calls to web servers and to the ordinary mail relay: certificate and host name are checked, against
    this authority's file alone or (None) the system's. Raises Malformed("web-authority") when the file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # demands a certificate of the host that is called
    _harden(context, CLIENT_SUITES)
    if authority is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return context
    try:
        context.load_verify_locations(cafile=authority)
    except (OSError, ValueError) as error:
        raise Malformed("web-authority", "authority file cannot be used") from error
    context.verify_flags |= (
        ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    )  # the file may hold one intermediate authority alone
    return context


def _harden(context: ssl.SSLContext, suites: tuple[str, ...]) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.set_ciphers(":".join(suites))
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE


def _use_identity(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    try:
        # an encrypted key would ask on the terminal: answer with nothing, so that it fails instead
        context.load_cert_chain(cert, key, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise Malformed("tls-certificate", "certificate or key file cannot be used") from error


def _trust(context: ssl.SSLContext, ca: Path, crl: Path | None = None) -> None:
    try:
        context.load_verify_locations(cafile=ca)
    except (OSError, ValueError) as error:
        raise Malformed("tls-authority", "authority file cannot be used") from error
    if not context.get_ca_certs():
        raise Malformed("tls-authority", "no authority in the file")
    # the file may hold one intermediate authority alone, which is the narrowest pin
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if crl is None:
        return
    try:
        context.load_verify_locations(cafile=crl)
    except (OSError, ValueError) as error:
        raise Malformed("tls-revocation", "revocation list cannot be used") from error
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
