"""0003: runs know how many workers they should have, since when they are being resized, and where their time went.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Runs of before have the workers that they were started with."""
    op.add_column("runs", sa.Column("view", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("wanted", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("runs", sa.Column("resizing_from", sa.Integer()))
    op.add_column("runs", sa.Column("resizing_since", sa.Float()))
    op.add_column("runs", sa.Column("checkpoints_asked", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("goodput", sa.Text(), nullable=False, server_default="{}"))
    op.execute("UPDATE runs SET wanted = world_size")
