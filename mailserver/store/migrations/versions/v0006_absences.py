"""absences, and whom they were told to"""

from alembic import op
import sqlalchemy as sa

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('absence',
    sa.Column('account_id', sa.LargeBinary(length=16), autoincrement=False, nullable=False),
    sa.Column('absence_id', sa.LargeBinary(length=16), autoincrement=False, nullable=False),
    sa.Column('ends_at', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('record', sa.LargeBinary(), nullable=False),
    sa.Column('row_mac', sa.LargeBinary(length=32), autoincrement=False, nullable=False),
    sa.PrimaryKeyConstraint('account_id', name=op.f('pk_absence'))
    )
    op.create_table('absence_reply',
    sa.Column('account_id', sa.LargeBinary(length=16), autoincrement=False, nullable=False),
    sa.Column('mark', sa.LargeBinary(length=32), autoincrement=False, nullable=False),
    sa.Column('replied_at', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('expires_at', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.PrimaryKeyConstraint('account_id', 'mark', name=op.f('pk_absence_reply')),
    sqlite_with_rowid=False
    )
    with op.batch_alter_table('absence_reply', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_absence_reply_expires_at'), ['expires_at'], unique=False)


def downgrade() -> None:
    with op.batch_alter_table('absence_reply', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_absence_reply_expires_at'))

    op.drop_table('absence_reply')
    op.drop_table('absence')
