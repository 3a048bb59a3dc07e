"""Row MACs (security.md K23): what a database writer must not be able to plant carries HMAC(row key, row)."""

from collections.abc import Sequence

from mailserver.crypto.hkdf import mac, row_mac, verify_mac
from mailserver.crypto.secret import Secret
from mailserver.model.errors import Corrupt

Field = bytes | int | str | None


class RowMacs:
    """Signs and checks rows under the row key that the custodian handed to this process."""

    def __init__(self, row_key: Secret) -> None:
        self._key = row_key

    def sign(self, table: str, fields: Sequence[Field]) -> bytes:
        return row_mac(self._key, table, fields)

    def check(self, table: str, fields: Sequence[Field], mac: bytes | None) -> None:
        """Raises Corrupt("row-mac"): the row was altered or planted."""
        if mac is None or not verify_mac(row_mac(self._key, table, fields), bytes(mac)):
            raise Corrupt("row-mac", table)

    def is_sound(self, table: str, fields: Sequence[Field], mac: bytes | None) -> bool:
        """``check`` for work that goes on without the row. What a column never holds (SQLite takes any type) is not."""
        try:
            self.check(table, fields, mac)
        except (Corrupt, ArithmeticError, AttributeError, TypeError, ValueError):
            return False
        return True

    def lookup(self, label: str, text: str) -> bytes:
        """The blind index of a value that is looked up but never stored in clear (addresses, INS)."""
        return mac(self._key, label, text)
