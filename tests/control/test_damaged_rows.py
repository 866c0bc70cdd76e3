"""What people can ask of, and do to, jobs of which the store holds a damaged row; others are not touched."""

import pytest
from sqlalchemy import update

from orchestrator.base.errors import DamagedRow
from orchestrator.control.questions import Questions
from orchestrator.store import tables
from orchestrator.testing.world import World


@pytest.fixture
def questions(world: World) -> Questions:
    return Questions(world.service.site)


def damage(world: World, job: str, column: str, value: object, *, of_run: bool = False) -> None:
    table, key = (tables.runs, tables.runs.c.job) if of_run else (tables.jobs, tables.jobs.c.id)
    with world.store.write() as connection:
        connection.execute(update(table).where(key == job).values({column: value}))


@pytest.mark.parametrize(
    ("column", "value"),
    [("failures", "{garbage"), ("environment", "nul"), ("claim", "[7]"), ("priority", "high"), ("depends_on", "[7")],
)
def test_a_list_of_jobs_holds_what_is_known_of_a_damaged_one(world: World, column: str, value: str) -> None:
    first, bad, last = world.submit(name="first"), world.submit(name="bad"), world.submit(name="last")
    damage(world, bad, column, value)
    views = world.service.list()
    assert [(view.id, view.name, view.state) for view in views] == [
        (last, "last", "queued"),
        (bad, "bad", "queued"),
        (first, "first", "queued"),
    ]
    assert views[1].reason.startswith(f"the store's row of job {bad} cannot be read (")
    assert [view.id for view in world.service.list(name="bad", limit=1)] == [bad]
    assert world.service.get(bad) == views[1]
    assert world.service.resolve("first") == first


def test_a_job_whose_dependencies_cannot_be_read_waits_and_holds_up_nobody(world: World, questions: Questions) -> None:
    bad, good = world.submit(), world.submit()
    damage(world, bad, "depends_on", "[garbage")
    world.step(20)
    assert world.state(good) == "succeeded"
    (line,) = questions.queue().waiting
    assert (line.job, line.reason) == (bad, "after what its damaged row names")


def test_what_changes_a_damaged_job_says_what_is_wrong(world: World) -> None:
    bad = world.submit()
    damage(world, bad, "failures", "{garbage")
    with pytest.raises(DamagedRow, match=f"row of job {bad} cannot be read") as refused:
        world.service.cancel(bad)
    assert "from a backup" in refused.value.hint


def test_a_job_whose_run_is_damaged_can_be_cancelled_and_asked_about(world: World, questions: Questions) -> None:
    job = world.submit("start", *["wait"] * 20, "succeed")
    world.step(3)
    damage(world, job, "cursors", "{garbage", of_run=True)
    assert world.service.cancel(job).state == "cancelling"
    assert questions.why(job).state == "cancelling"
    with world.store.read() as connection:
        assert connection.scalars(tables.runs.select().with_only_columns(tables.runs.c.stop_cause)).all() == ["cancel"]
    damage(world, job, "cursors", "{}", of_run=True)
    world.finish()
    assert world.state(job) == "cancelled"
