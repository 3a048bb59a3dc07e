"""sent: what each account sent, sealed to it, found by its Message-ID"""

from alembic import op
import sqlalchemy as sa

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('sent',
    sa.Column('account_id', sa.LargeBinary(length=16), autoincrement=False, nullable=False),
    sa.Column('sent_id', sa.LargeBinary(length=16), autoincrement=False, nullable=False),
    sa.Column('message_mac', sa.LargeBinary(length=32), autoincrement=False, nullable=False),
    sa.Column('created_at', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('record', sa.LargeBinary(), nullable=False),
    sa.Column('row_mac', sa.LargeBinary(length=32), autoincrement=False, nullable=False),
    sa.PrimaryKeyConstraint('account_id', 'sent_id', name=op.f('pk_sent'))
    )
    with op.batch_alter_table('sent', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_sent_account_id_message_mac'), ['account_id', 'message_mac'], unique=False)
        batch_op.create_index(batch_op.f('ix_sent_created_at'), ['created_at'], unique=False)


def downgrade() -> None:
    with op.batch_alter_table('sent', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_sent_created_at'))
        batch_op.drop_index(batch_op.f('ix_sent_account_id_message_mac'))

    op.drop_table('sent')
