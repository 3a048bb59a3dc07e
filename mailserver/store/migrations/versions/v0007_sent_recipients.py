"""sent_recipient: what notices say of each recipient of a sent message, and until when one is waited for"""

from alembic import op
import sqlalchemy as sa

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('sent_recipient',
    sa.Column('account_id', sa.LargeBinary(length=16), autoincrement=False, nullable=False),
    sa.Column('sent_id', sa.LargeBinary(length=16), autoincrement=False, nullable=False),
    sa.Column('position', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('recipient_mac', sa.LargeBinary(length=32), autoincrement=False, nullable=False),
    sa.Column('job_id', sa.LargeBinary(length=16), autoincrement=False, nullable=True),
    sa.Column('state', sa.String(length=12), autoincrement=False, nullable=False),
    sa.Column('expected', sa.String(length=12), autoincrement=False, nullable=False),
    sa.Column('code', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('changed_at', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('due_at', sa.BigInteger(), autoincrement=False, nullable=True),
    sa.Column('told_at', sa.BigInteger(), autoincrement=False, nullable=True),
    sa.Column('order', sa.LargeBinary(), nullable=False),
    sa.Column('row_mac', sa.LargeBinary(length=32), autoincrement=False, nullable=False),
    sa.PrimaryKeyConstraint('account_id', 'sent_id', 'position', name=op.f('pk_sent_recipient'))
    )
    with op.batch_alter_table('sent_recipient', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_sent_recipient_due_at'), ['due_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_sent_recipient_job_id'), ['job_id'], unique=False)


def downgrade() -> None:
    with op.batch_alter_table('sent_recipient', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_sent_recipient_job_id'))
        batch_op.drop_index(batch_op.f('ix_sent_recipient_due_at'))

    op.drop_table('sent_recipient')
