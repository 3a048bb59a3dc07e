"""The store as one value: database, writer, blob folder and the row families, opened together."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mailserver.crypto.secret import Secret
from mailserver.model.errors import Unavailable
from mailserver.store.absence_rows import AbsenceStore
from mailserver.store.accounts import AccountStore
from mailserver.store.blob_folder import BlobFolder
from mailserver.store.database import Database
from mailserver.store.jobs import JobStore
from mailserver.store.kept_rows import KeptStore
from mailserver.store.members import MemberStore
from mailserver.store.row_macs import RowMacs
from mailserver.store.sent_recipients import SentRecipientStore
from mailserver.store.sent_rows import SentStore
from mailserver.store.space_rows import SpaceStore
from mailserver.store.web_rows import WebStore
from mailserver.store.writer import Writer


@dataclass(frozen=True, slots=True)
class Store:
    database: Database
    writer: Writer
    blobs: BlobFolder
    macs: RowMacs
    accounts: AccountStore
    members: MemberStore
    absences: AbsenceStore
    space: SpaceStore
    web: WebStore
    jobs: JobStore
    sent: SentStore
    kept: KeptStore
    sent_recipients: SentRecipientStore

    def close(self) -> None:
        """Commit what waits, then let go of the database."""
        self.writer.close()
        self.database.close()


def open_store(
    url: str, data_folder: Path, row_key: Secret, on_failure: Callable[[Unavailable], None] | None = None
) -> Store:
    """Open the store of one data folder; the schema exists already (``migrations.upgrade``)."""
    database = Database(url)
    macs = RowMacs(row_key)
    return Store(
        database,
        Writer(database, on_failure),
        BlobFolder(data_folder / "blobs", on_failure),
        macs,
        AccountStore(macs),
        MemberStore(macs),
        AbsenceStore(macs),
        SpaceStore(macs),
        WebStore(macs),
        JobStore(macs),
        SentStore(macs),
        KeptStore(macs),
        SentRecipientStore(macs),
    )
