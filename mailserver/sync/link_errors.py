"""What can go wrong with a link that we open, as codes that the operator's log, records and commands share."""

import contextlib
import socket
import ssl
from collections.abc import Iterator

from mailserver.model.errors import PliError, Unavailable


@contextlib.contextmanager
def link_errors(what: str) -> Iterator[None]:
    """Raises Unavailable: ``what`` with "-name", "-connection", "-tls-authority", "-tls-host", "-tls" or "-timeout". What
    is one of ours passes.
    """
    try:
        yield
    except PliError:
        raise
    except TimeoutError as error:
        raise Unavailable(f"{what}-timeout") from error
    except ssl.SSLCertVerificationError as error:
        raise _certificate_error(what, error) from error
    except ssl.SSLError as error:
        raise Unavailable(f"{what}-tls", (error.reason or "").replace("_", " ").lower()) from error
    except socket.gaierror as error:
        raise Unavailable(f"{what}-name") from error
    except OSError as error:
        raise Unavailable(f"{what}-connection", error.strerror or "") from error


def _certificate_error(what: str, error: ssl.SSLCertVerificationError) -> Unavailable:
    """OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH is 62, …_IP_ADDRESS_MISMATCH 64."""
    if error.verify_code in {62, 64}:
        return Unavailable(f"{what}-tls-host")
    return Unavailable(f"{what}-tls-authority", error.verify_message)
