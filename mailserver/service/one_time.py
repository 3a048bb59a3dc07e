"""Second factors by application (TOTP, RFC 6238): secrets and the address that an application scans."""

import pyotp


def new_totp_secret() -> str:
    """160 random bits, base32."""
    return pyotp.random_base32(length=32)


def otpauth_uri(secret: str, account: str, operator: str) -> str:
    """The ``otpauth://`` address that authenticator applications read, usually as a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=operator)
