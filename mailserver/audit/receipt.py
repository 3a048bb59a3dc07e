"""Receipts: the only way to a key that shows something is through a written log entry (L10).

A ``ReadReceipt`` says "the entry is committed". Only the store may make one, after its commit, with the token that
``receipt_token_for_store`` hands out (the architecture tests allow that call in ``mailserver.store`` alone). It is
bound to account, objects and purpose, and is good once per object. Adoption and indexing have an
``InternalReceipt``: what they open arrives as ``InternalBytes``, which no encoder can write.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

from mailserver.model.errors import Denied
from mailserver.model.ids import AccountId


class Purpose(StrEnum):
    """Why a person is given the means to read."""

    SHOW = "show"
    SEARCH = "search"
    EXPORT = "export"
    SHARE = "share"


class InternalPurpose(StrEnum):
    """Why the server opens something that nobody will see."""

    ADOPT = "adopt"
    INDEX = "index"
    ROTATE = "rotate"


class ReceiptToken:
    """Proof of being the store. There is one per process and it cannot be made elsewhere."""

    __slots__ = ()


_TOKEN = ReceiptToken()


def receipt_token_for_store() -> ReceiptToken:
    """The token that makes receipts. For ``mailserver.store``, which keeps it to itself."""
    return _TOKEN


class ReadReceipt:
    """Single-use leave to open ``objects`` of ``account`` for ``purpose``."""

    __slots__ = ("_account", "_objects", "_purpose")

    def __init__(
        self, token: ReceiptToken, account: AccountId, objects: Iterable[bytes], purpose: Purpose
    ) -> None:
        """Raises Denied("receipt-forged") without the store's token."""
        if token is not _TOKEN:
            raise Denied("receipt-forged")
        self._account = account
        self._objects = set(objects)
        self._purpose = purpose

    def consume(self, account: AccountId, object_id: bytes, purpose: Purpose) -> None:
        """Use the receipt for one object. Raises Denied: "receipt-mismatch", or "receipt-used" for an object
        that it does not name or no longer names. Taking from the set is one atomic step, so two threads cannot
        both pass.
        """
        if account != self._account or purpose is not self._purpose:
            raise Denied("receipt-mismatch")
        try:
            self._objects.remove(object_id)
        except KeyError:
            raise Denied("receipt-used") from None

    def __repr__(self) -> str:
        return "ReadReceipt(…)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """A copy would be a second use: copy, deepcopy and pickle all end here."""
        raise Denied("receipt-copied")


@dataclass(frozen=True, slots=True)
class SealedBytes:
    """What internal work may give back: bytes that are sealed again, and nothing else."""

    raw: bytes


class InternalBytes:
    """Plain bytes opened for internal work. They have no buffer, no ``bytes()``, no length, no text and no copy;
    only ``reseal`` reaches them, and only sealed bytes come out of it.
    """

    __slots__ = ("_plain",)

    def __init__(self, plain: bytes) -> None:
        self._plain = plain

    def reseal(self, work: Callable[[bytes], Sequence[SealedBytes]]) -> tuple[SealedBytes, ...]:
        """Run ``work`` over the plain bytes. Raises Denied("internal-leak") when it returns anything unsealed."""
        sealed = tuple(work(self._plain))
        if any(type(part) is not SealedBytes for part in sealed):
            raise Denied("internal-leak")
        return sealed

    def __repr__(self) -> str:
        return "InternalBytes(…)"

    def __bytes__(self) -> NoReturn:
        raise Denied("internal-leak")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise Denied("internal-leak")


class InternalReceipt:
    """Leave to open one account's objects for work that shows nothing; needs no entry, and writes none."""

    __slots__ = ("_account", "_purpose")

    def __init__(self, account: AccountId, purpose: InternalPurpose) -> None:
        self._account = account
        self._purpose = purpose

    def open_internal(
        self, account: AccountId, purpose: InternalPurpose, unseal: Callable[[], bytes]
    ) -> InternalBytes:
        """Unseal and wrap at once. Raises Denied("receipt-mismatch") before ``unseal`` runs."""
        if account != self._account or purpose is not self._purpose:
            raise Denied("receipt-mismatch")
        return InternalBytes(unseal())

    def __repr__(self) -> str:
        return f"InternalReceipt({self._purpose})"
