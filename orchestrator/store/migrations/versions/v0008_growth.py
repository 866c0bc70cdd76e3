"""0008: runs grow by allocations of their own; what an engine with a queue was told of a run's standing.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """No run of before has either."""
    op.add_column("runs", sa.Column("told_priority", sa.Integer()))
    op.add_column("runs", sa.Column("told_held", sa.Boolean()))
    op.create_table(
        "allocations",
        sa.Column("id", sa.String(length=96), nullable=False),
        sa.Column("run", sa.String(length=80), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("workers", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("stopping", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("started_at", sa.Float()),
        sa.Column("ended_at", sa.Float()),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name=op.f("fk_allocations_run_runs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_allocations")),
        sa.UniqueConstraint("run", "number", name=op.f("uq_allocations_run")),
    )
    op.create_index("ix_allocations_state", "allocations", ["state"])
