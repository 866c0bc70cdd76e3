"""The tables. Their history is in `migrations`; a test holds the two together."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

SCHEMA_VERSION = "0009"
"""The newest revision in `migrations/versions`; a store that has it is opened without alembic."""

NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMES)

jobs = Table(
    "jobs",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("name", String(64), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("owner", String(200), nullable=False),
    Column("team", String(64), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("profile", String(64), nullable=False),
    Column("workload", Text, nullable=False),  # the frozen document
    Column("workdir", Text, nullable=False),
    Column("environment", Text, nullable=False, server_default="{}"),  # JSON: of the submitter's shell
    Column("revision", String(64)),
    Column("dirty", Boolean),
    Column("client_key", String(200)),
    Column("content", String(64), nullable=False),  # digest of what was submitted
    Column("depends_on", Text, nullable=False),  # JSON: job identifiers
    Column("workers_min", Integer, nullable=False),
    Column("workers_max", Integer, nullable=False),
    Column("slots_per_worker", Integer, nullable=False),
    Column("token", Integer, nullable=False),  # fencing token of the newest run
    Column("runs", Integer, nullable=False),  # number of the newest run
    Column("failures", Text, nullable=False),  # JSON: failed runs of each class since the last retry by a person
    Column("not_before", Float),
    Column("progress", Text),  # JSON: the newest progress event
    Column("elastic", Boolean, nullable=False, server_default="0"),  # its runs can be resized
    Column("needs", Text, nullable=False, server_default="{}"),  # JSON: of a worker beside its slots, where, array
    Column("time_limit", Float),  # seconds that one run may take
    Column("estimate", Text),  # JSON: seconds of the whole job at workers_max, error
    Column("exponent", Float, nullable=False, server_default="1"),  # of its speed over its workers
    Column("worked", Float, nullable=False, server_default="0"),  # seconds at workers_max that are done and kept
    Column("attained", Float, nullable=False, server_default="0"),  # slot-seconds of its runs, as far as counted
    Column("preemptions", Integer, nullable=False, server_default="0"),
    Column("waits_since", Float, nullable=False, server_default="0"),  # its submit, last preemption or failure
    Column("claim", Text),  # JSON: a placement that is being freed for it
    Column("unchecked", Boolean, nullable=False, server_default="0"),  # queued while the engine did not say what it has
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    UniqueConstraint("owner", "client_key"),
    Index("ix_jobs_queue", "state", "priority", "sequence"),
    Index("ix_jobs_name", "name"),
    Index("ix_jobs_team", "team"),
    sqlite_autoincrement=True,  # a sequence is never given twice, whatever is deleted
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("job", String(64), ForeignKey("jobs.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("token", Integer, nullable=False),
    Column("allocation", String(96), nullable=False, unique=True),
    Column("backend", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("world_size", Integer, nullable=False),  # workers that share its work now
    Column("view", Integer, nullable=False, server_default="0"),  # the epoch of the view that they share it by
    Column("wanted", Integer, nullable=False, server_default="1"),  # workers that it should have
    Column("resizing_from", Integer),  # wanted before, while it is being resized
    Column("resizing_since", Float),
    Column("slots", Integer, nullable=False),  # that are kept for it
    Column("checkpoints_asked", Integer, nullable=False, server_default="0"),
    Column("goodput", Text, nullable=False, server_default="{}"),  # JSON: seconds by what they were spent on
    Column("placement", Text, nullable=False, server_default="[]"),  # JSON: [node, workers] of what is kept for it
    Column("was", Text),  # JSON: where it lay before the resize that is under way
    Column("becomes", Text),  # JSON: where it will lie after it; `placement` holds both
    Column("pinned", Boolean, nullable=False, server_default="0"),  # a person chose its width
    Column("freed_for", String(64)),  # the job that it stops or shrinks for
    Column("worked", Float, nullable=False, server_default="0"),  # the job's work at `counted`
    Column("saved", Float),  # the job's work at its newest checkpoint
    Column("counted", Float),  # up to when its slot-seconds are counted; before that: its creation
    Column("resized_at", Float),
    Column("released", Boolean, nullable=False),  # the engine holds nothing for it any more
    Column("stop_cause", String(16)),  # why the controller asked it to stop
    Column("time_limit", Float),  # seconds that it may run
    Column("cursors", Text, nullable=False),  # JSON: events read so far of each writer
    Column("failure_class", String(16)),
    Column("message", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("told_priority", Integer),  # the job's, as an engine with a queue of its own was told it; NULL: not yet
    Column("told_held", Boolean),  # whether that engine was told to hold it
    UniqueConstraint("job", "number"),
    Index("ix_runs_released", "released"),
    Index("ix_runs_pinned", "job", sqlite_where=text("pinned = 1")),  # few of many
)

allocations = Table(
    "allocations",
    metadata,
    Column("id", String(96), primary_key=True),
    Column("run", String(80), ForeignKey("runs.id"), nullable=False),
    Column("number", Integer, nullable=False),  # from 100 on; 0: what the run began with, once it is asked to leave
    Column("workers", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("stopping", Boolean, nullable=False),  # nobody wants it any more
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),  # the engine started it
    Column("ended_at", Float),
    UniqueConstraint("run", "number"),
    Index("ix_allocations_state", "state"),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("job", String(64), ForeignKey("jobs.id"), nullable=False),
    Column("run", String(80)),
    Column("time", Float, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("message", Text, nullable=False),
    Column("data", Text, nullable=False),  # JSON
    Index("ix_events_job_id", "job", "id"),
    sqlite_autoincrement=True,
)

trials = Table(
    "trials",
    metadata,
    Column("job", String(64), ForeignKey("jobs.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("record", Text, nullable=False),  # JSON: the trial's file
    Column("stamp", String(64), nullable=False),  # of the file that was read
)

nodes = Table(
    "nodes",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("note", Text, nullable=False),
    Column("by", String(200), nullable=False),
    Column("since", Float, nullable=False),
)

usage = Table(
    "usage",
    metadata,
    Column("team", String(64), primary_key=True),
    Column("slot_seconds", Float, nullable=False),  # decayed up to `at`
    Column("at", Float, nullable=False),
)

measurements = Table(
    "measurements",
    metadata,
    Column("run", String(80), primary_key=True),
    Column("trial", Integer, primary_key=True, autoincrement=False),  # of a search; else -1
    Column("workers", Integer, primary_key=True, autoincrement=False),  # the world size that it was measured at
    Column("job", String(64), ForeignKey("jobs.id"), nullable=False),
    Column("kind", String(64), nullable=False),  # of the job
    Column("device", String(200), nullable=False),
    Column("at", Float, nullable=False),
    Column("document", Text, nullable=False),  # JSON: features, amounts, seconds, bytes
    Index("ix_measurements_device", "device", "at"),
)

works = Table(
    "works",
    metadata,
    Column("job", String(64), ForeignKey("jobs.id"), primary_key=True),
    Column("device", String(200), nullable=False),  # that it is meant for
    Column("document", Text, nullable=False),  # JSON: what it has to do, whatever the device
)

lease = Table(
    "lease",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("holder", Text, nullable=False),
    Column("token", Integer, nullable=False),
    Column("acquired_at", Float, nullable=False),
)
