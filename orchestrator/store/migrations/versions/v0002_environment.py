"""0002: jobs keep what a command takes over from the shell that it was submitted from.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Jobs of before go on with the server's environment."""
    op.add_column("jobs", sa.Column("environment", sa.Text(), nullable=False, server_default="{}"))
