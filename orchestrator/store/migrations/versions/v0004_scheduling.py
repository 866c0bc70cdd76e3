"""0004: jobs know what they have had and need, runs where they lie; nodes that people drained; usage of teams.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Jobs of before have waited since their submit; only trainings can be resized."""
    _jobs()
    _runs()
    op.create_table(
        "nodes",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_nodes")),
    )
    op.create_table(
        "usage",
        sa.Column("team", sa.String(length=64), nullable=False),
        sa.Column("slot_seconds", sa.Float(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("team", name=op.f("pk_usage")),
    )


def _jobs() -> None:
    op.add_column("jobs", sa.Column("elastic", sa.Boolean(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("needs", sa.Text(), nullable=False, server_default="{}"))
    op.add_column("jobs", sa.Column("time_limit", sa.Float()))
    op.add_column("jobs", sa.Column("estimate", sa.Text()))
    op.add_column("jobs", sa.Column("exponent", sa.Float(), nullable=False, server_default="1"))
    op.add_column("jobs", sa.Column("worked", sa.Float(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("attained", sa.Float(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("preemptions", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("waits_since", sa.Float(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("claim", sa.Text()))
    op.execute(
        "UPDATE jobs SET waits_since = created_at, elastic = kind NOT IN ('command') AND kind NOT LIKE '% search'"
    )


def _runs() -> None:
    op.add_column("runs", sa.Column("placement", sa.Text(), nullable=False, server_default="[]"))
    op.add_column("runs", sa.Column("smaller", sa.Text()))
    op.add_column("runs", sa.Column("pinned", sa.Boolean(), nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("freed_for", sa.String(length=64)))
    op.add_column("runs", sa.Column("worked", sa.Float(), nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("saved", sa.Float()))
    op.add_column("runs", sa.Column("counted", sa.Float()))
    op.add_column("runs", sa.Column("resized_at", sa.Float()))
