"""What holds of every explanation, on random clusters under all policies."""

from explained_worlds import policies, snapshots
from hypothesis import given, settings

from orchestrator.lifecycle.reasons import Waiting
from orchestrator.scheduling.explain import explain, explain_all
from orchestrator.scheduling.explain.confirm import starts
from orchestrator.scheduling.fold import decide
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.scheduling.state import State
from orchestrator.spec.policy import Policy

QUICK = settings(max_examples=30, deadline=None)


@QUICK
@given(snapshots(), policies())
def test_every_waiting_job_has_a_reason(snapshot: Snapshot, policy: Policy) -> None:
    found = explain_all(snapshot, policy)
    started = {start.job for start in decide(snapshot, policy).starts}
    assert set(found) == {job.id for job in snapshot.pending}
    assert {job for job, why in found.items() if why.kind is Waiting.STARTS} == started
    assert all(why.text and why.short for why in found.values())


@settings(max_examples=30, deadline=None)
@given(snapshots(), policies())
def test_a_stated_remedy_starts_the_job(snapshot: Snapshot, policy: Policy) -> None:
    state = State.of(snapshot)
    for job in snapshot.pending:
        for remedy in explain(snapshot, policy, job.id).remedies:
            assert starts(*remedy.apply(state, snapshot.now), policy, job.id) is not None, remedy.text


@QUICK
@given(snapshots(), policies())
def test_equal_snapshots_have_equal_reasons_in_whatever_order_they_are_given(
    snapshot: Snapshot, policy: Policy
) -> None:
    turned = Snapshot(
        now=snapshot.now,
        nodes=snapshot.nodes[::-1],
        pending=snapshot.pending[::-1],
        running=snapshot.running[::-1],
        teams=snapshot.teams[::-1],
        usage=snapshot.usage,
        max_workers=snapshot.max_workers,
    )
    assert explain_all(turned, policy) == explain_all(snapshot, policy)
