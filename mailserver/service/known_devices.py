"""Browsers that a person logged in with before keep a budget of their own for passwords (S9).

Each gets a token: a random id, the time, and an HMAC under the row key for each address of the account. Nothing of it
is stored, it opens nothing, and it holds no address. Judging one asks no database: whoever is named, it is the same
work (K22).
"""

import base64
import binascii
from collections.abc import Iterable
from datetime import datetime

from mailserver.crypto.custodian_rates import Standing
from mailserver.crypto.hkdf import verify_mac
from mailserver.crypto.secret import random_id
from mailserver.model.address import Address, parse_address
from mailserver.model.errors import Malformed
from mailserver.model.ids import ID_BYTES
from mailserver.store.row_macs import RowMacs

LIFE_SECONDS = 180 * 86400
MOST_ADDRESSES = 8
_TIME_BYTES = 8
_MAC_BYTES = 16
_HEAD_BYTES = ID_BYTES + _TIME_BYTES


class KnownDevices:
    def __init__(self, macs: RowMacs) -> None:
        self._macs = macs

    def new_token(self, addresses: Iterable[Address], now: datetime) -> str:
        """For the browser that just logged in with both factors."""
        head = random_id() + int(now.timestamp()).to_bytes(_TIME_BYTES, "big")
        marks = [self._mark(head, address.key) for address in list(addresses)[:MOST_ADDRESSES]]
        return base64.urlsafe_b64encode(head + b"".join(marks)).rstrip(b"=").decode()

    def standing_of(self, login: str, token: str, now: datetime) -> Standing:
        """KNOWN when the token was given to a browser of this very login in the last LIFE_SECONDS."""
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            key = parse_address(login).key
        except (binascii.Error, ValueError, Malformed):
            return Standing.STRANGER
        head, marks = raw[:_HEAD_BYTES], raw[_HEAD_BYTES:]
        is_long_enough = len(head) == _HEAD_BYTES and len(marks) <= MOST_ADDRESSES * _MAC_BYTES
        age = int(now.timestamp()) - int.from_bytes(head[ID_BYTES:], "big")
        if not is_long_enough or age >= LIFE_SECONDS:
            return Standing.STRANGER
        right = self._mark(head, key)
        pieces = [marks[at : at + _MAC_BYTES] for at in range(0, len(marks), _MAC_BYTES)]
        is_known = any(verify_mac(right, each) for each in pieces)
        return Standing.KNOWN if is_known else Standing.STRANGER

    def _mark(self, head: bytes, address_key: str) -> bytes:
        return self._macs.lookup("known-device", f"{head.hex()}|{address_key}")[:_MAC_BYTES]
