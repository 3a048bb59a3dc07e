"""text segments: the sealed index that SEARCH TEXT reads"""

from alembic import op
import sqlalchemy as sa

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('text_segment',
    sa.Column('account_id', sa.LargeBinary(length=16), autoincrement=False, nullable=False),
    sa.Column('mailbox_id', sa.LargeBinary(length=16), autoincrement=False, nullable=False),
    sa.Column('first_uid', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('last_uid', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('segment_id', sa.LargeBinary(length=16), autoincrement=False, nullable=False),
    sa.Column('stored_bytes', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('octets', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('account_id', 'mailbox_id', 'first_uid', name=op.f('pk_text_segment'))
    )


def downgrade() -> None:
    op.drop_table('text_segment')
