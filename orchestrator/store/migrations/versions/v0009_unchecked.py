"""0009: jobs that were queued while the engine did not say what it has.

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Every job of before was checked when it was submitted."""
    op.add_column("jobs", sa.Column("unchecked", sa.Boolean(), nullable=False, server_default="0"))
