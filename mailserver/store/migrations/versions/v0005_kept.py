"""kept: files of large mail that stay with their sender's operator"""

from alembic import op
import sqlalchemy as sa

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('kept',
    sa.Column('account_id', sa.LargeBinary(length=16), autoincrement=False, nullable=False),
    sa.Column('kept_id', sa.LargeBinary(length=16), autoincrement=False, nullable=False),
    sa.Column('blob_id', sa.LargeBinary(length=16), autoincrement=False, nullable=False),
    sa.Column('created_at', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('expires_at', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('padded_bytes', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('contents', sa.LargeBinary(), nullable=False),
    sa.Column('record', sa.LargeBinary(), nullable=False),
    sa.Column('row_mac', sa.LargeBinary(length=32), autoincrement=False, nullable=False),
    sa.PrimaryKeyConstraint('account_id', 'kept_id', name=op.f('pk_kept'))
    )
    with op.batch_alter_table('kept', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_kept_expires_at'), ['expires_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_kept_kept_id'), ['kept_id'], unique=False)


def downgrade() -> None:
    with op.batch_alter_table('kept', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_kept_kept_id'))
        batch_op.drop_index(batch_op.f('ix_kept_expires_at'))

    op.drop_table('kept')
