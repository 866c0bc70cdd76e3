"""0005: what runs measured of themselves, and what jobs have to do, from which their run times are estimated.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Of runs of before nothing was measured."""
    op.create_table(
        "measurements",
        sa.Column("run", sa.String(length=80), nullable=False),
        sa.Column("trial", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("workers", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("job", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=200), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_measurements_job_jobs")),
        sa.PrimaryKeyConstraint("run", "trial", "workers", name=op.f("pk_measurements")),
    )
    op.create_index("ix_measurements_device", "measurements", ["device", "at"], unique=False)
    op.create_table(
        "works",
        sa.Column("job", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=200), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_works_job_jobs")),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_works")),
    )
