"""Every table of Pli. Each per-account table has ``account_id`` first in its primary key, so that it can be
partitioned by account; times are whole seconds since the epoch (UTC); ids are 16 random bytes.

Three tables carry the mail: ``item`` is narrow (flags change there), ``seal`` is the key table that shredding
vacuums, ``blob`` holds the sealed octets or says that they are a file.
"""

from sqlalchemy import BigInteger, Boolean, Index, Integer, LargeBinary, String, Table

from mailserver.store import columns, sent_tables
from mailserver.store.columns import Id, clear, key, person_sealed, register, service_sealed

metadata = columns.metadata

account = Table(
    "account",
    metadata,
    key("account_id", Id),
    clear("kind", String(8)),
    clear("state", String(12)),
    clear("created_at", BigInteger()),
    clear("epoch", Integer()),
    clear("pseudonym", Id),
    clear("mail_public", LargeBinary()),
    clear("space_public", LargeBinary()),
    clear("signing_public", LargeBinary()),
    service_sealed("profile"),
    service_sealed("second_factor", nullable=True),
    clear("row_mac", LargeBinary(32)),
)

counter = Table(
    "counter",
    metadata,
    key("account_id", Id),
    clear("modseq", BigInteger()),
    clear("revocation", BigInteger()),
)

address = Table(
    "address",
    metadata,
    key("address_mac", LargeBinary(32)),
    clear("account_id", Id),
    service_sealed("address"),
    clear("row_mac", LargeBinary(32)),
    Index(None, "account_id"),
)

identity = Table(
    "identity",
    metadata,
    key("ins_mac", LargeBinary(32)),
    clear("account_id", Id),
    clear("row_mac", LargeBinary(32)),
    Index(None, "account_id"),
)

slot = Table(
    "slot",
    metadata,
    key("account_id", Id),
    key("slot_id", Id),
    clear("kind", String(16)),
    clear("scope", String(16)),
    clear("tag_mac", LargeBinary(32), nullable=True),
    clear("header", LargeBinary()),
    clear("body", LargeBinary()),
    clear("created_at", BigInteger()),
    clear("expires_at", BigInteger(), nullable=True),
    clear("row_mac", LargeBinary(32)),
    Index(None, "account_id", "tag_mac"),
)

member = Table(
    "member",
    metadata,
    key("account_id", Id),
    key("person_id", Id),
    clear("slot_id", Id),
    clear("log_slot_id", Id, nullable=True),
    clear("created_at", BigInteger()),
    service_sealed("rights"),
    person_sealed("choices", nullable=True),
    clear("row_mac", LargeBinary(32)),
    Index(None, "person_id"),
)
"""Who works in a shared box (K11). ``account_id`` is the box; ``choices`` is sealed to the person."""

absence = Table(
    "absence",
    metadata,
    key("account_id", Id),
    clear("absence_id", Id),
    clear("ends_at", BigInteger()),
    service_sealed("record"),
    clear("row_mac", LargeBinary(32)),
)
"""When an account's messages are not read, and what is said meanwhile: readable while its holder is away."""

absence_reply = Table(
    "absence_reply",
    metadata,
    key("account_id", Id),
    key("mark", LargeBinary(32)),
    clear("replied_at", BigInteger()),
    clear("expires_at", BigInteger()),
    Index(None, "expires_at"),
    sqlite_with_rowid=False,
)

mailbox = Table(
    "mailbox",
    metadata,
    key("account_id", Id),
    key("mailbox_id", Id),
    clear("role", String(12)),
    clear("uidvalidity", BigInteger()),
    clear("uidnext", BigInteger()),
    clear("highestmodseq", BigInteger()),
    clear("exists_count", BigInteger()),
    clear("unseen_count", BigInteger()),
    clear("deleted_count", BigInteger()),
    clear("padded_bytes", BigInteger()),
    clear("first_recent_uid", BigInteger()),
    clear("unadopted_count", BigInteger()),
    clear("created_at", BigInteger()),
    person_sealed("record", nullable=True),
)

item = Table(
    "item",
    metadata,
    key("account_id", Id),
    key("mailbox_id", Id),
    key("uid", BigInteger()),
    clear("item_id", Id),
    clear("email_id", Id),
    clear("blob_id", Id),
    clear("flags", BigInteger()),
    clear("modseq", BigInteger()),
    clear("padded_bytes", BigInteger()),
    clear("received_at", BigInteger()),
    clear("saved_at", BigInteger()),
    clear("is_adopted", Boolean()),
    Index(None, "account_id", "blob_id"),
    sqlite_with_rowid=False,
)

seal = Table(
    "seal",
    metadata,
    key("account_id", Id),
    key("mailbox_id", Id),
    key("uid", BigInteger()),
    person_sealed("wrap"),
    clear("place_tag", LargeBinary(32)),
    person_sealed("summary"),
    clear("row_mac", LargeBinary(32), nullable=True),
)

blob = Table(
    "blob",
    metadata,
    key("account_id", Id),
    key("blob_id", Id),
    clear("stored_bytes", BigInteger()),
    clear("digest", LargeBinary(32)),
    person_sealed("octets", nullable=True),
    Index(None, "blob_id"),
)

changed_range = Table(
    "changed_range",
    metadata,
    key("account_id", Id),
    key("mailbox_id", Id),
    key("modseq", BigInteger()),
    key("first_uid", BigInteger()),
    clear("last_uid", BigInteger()),
    sqlite_with_rowid=False,
)

