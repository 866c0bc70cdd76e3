"""`protect_late`: gangs that have lost much time are not stopped, and grow first."""

import pytest
from policy_kit import HOUR, NOW, Node, decide, expects, job, on, resized, runs, snapshot, stopped

from orchestrator.scheduling.explain.runs import explain_running
from orchestrator.scheduling.jobs import Job, Running
from orchestrator.scheduling.late import is_kept, is_late
from orchestrator.scheduling.layout import Layout
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.spec.policy import Elastic, Order, Policy, Preemption
from orchestrator.spec.presets import preset

POLICY = Policy(
    order=Order(by="shortest"),
    backfill="skip",
    preemption=Preemption(for_whom="earlier", min_run=300.0, returned_after=0.0),
    elastic=Elastic(start="widest", shrink="earlier", grow="order", between=300.0),
    protect_late=12 * HOUR,
)
NODES = tuple(Node(name, 8) for name in "abcdefghijklmnop")
LAYOUT = Layout(NODES)


def gang(fewest: int, most: int, ago: float, at: str, *, worked: float = 0.0, number: int = 1) -> Running:
    """Submitted so many hours ago, it has run for one hour, and needs 100 of them."""
    came = {"submitted": NOW - ago * HOUR, "waits_since": NOW - ago * HOUR}
    base = job(number, fewest, most, estimate=expects(100 * HOUR), worked=worked * HOUR, **came)
    return runs(base, NOW - HOUR, **dict.fromkeys(at, 8))


@pytest.mark.parametrize(
    ("one", "late", "kept"),
    [
        (gang(8, 16, 12.9, "ab"), False, False),  # 12.9 h less the hour that it has run
        (gang(8, 16, 13.1, "ab"), True, True),  # 16 of 128
        (gang(8, 16, 12.9, "a"), True, True),  # half an hour of work at half width
        (gang(8, 16, 20.0, "ab", worked=7.1), False, False),
        (gang(8, 17, 20.0, "ab"), True, False),  # more than an eighth
        (gang(4, 8, 20.0, "a"), False, False),  # one node holds it
    ],
)
def test_who_is_late(one: Running, late: bool, kept: bool) -> None:
    assert is_late(one, LAYOUT, POLICY, NOW) is late
    assert is_kept(one, LAYOUT, POLICY, NOW) is kept
    assert not is_late(one, LAYOUT, POLICY.model_copy(update={"protect_late": None}), NOW)


def full(*others: Running) -> tuple[Running, ...]:
    """All nodes but those that these hold are held by jobs that go before everybody."""
    held = {share.node for run in others for share in run.placement}
    rest = (node.name for node in NODES if node.name not in held)
    return (*others, *(runs(job(100 + n, 8, priority=9), NOW - 2 * HOUR, **{a: 8}) for n, a in enumerate(rest)))


def short(workers: int) -> Job:
    return job(9, workers, submitted=NOW - HOUR, waits_since=NOW - HOUR, estimate=expects(60.0))


def test_a_late_gang_is_shrunk_but_not_stopped() -> None:
    for ago in (10, 20):
        elastic = Snapshot(NOW, NODES, (short(8),), full(gang(8, 16, ago, "ab")))
        assert resized(decide(elastic, POLICY)) == {"j-1": 8}
    early, late = (Snapshot(NOW, NODES, (short(8),), full(gang(16, 16, ago, "ab"))) for ago in (10, 20))
    assert stopped(decide(early, POLICY)) == ["j-1"]
    assert not decide(late, POLICY)


def test_one_that_is_more_than_an_eighth_of_the_cluster_is_stopped() -> None:
    late = Snapshot(NOW, NODES, (short(8),), full(gang(24, 24, 20, "abc")))
    assert stopped(decide(late, POLICY)) == ["j-1"]


@pytest.mark.parametrize("grow", ["order", "fastest"])
def test_a_late_gang_grows_first(grow: str) -> None:
    """The other one needs less, and one more worker makes it faster by more."""
    policy = POLICY.model_copy(update={"elastic": Elastic(grow=grow, between=300.0)})
    other = runs(job(2, 8, 16, submitted=NOW - 2 * HOUR, estimate=expects(10 * HOUR)), NOW - HOUR, b=8)

    def decided(ago: float) -> dict[str, int]:
        return resized(decide(snapshot(gang(8, 24, ago, "a"), other, nodes="abc"), policy))

    assert decided(10) == {"j-2": 16}
    assert decided(20) == {"j-1": 16}


def test_it_is_told() -> None:
    found = Snapshot(NOW, NODES, (), (gang(8, 16, 20, "ab"),))
    told = explain_running(found, POLICY, "j-1")
    assert "may be shrunk to 8 workers" in told
    assert "is not stopped for others: it is larger than a node and has lost more than 12.0 h" in told


def test_it_holds_what_it_held() -> None:
    """A claim elsewhere is possible all the same."""
    other = gang(16, 16, 2, "cd", number=2)
    found = Snapshot(NOW, NODES, (short(8),), full(gang(16, 16, 20, "ab"), other))
    decisions = decide(found, POLICY)
    assert stopped(decisions) == ["j-2"]
    assert decisions.claims[0].placement in (on(c=8), on(d=8))


def test_the_default_protects_after_six_hours() -> None:
    kept = Snapshot(NOW, NODES, (short(16),), full(gang(16, 16, 7.5, "ab")))
    assert not decide(kept, preset("default"))
    assert stopped(decide(kept, preset("default").model_copy(update={"protect_late": None}))) == ["j-1"]
