"""members of shared boxes"""

from alembic import op
import sqlalchemy as sa

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('member',
    sa.Column('account_id', sa.LargeBinary(length=16), autoincrement=False, nullable=False),
    sa.Column('person_id', sa.LargeBinary(length=16), autoincrement=False, nullable=False),
    sa.Column('slot_id', sa.LargeBinary(length=16), autoincrement=False, nullable=False),
    sa.Column('log_slot_id', sa.LargeBinary(length=16), autoincrement=False, nullable=True),
    sa.Column('created_at', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('rights', sa.LargeBinary(), nullable=False),
    sa.Column('choices', sa.LargeBinary(), nullable=True),
    sa.Column('row_mac', sa.LargeBinary(length=32), autoincrement=False, nullable=False),
    sa.PrimaryKeyConstraint('account_id', 'person_id', name=op.f('pk_member'))
    )
    with op.batch_alter_table('member', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_member_person_id'), ['person_id'], unique=False)


def downgrade() -> None:
    with op.batch_alter_table('member', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_member_person_id'))

    op.drop_table('member')
