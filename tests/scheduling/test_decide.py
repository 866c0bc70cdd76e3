"""Strict FIFO with priorities and gangs."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.lifecycle.reasons import Waiting
from orchestrator.scheduling.interim.decide import Policy, decide, next_time
from orchestrator.scheduling.interim.decisions import Start
from orchestrator.scheduling.interim.snapshot import Cluster, PendingJob, RunningJob, Snapshot

FIFO = Policy()


def snapshot(free: int, *pending: PendingJob, slots: int = 8, running: tuple[RunningJob, ...] = ()) -> Snapshot:
    return Snapshot(now=1000.0, cluster=Cluster(slots, free, slots), pending=pending, running=running)


def job(number: int, workers: int = 1, most: int | None = None, **more: object) -> PendingJob:
    base = PendingJob(f"j-{number}", number, workers_min=workers, workers_max=most or workers)
    return replace(base, **more)  # type: ignore[arg-type]


def kinds(found: Snapshot, policy: Policy = FIFO) -> dict[str, Waiting]:
    return {wait.job: wait.reason.kind for wait in decide(found, policy).waits}


def test_jobs_start_in_the_order_of_submission() -> None:
    decisions = decide(snapshot(2, job(3), job(1), job(2)), FIFO)
    assert [start.job for start in decisions.starts] == ["j-1", "j-2"]


def test_a_higher_priority_goes_first() -> None:
    assert [s.job for s in decide(snapshot(1, job(1), job(2, priority=1)), FIFO).starts] == ["j-2"]


def test_the_first_job_that_does_not_fit_holds_back_all_after_it() -> None:
    found = snapshot(2, job(1, 4), job(2, 1))
    assert decide(found, FIFO).starts == ()
    assert kinds(found) == {"j-1": Waiting.SLOTS, "j-2": Waiting.TURN}


def test_an_elastic_job_gets_as_many_workers_as_fit() -> None:
    assert decide(snapshot(5, job(1, 2, 8)), FIFO).starts == (Start("j-1", 5, 5),)
    assert decide(snapshot(8, job(1, 2, 4)), FIFO).starts == (Start("j-1", 4, 4),)


def test_workers_of_several_slots_are_never_split() -> None:
    assert decide(snapshot(7, job(1, 1, 8, slots_per_worker=2)), FIFO).starts == (Start("j-1", 3, 6),)


def test_jobs_that_cannot_run_yet_hold_nobody_back() -> None:
    waiting = [
        job(1, not_before=2000.0),
        job(2, waits_for=("j-9",)),
        job(3, 99),
        job(4, releasing=True),
    ]
    found = snapshot(1, *waiting, job(5))
    assert [s.job for s in decide(found, FIFO).starts] == ["j-5"]
    assert kinds(found) == {
        "j-1": Waiting.BACKOFF,
        "j-2": Waiting.DEPENDENCY,
        "j-3": Waiting.TOO_LARGE,
        "j-4": Waiting.RELEASE,
    }
    assert next_time(decide(found, FIFO)) == 2000.0


def test_a_back_off_that_is_over_does_not_count() -> None:
    assert [s.job for s in decide(snapshot(1, job(1, not_before=1000.0), job(2)), FIFO).starts] == ["j-1"]


def test_the_limit_of_the_profile_holds() -> None:
    policy = Policy(max_workers=3)
    assert decide(snapshot(8, job(1, 1, 8)), policy).starts == (Start("j-1", 3, 3),)
    assert kinds(snapshot(8, job(1, 4)), policy) == {"j-1": Waiting.TOO_LARGE}


def test_the_reason_has_numbers_and_names_who_holds_slots() -> None:
    found = snapshot(1, job(2), job(3, 4), slots=4, running=(RunningJob("j-1", 3, 0.0),))
    (wait,) = decide(found, FIFO).waits
    assert wait.reason.text == (
        "needs 4 cpu slots; 0 of 4 free; j-1 holds 3 since 1970-01-01 00:00:00 UTC, "
        "j-2 holds 1 since 1970-01-01 00:16:40 UTC"
    )


PENDING = st.builds(
    lambda n, low, more, per, priority, late, dep, rel: PendingJob(
        f"j-{n}", n, priority, low, low + more, per, 2000.0 if late else None, 1, ("j-x",) if dep else (), rel
    ),
    st.integers(1, 10_000),
    st.integers(1, 6),
    st.integers(0, 6),
    st.integers(1, 3),
    st.integers(-1, 1),
    *[st.sampled_from([False, False, False, True])] * 3,
)
SNAPSHOTS = st.builds(
    lambda slots, held, pending: Snapshot(1000.0, Cluster(slots, max(0, slots - held), slots), tuple(pending)),
    st.integers(0, 16),
    st.integers(0, 16),
    st.lists(PENDING, max_size=15, unique_by=lambda j: j.sequence),
)


@given(SNAPSHOTS, st.randoms())
def test_every_pending_job_gets_exactly_one_decision_whatever_the_order(found: Snapshot, random: object) -> None:
    decisions = decide(found, FIFO)
    decided = [start.job for start in decisions.starts] + [wait.job for wait in decisions.waits]
    assert sorted(decided) == sorted(j.job for j in found.pending)
    shuffled = list(found.pending)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert decide(replace(found, pending=tuple(shuffled)), FIFO) == decisions


@given(SNAPSHOTS)
def test_gangs_start_whole_within_their_range_and_nothing_is_given_twice(found: Snapshot) -> None:
    jobs = {j.job: j for j in found.pending}
    starts = decide(found, FIFO).starts
    assert sum(start.slots for start in starts) <= found.cluster.free
    for start in starts:
        job = jobs[start.job]
        assert job.workers_min <= start.workers <= job.workers_max
        assert start.slots == start.workers * job.slots_per_worker


@given(SNAPSHOTS)
def test_nobody_overtakes_a_job_that_waits_for_slots(found: Snapshot) -> None:
    order = {j.job: j.order for j in found.pending}
    decisions = decide(found, FIFO)
    blocked = [order[w.job] for w in decisions.waits if w.reason.kind in {Waiting.SLOTS, Waiting.TURN}]
    assert all(order[start.job] < min(blocked) for start in decisions.starts if blocked)
    assert all(wait.reason.text for wait in decisions.waits)
