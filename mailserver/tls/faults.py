"""Why a TLS handshake failed, as a closed list. Pure: policy reads it without importing ssl."""

from enum import StrEnum


class HandshakeFault(StrEnum):
    """The peer's fault as OpenSSL reported it, reduced to what a reply can usefully say."""

    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    FOREIGN = "foreign"
    """Not issued by the pinned authority, or its chain cannot be built."""
    REVOKED = "revoked"
    REVOCATION_UNKNOWN = "revocation-unknown"
    """Our revocation list is missing, expired or unreadable: our trouble, not the peer's."""
    USAGE = "usage"
    KEY = "key"
    """A key that is too short."""
    PROTOCOL = "protocol"
    """Version or cipher suite below the floor."""
    OTHER = "other"


# OpenSSL's X509_V_ERR_* numbers (x509_vfy.h), stable since 1.0
_BY_VERIFY_CODE: dict[int, HandshakeFault] = {
    2: HandshakeFault.FOREIGN,  # unable to get issuer certificate
    3: HandshakeFault.REVOCATION_UNKNOWN,  # unable to get CRL
    7: HandshakeFault.FOREIGN,  # certificate signature failure
    8: HandshakeFault.REVOCATION_UNKNOWN,  # CRL signature failure
    9: HandshakeFault.NOT_YET_VALID,
    10: HandshakeFault.EXPIRED,
    11: HandshakeFault.REVOCATION_UNKNOWN,  # CRL not yet valid
    12: HandshakeFault.REVOCATION_UNKNOWN,  # CRL has expired
    18: HandshakeFault.FOREIGN,  # self-signed certificate
    19: HandshakeFault.FOREIGN,  # self-signed certificate in chain
    20: HandshakeFault.FOREIGN,  # unable to get local issuer certificate
    21: HandshakeFault.FOREIGN,  # unable to verify the first certificate
    22: HandshakeFault.FOREIGN,  # chain too long
    23: HandshakeFault.REVOKED,
    24: HandshakeFault.FOREIGN,  # invalid CA certificate
    26: HandshakeFault.USAGE,  # unsuitable purpose
    66: HandshakeFault.KEY,  # end entity key too small
}
_BY_REASON: dict[str, HandshakeFault] = {
    "UNSUPPORTED_PROTOCOL": HandshakeFault.PROTOCOL,
    "VERSION_TOO_LOW": HandshakeFault.PROTOCOL,
    "WRONG_VERSION_NUMBER": HandshakeFault.PROTOCOL,
    "NO_SHARED_CIPHER": HandshakeFault.PROTOCOL,
    "NO_PROTOCOLS_AVAILABLE": HandshakeFault.PROTOCOL,
    "NO_SUITABLE_KEY_SHARE": HandshakeFault.PROTOCOL,
    "TLSV1_ALERT_PROTOCOL_VERSION": HandshakeFault.PROTOCOL,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": HandshakeFault.FOREIGN,
}


def classify_fault(verify_code: int | None, reason: str | None) -> HandshakeFault:
    """OpenSSL's verify code (None when the chain was not the trouble) and reason word → the fault."""
    if verify_code:
        return _BY_VERIFY_CODE.get(verify_code, HandshakeFault.OTHER)
    return _BY_REASON.get(reason or "", HandshakeFault.OTHER)
