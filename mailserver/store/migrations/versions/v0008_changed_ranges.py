"""changed_range in place of the index on mod-sequences; what changed before is not known: every UID may have"""

from alembic import op
import sqlalchemy as sa

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('changed_range',
    sa.Column('account_id', sa.LargeBinary(length=16), autoincrement=False, nullable=False),
    sa.Column('mailbox_id', sa.LargeBinary(length=16), autoincrement=False, nullable=False),
    sa.Column('modseq', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('first_uid', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('last_uid', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.PrimaryKeyConstraint('account_id', 'mailbox_id', 'modseq', 'first_uid', name=op.f('pk_changed_range')),
    sqlite_with_rowid=False
    )
    op.execute(
        'INSERT INTO changed_range (account_id, mailbox_id, modseq, first_uid, last_uid) '
        'SELECT account_id, mailbox_id, highestmodseq, 1, 4294967295 FROM mailbox'
    )
    op.drop_index('ix_item_account_id_mailbox_id_modseq', table_name='item')


def downgrade() -> None:
    op.create_index('ix_item_account_id_mailbox_id_modseq', 'item', ['account_id', 'mailbox_id', 'modseq'], unique=False)
    op.drop_table('changed_range')
