"""The tables of sent messages (``schema`` has the others): one row a sending, one row a followed recipient of it."""

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, String, Table

from mailserver.store.columns import Id, clear, key, metadata, person_sealed, service_sealed

sent = Table(
    "sent",
    metadata,
    key("account_id", Id),
    key("sent_id", Id),
    clear("message_mac", LargeBinary(32)),
    clear("created_at", BigInteger()),
    person_sealed("record"),
    clear("row_mac", LargeBinary(32)),
    Index(None, "account_id", "message_mac"),
    Index(None, "created_at"),
)

sent_recipient = Table(
    "sent_recipient",
    metadata,
    key("account_id", Id),
    key("sent_id", Id),
    key("position", Integer()),
    clear("recipient_mac", LargeBinary(32)),
    clear("job_id", Id, nullable=True),
    clear("state", String(12)),
    clear("expected", String(12)),
    clear("code", Integer()),
    clear("changed_at", BigInteger()),
    clear("due_at", BigInteger(), nullable=True),
    clear("told_at", BigInteger(), nullable=True),
    service_sealed("order"),
    clear("row_mac", LargeBinary(32)),
    Index(None, "due_at"),
    Index(None, "job_id"),
)
