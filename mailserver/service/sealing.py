"""Sealing messages for their place (security.md K12–K14).

While the owner is away a message is sealed to the account's mail key; at the owner's next session it is adopted:
wrapped under the mail key for its exact place. Exchanging any two stored objects makes them fail to open.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from mailserver.crypto.blob import decrypt_blob, encrypt_blob, padme
from mailserver.crypto.ctx import ctx
from mailserver.crypto.hkdf import derive, mac_context, verify_mac
from mailserver.crypto.roots import Root
from mailserver.crypto.seal import KeyPair, read_public_key
from mailserver.crypto.secret import Secret, random_id, random_secret
from mailserver.crypto.slots import open_slot_with
from mailserver.crypto.wrap import Wrapper, unwrap, wrap
from mailserver.model.errors import Corrupt
from mailserver.model.ids import AccountId, BlobId, EmailId, ItemId, MailboxId
from mailserver.service.intake import SharedBlob
from mailserver.store.items import BlobRow, ItemRow, NewItem, Resealed
from mailserver.store.row_macs import RowMacs
from mailserver.store.summary_rows import SummaryRow

SUMMARY_PAD_BYTES = 256


@dataclass(frozen=True, slots=True)
class SealedBlob:
    """Octets sealed under a data key, with what the rows need."""

    data_key: Secret
    row: BlobRow
    padded_bytes: int


@lru_cache(maxsize=256)
def _lead(label: str, account_id: AccountId, mailbox_id: MailboxId) -> bytes:
    return ctx(label, account_id, mailbox_id)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message lies and which message it is: the context that its keys are bound to."""

    account_id: AccountId
    mailbox_id: MailboxId
    uid: int
    item_id: ItemId

    def context(self) -> bytes:
        """AAD of an adopted item (K14)."""
        return self._of("item")

    def summary_context(self) -> bytes:
        return self._of("item-summary")

    def tag_context(self) -> bytes:
        """What the place tag is over (K13)."""
        return self._of("place")

    def _of(self, label: str) -> bytes:
        """``ctx(label, account, mailbox, UID, item)``, of which thousands share the beginning."""
        return _lead(label, self.account_id, self.mailbox_id) + self.uid.to_bytes(8, "big") + self.item_id


@dataclass(frozen=True, slots=True)
class PlaceStamp:
    """What the writer adds when it knows the UID."""

    flags: int
    modseq: int
    received_at: int
    saved_at: int


def seal_octets(data: bytes) -> SealedBlob:
    """A small message under its own fresh data key, for one account's row."""
    blob_id = BlobId(random_id())
    data_key = random_secret()
    octets = encrypt_blob(data_key, blob_id, data)
    row = BlobRow(blob_id, len(octets), sha256(octets).digest(), octets)
    return SealedBlob(data_key, row, padme(len(data)))


def shared_octets(shared: SharedBlob) -> SealedBlob:
    return SealedBlob(shared.data_key, shared.row, shared.padded_bytes)


def pad_summary(summary: bytes) -> bytes:
    """u32 length ‖ summary ‖ zeros to a multiple of 256."""
    plain = len(summary).to_bytes(4, "big") + summary
    return plain + bytes(-len(plain) % SUMMARY_PAD_BYTES)


def unpad_summary(plain: bytes) -> bytes:
    end = 4 + int.from_bytes(plain[:4], "big")
    if end > len(plain):
        raise Corrupt("summary-padding")
    return plain[4:end]


@dataclass(frozen=True, slots=True)
class AwayItem:
    """A message sealed to an absent owner; the writer gives it its place (K13)."""

    account_id: AccountId
    item_id: ItemId
    email_id: EmailId
    blob: SealedBlob
    wrap: bytes
    summary: bytes

    def place(self, macs: RowMacs, mailbox_id: MailboxId, uid: int, stamp: PlaceStamp) -> NewItem:
        place = Place(self.account_id, mailbox_id, uid, self.item_id)
        tag = place_tag(self.blob.data_key, place)
        row_mac = macs.sign("seal", seal_fields(place, self.blob.row.blob_id, (self.wrap, tag, self.summary)))
        return _new_item(place, self.email_id, self.blob, stamp, (self.wrap, tag, self.summary), row_mac)


def seal_for_away(account_id: AccountId, mail_public: bytes, blob: SealedBlob, summary: bytes) -> AwayItem:
    """One HPKE seal per recipient, outside the transaction (about 0.2 ms)."""
    item_id = ItemId(random_id())
    info = ctx("mail", account_id, item_id, blob.row.blob_id)
    sealed_key = read_public_key(mail_public).seal(blob.data_key.reveal(), info)
    sealed_summary = wrap(derive(blob.data_key, "summary"), pad_summary(summary), info)
    return AwayItem(account_id, item_id, EmailId(random_id()), blob, sealed_key, sealed_summary)


