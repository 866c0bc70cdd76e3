"""0006: older jobs know what they need and how long they may take, runs where a resize begins and ends.

Revision ID: 0006
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_OPEN = "SELECT id, slots_per_worker, workload FROM jobs WHERE needs = '{}' AND finished_at IS NULL"
_FILL = "UPDATE jobs SET needs = :needs, time_limit = coalesce(time_limit, :limit) WHERE id = :id"
_GROWS = "UPDATE runs SET was = smaller, becomes = placement WHERE smaller IS NOT NULL AND wanted > resizing_from"
_SHRINKS = "UPDATE runs SET was = placement, becomes = smaller WHERE smaller IS NOT NULL AND was IS NULL"


def upgrade() -> None:
    """Jobs by their documents; what cannot be read stays as it is. Pinned runs are found at once."""
    op.create_index("ix_runs_pinned", "runs", ["job"], sqlite_where=sa.text("pinned = 1"))
    _resizes()
    connection = op.get_bind()
    for job, slots, text in connection.execute(sa.text(_OPEN)).all():
        try:
            workload = json.loads(text)
            needs = _needs(workload["resources"], slots)
            limit = workload.get("time_limit")
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
        connection.execute(sa.text(_FILL), {"id": job, "needs": json.dumps(needs, sort_keys=True), "limit": limit})


def _resizes() -> None:
    """Of a run in the middle of a resize only the smaller of its two placements was known by that name."""
    op.add_column("runs", sa.Column("was", sa.Text()))
    op.add_column("runs", sa.Column("becomes", sa.Text()))
    op.execute(_GROWS)
    op.execute(_SHRINKS)
    op.drop_column("runs", "smaller")


def _needs(asked: dict[str, Any], slots: int) -> dict[str, Any]:
    """Cores beside slots are asked for where slots are GPUs; where slots are cores they are not counted."""
    gpus = slots == max(1, asked.get("gpus_per_worker", 0))
    stated = {
        "cpus": asked.get("cpus_per_worker", 1) if gpus else 0,
        "memory": asked.get("memory_per_worker", 0),
        "anywhere": asked.get("placement") == "anywhere",
        "gpu_types": asked.get("gpu_types", []),
        "not_on": asked.get("not_on", []),
        "same_rack": asked.get("same_rack", False),
    }
    return {name: value for name, value in stated.items() if value}
