"""Addresses: RFC 5321 §4.1.2 Mailbox, stricter (no source route, no quoted local part, no address literal).

RFC 6531 internationalised local parts are kept as they are; domain names are compared as lower-case A-labels.
"""

import re
from dataclasses import dataclass

from mailserver.model.errors import Malformed

# atext of RFC 5322 §3.2.3, plus non-ASCII letters (RFC 6531 §3.3) without controls and spaces
_ATEXT = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~\u00a1-\ud7ff\uf900-\U0010fffd]+"
_LOCAL = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*")
# sub-domain of RFC 5321 §4.1.2, LDH labels only after IDNA
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
LOCAL_PART_BYTES = 64
DOMAIN_BYTES = 255


@dataclass(frozen=True, slots=True, order=True)
class DomainName:
    """A domain name as lower-case A-labels, without trailing dot."""

    name: str

    def __post_init__(self) -> None:
        if len(self.name) > DOMAIN_BYTES or not _DOMAIN.fullmatch(self.name):
            raise Malformed("domain-syntax")

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A mail address. ``local`` keeps its case; ``key`` is what two equal addresses share."""

    local: str
    domain: DomainName

    def __post_init__(self) -> None:
        # characters first: what is counted in bytes afterwards is short, and encodable (no lone surrogate)
        if len(self.local) > LOCAL_PART_BYTES or not _LOCAL.fullmatch(self.local):
            raise Malformed("address-syntax")
        if len(self.local.encode()) > LOCAL_PART_BYTES:
            raise Malformed("address-syntax")

    def __str__(self) -> str:
        return f"{self.local}@{self.domain.name}"

    @property
    def key(self) -> str:
        """Comparison form: local parts are compared without case (health directories do)."""
        return f"{self.local.casefold()}@{self.domain.name}"

    @property
    def is_ascii(self) -> bool:
        return self.local.isascii()


def parse_domain(text: str) -> DomainName:
    """Accept U-labels or A-labels; return the lower-case A-label form. Raises Malformed."""
    text = text.removesuffix(".")
    if len(text) > DOMAIN_BYTES:
        # longer is no name in any form, and IDNA's cost grows with the square of what it is given
        raise Malformed("domain-syntax")
    if not text.isascii():
        try:
            text = text.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise Malformed("domain-syntax") from error
    return DomainName(text.lower())


def parse_address(text: str) -> Address:
    """``local@domain`` → Address. Raises Malformed."""
    local, at, domain = text.rpartition("@")
    if not at:
        raise Malformed("address-syntax")
    return Address(local, parse_domain(domain))