def place_tag(data_key: Secret, place: Place) -> bytes:
    """Binds a data key to its place without being able to open anything (K13)."""
    return mac_context(derive(data_key, "place"), place.tag_context())


def seal_fields(place: Place, blob_id: BlobId, sealed: tuple[bytes, bytes, bytes]) -> tuple[bytes | int, ...]:
    """What the row MAC of an unadopted item covers (K23)."""
    return (place.account_id, place.mailbox_id, place.uid, place.item_id, blob_id, *sealed)


class MailKeys:
    """An open account's mail keys: what adopts, opens and reseals its items."""

    def __init__(self, root: Root, epoch: int) -> None:
        self._wrapper = Wrapper(root.wrapping_key(epoch))
        self._pair: Callable[[], KeyPair] = lambda: root.pair(epoch)

    def seal_item(
        self, place: Place, blob: SealedBlob, summary: bytes, stamp: PlaceStamp, email: EmailId
    ) -> NewItem:
        """A message placed by its owner (APPEND, COPY, MOVE): sealed at the UID, inside the writer (K14)."""
        sealed = self.reseal(place, blob.data_key, summary)
        return _new_item(place, email, blob, stamp, (sealed.wrap, sealed.place_tag, sealed.summary), None)

    def reseal(self, place: Place, data_key: Secret, summary: bytes) -> Resealed:
        """Wrap, place tag and summary for an item's exact place (K14)."""
        return Resealed(
            place.uid,
            self._wrapper.wrap(data_key.reveal(), place.context()),
            place_tag(data_key, place),
            self._wrapper.wrap(pad_summary(summary), place.summary_context()),
        )

    def open_key(self, macs: RowMacs, place: Place, row: ItemRow) -> Secret:
        """The data key of an item, adopted or not. Raises Corrupt when anything was altered or exchanged."""
        if row.is_adopted:
            return Secret(self._wrapper.unwrap(row.wrap, place.context()))
        macs.check(
            "seal", seal_fields(place, row.blob_id, (row.wrap, row.place_tag, row.summary)), row.row_mac
        )
        info = ctx("mail", place.account_id, place.item_id, row.blob_id)
        data_key = Secret(self._pair().open(row.wrap, info))
        if not verify_mac(place_tag(data_key, place), row.place_tag):
            raise Corrupt("place-tag")
        return data_key

    def open_summary(self, macs: RowMacs, place: Place, row: ItemRow) -> bytes:
        if row.is_adopted:
            return unpad_summary(self._wrapper.unwrap(row.summary, place.summary_context()))
        data_key = self.open_key(macs, place, row)
        return open_away_summary(place, row, data_key)

    def summary_opener(
        self, account_id: AccountId, mailbox_id: MailboxId
    ) -> Callable[[ItemRow | SummaryRow], bytes]:
        """``open_summary`` for pages of adopted items of one mailbox: their common context is made once."""
        prefix = _lead("item-summary", account_id, mailbox_id)
        unwrap_summary = self._wrapper.unwrap

        def open_one(row: ItemRow | SummaryRow) -> bytes:
            context = prefix + row.uid.to_bytes(8, "big") + row.item_id
            return unpad_summary(unwrap_summary(row.summary, context))

        return open_one

    def open_slot(self, header: bytes, body: bytes) -> bytes:
        """The payload of a slot that was sealed to this account's mail key (K11). Raises Corrupt."""
        return open_slot_with(header, body, self._pair())

    def wrap_record(self, plain: bytes, context: bytes) -> bytes:
        """A record of the account's own (a mailbox's name and keywords)."""
        return self._wrapper.wrap(plain, context)

    def unwrap_record(self, sealed: bytes, context: bytes) -> bytes:
        return self._wrapper.unwrap(sealed, context)


def open_away_summary(place: Place, row: ItemRow, data_key: Secret) -> bytes:
    info = ctx("mail", place.account_id, place.item_id, row.blob_id)
    return unpad_summary(unwrap(derive(data_key, "summary"), row.summary, info))


def open_small(data_key: Secret, blob_id: BlobId, octets: bytes, size_bytes: int) -> bytes:
    """A whole small message, without its padding."""
    return decrypt_blob(data_key, blob_id, octets, size_bytes)


def _new_item(
    place: Place,
    email_id: EmailId,
    blob: SealedBlob,
    stamp: PlaceStamp,
    sealed: tuple[bytes, bytes, bytes],
    row_mac: bytes | None,
) -> NewItem:
    return NewItem(
        place.account_id,
        place.mailbox_id,
        place.uid,
        place.item_id,
        email_id,
        blob.row.blob_id,
        stamp.flags,
        stamp.modseq,
        blob.padded_bytes,
        stamp.received_at,
        stamp.saved_at,
        row_mac is None,
        sealed[0],
        sealed[1],
        sealed[2],
        row_mac,
    )
