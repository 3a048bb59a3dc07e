"""Lets a calling peer's chain be built whatever its certificate is for; policy then judges the usages it states.

OpenSSL demands client usage of whoever calls, and Python's ssl has no way to say otherwise. Its C function is called
here, for the one setting that needs it (``peer_server_certificate_suffices``). It takes the address of the context's
C structure, which is the first field after the object's head in the versions of CPython named below and is compared
with what Python itself says of the context before it is used; anywhere else the setting is refused.
"""

import _ssl
import ctypes
import ssl
import sys
from collections.abc import Callable

from mailserver.model.errors import Malformed

_PURPOSE_ANY = 7
"""X509_PURPOSE_ANY of x509v3.h."""
_VERSIONS = ((3, 11), (3, 12), (3, 13), (3, 14))


def accept_any_purpose(context: ssl.SSLContext) -> None:
    """Chain and dates are still checked. Raises Malformed("tls-purpose") where it cannot be done."""
    if sys.implementation.name != "cpython" or sys.version_info[:2] not in _VERSIONS:
        raise Malformed("tls-purpose", "not on this Python")
    try:
        library = ctypes.CDLL(_ssl.__file__)
        set_purpose, count_tickets = library.SSL_CTX_set_purpose, library.SSL_CTX_get_num_tickets
    except (OSError, AttributeError) as error:
        raise Malformed("tls-purpose", "not with this OpenSSL") from error
    set_purpose.argtypes, set_purpose.restype = (ctypes.c_void_p, ctypes.c_int), ctypes.c_int
    count_tickets.argtypes, count_tickets.restype = (ctypes.c_void_p,), ctypes.c_size_t
    address = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
    if not _is_the_context(context, lambda: int(count_tickets(address))):
        raise Malformed("tls-purpose", "not with this Python")
    if set_purpose(address, _PURPOSE_ANY) != 1:
        raise Malformed("tls-purpose", "OpenSSL refused")


def _is_the_context(context: ssl.SSLContext, count_tickets: Callable[[], int]) -> bool:
    """Whether C sees two values that Python sets."""
    before, agreed = context.num_tickets, True
    for number in (5, 3):
        context.num_tickets = number
        agreed = agreed and count_tickets() == number
    context.num_tickets = before
    return agreed
