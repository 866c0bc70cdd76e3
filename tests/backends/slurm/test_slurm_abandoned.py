"""What Slurm would hold until its time is up although nobody works in it."""

from dataclasses import replace

import pytest
from backend_kit import Site

from orchestrator.backends.protocol import AllocationState, LaunchRequest, Observation, Terms
from orchestrator.backends.slurm import SlurmBackend
from orchestrator.rundir.allocations import agent_writer
from orchestrator.rundir.events import EventWriter


def launched(site: Site, backend: SlurmBackend) -> LaunchRequest:
    """A run on four nodes, each with an agent."""
    request = replace(site.request(workers=2), terms=Terms(2, 2))
    backend.launch(request)
    for place in range(4):
        EventWriter(request.directory, agent_writer(place), 1).append("agent_started", node=f"n{place + 1}")
    return request


def ends(request: LaunchRequest, *places: int) -> None:
    for place in places:
        EventWriter(request.directory, agent_writer(place), 1).append("agent_finished", outcome="failed")


def minutes(site: Site, backend: SlurmBackend, request: LaunchRequest, nodes: tuple[str, ...]) -> list[str]:
    """What Slurm is told in the minutes that follow, while it says that these nodes are left."""
    site.watch.seen[request.allocation] = Observation(AllocationState.RUNNING, engine_id="101", nodes=nodes)
    for _ in range(6):
        backend.observe([request.allocation])
        site.clock.advance(30)
    return site.calls("scancel")


def test_two_nodes_are_lost_and_the_others_have_ended(site: Site) -> None:
    backend = site.backend()
    request = launched(site, backend)
    ends(request, 2, 3)
    assert minutes(site, backend, request, ("n3", "n4"))[0] == f"scancel --name={request.allocation} 101"
    site.watch.seen[request.allocation] = Observation(AllocationState.ENDED, "permanent", "cancelled")
    over = backend.observe([request.allocation])[request.allocation]
    assert over.failure_class == "infrastructure"
    assert "batch step was lost" in over.detail


@pytest.mark.parametrize(
    ("ended", "nodes"),
    [((2,), ("n3", "n4")), ((1, 2, 3), ("n1", "n2", "n3", "n4")), ((2, 3), ("n2", "n3", "n4")), ((), ())],
    ids=["one is at work", "the batch step lives", "one may be at work", "Slurm names no nodes"],
)
def test_it_is_left_alone_while_anybody_may_be_at_work(
    site: Site, ended: tuple[int, ...], nodes: tuple[str, ...]
) -> None:
    backend = site.backend()
    request = launched(site, backend)
    ends(request, *ended)
    assert minutes(site, backend, request, nodes) == []


def test_one_look_is_not_enough(site: Site) -> None:
    backend = site.backend()
    request = launched(site, backend)
    site.watch.seen[request.allocation] = Observation(AllocationState.RUNNING, engine_id="101", nodes=("n3", "n4"))
    ends(request, 2, 3)
    for _ in range(5):
        backend.observe([request.allocation])
        site.clock.advance(10)
    assert site.calls("scancel") == []
