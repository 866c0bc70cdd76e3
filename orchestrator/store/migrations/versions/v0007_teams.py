"""0007: whether a team has jobs is found at once.

Revision ID: 0007
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Every submit asks for it where the profile names no teams."""
    op.create_index("ix_jobs_team", "jobs", ["team"])