tombstone = Table(
    "tombstone",
    metadata,
    key("account_id", Id),
    key("mailbox_id", Id),
    key("uid", BigInteger()),
    clear("modseq", BigInteger()),
    Index(None, "account_id", "mailbox_id", "modseq"),
    sqlite_with_rowid=False,
)

text_segment = Table(
    "text_segment",
    metadata,
    key("account_id", Id),
    key("mailbox_id", Id),
    key("first_uid", BigInteger()),
    clear("last_uid", BigInteger()),
    clear("segment_id", Id),
    clear("stored_bytes", BigInteger()),
    person_sealed("octets"),
)

delivery = Table(
    "delivery",
    metadata,
    key("account_id", Id),
    key("fingerprint", LargeBinary(32)),
    clear("created_at", BigInteger()),
    Index(None, "created_at"),
    sqlite_with_rowid=False,
)

document = Table(
    "document",
    metadata,
    key("account_id", Id),
    key("document_id", Id),
    clear("blob_id", Id),
    clear("filed_at", BigInteger()),
    clear("padded_bytes", BigInteger()),
    person_sealed("wrap"),
    person_sealed("record"),
    clear("row_mac", LargeBinary(32)),
    Index(None, "account_id", "filed_at"),
)

kept = Table(
    "kept",
    metadata,
    key("account_id", Id),
    key("kept_id", Id),
    clear("blob_id", Id),
    clear("created_at", BigInteger()),
    clear("expires_at", BigInteger()),
    clear("padded_bytes", BigInteger()),
    person_sealed("contents"),
    person_sealed("record"),
    clear("row_mac", LargeBinary(32)),
    Index(None, "kept_id"),
    Index(None, "expires_at"),
)
"""Files of large mail that stay here (ADR 0016). ``account_id`` is the sender, to whom ``record`` is sealed; ``contents``
opens with the code that travels in the message, and with nothing that is here.
"""

set_aside = Table(
    "set_aside",
    metadata,
    key("account_id", Id),
    key("case_id", Id),
    clear("created_at", BigInteger()),
    person_sealed("record"),
    clear("row_mac", LargeBinary(32)),
)

contact = Table(
    "contact",
    metadata,
    key("account_id", Id),
    key("contact_id", Id),
    clear("sequence", BigInteger()),
    clear("created_at", BigInteger()),
    person_sealed("record"),
    clear("row_mac", LargeBinary(32)),
)

log_head = Table(
    "log_head",
    metadata,
    key("account_id", Id),
    clear("sequence", BigInteger()),
    clear("leaf_hash", LargeBinary(32)),
    clear("row_mac", LargeBinary(32)),
)

log_entry = Table(
    "log_entry",
    metadata,
    key("account_id", Id),
    key("sequence", BigInteger()),
    clear("entry_id", Id),
    clear("created_at", BigInteger()),
    clear("leaf", LargeBinary()),
    clear("leaf_index", BigInteger(), nullable=True),
    person_sealed("entry"),
)

log_pending = Table(
    "log_pending",
    metadata,
    key("account_id", Id),
    key("sequence", BigInteger()),
    clear("created_at", BigInteger()),
    clear("leaf", LargeBinary()),
    clear("row_mac", LargeBinary(32)),
)

log_tile = Table(
    "log_tile",
    metadata,
    key("level", Integer()),
    key("position", BigInteger()),
    clear("hashes", LargeBinary()),
)

log_checkpoint = Table(
    "log_checkpoint",
    metadata,
    key("tree_size", BigInteger()),
    clear("created_at", BigInteger()),
    clear("note", LargeBinary()),
)

lease = Table(
    "lease",
    metadata,
    key("name", String(32)),
    clear("holder", Id),
    clear("fence", BigInteger()),
    clear("until", BigInteger()),
    clear("row_mac", LargeBinary(32)),
)

job = Table(
    "job",
    metadata,
    key("job_id", Id),
    clear("account_id", Id),
    clear("lane", String(12)),
    clear("state", String(12)),
    clear("next_hop", String(255)),
    clear("created_at", BigInteger()),
    clear("next_try_at", BigInteger()),
    clear("expires_at", BigInteger()),
    clear("lease_until", BigInteger()),
    clear("lease_holder", Id, nullable=True),
    clear("attempts", Integer()),
    clear("delay_noticed", Boolean()),
    clear("key_epoch", BigInteger()),
    clear("blob_id", Id, nullable=True),
    service_sealed("order"),
    clear("row_mac", LargeBinary(32)),
    Index(None, "state", "lane", "next_try_at"),
    Index(None, "account_id"),
)

attempt = Table(
    "attempt",
    metadata,
    key("job_id", Id),
    key("number", Integer()),
    clear("at", BigInteger()),
    clear("result", String(32)),
    clear("reply_code", Integer()),
)

sent = sent_tables.sent
sent_recipient = sent_tables.sent_recipient

session = Table(
    "session",
    metadata,
    key("account_id", Id),
    key("session_id", Id),
    clear("created_at", BigInteger()),
    clear("seen_at", BigInteger()),
    clear("expires_at", BigInteger()),
    clear("hour", BigInteger()),
    clear("factor", String(16)),
    person_sealed("keys"),
    clear("row_mac", LargeBinary(32)),
)

code = Table(
    "code",
    metadata,
    key("account_id", Id),
    key("purpose", String(16)),
    clear("verifier", LargeBinary(32)),
    clear("tries_left", Integer()),
    clear("expires_at", BigInteger()),
    clear("sent_at", BigInteger()),
    clear("sent_in_hour", Integer()),
    clear("hour_started_at", BigInteger()),
    clear("row_mac", LargeBinary(32)),
)

register(metadata)
