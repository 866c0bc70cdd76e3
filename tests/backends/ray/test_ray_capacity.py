"""What a Ray cluster has, from what a real Ray 2.60 has answered, and what its autoscaler may bring."""

import time
from pathlib import Path

import pytest
from ray_kit import FakeRay, Site, node, recorded

from orchestrator.backends.protocol import Capacity, NodeFacts, Others
from orchestrator.backends.ray import capacity_or_types
from orchestrator.backends.ray.capacity import REMEMBERED, capacity_of
from orchestrator.backends.ray.nodes import Used, nodes_of, used_by_status, used_by_text
from orchestrator.base.errors import BackendUnavailable
from orchestrator.control.others import HeldByOthers
from orchestrator.rundir.rayjob import LEFT_IN
from orchestrator.spec.ray import NodeType

LOST_AT = 1795355350.252
"""When the node of the name n2 that was there last was killed."""
LINES = (  # of a real Ray with the second autoscaler: a group has reserved 2 cores and half a GPU that lie idle
    "1.0/3.0 CPU (1.0 used of 3.0 reserved in placement groups)\n"
    "1.0/2.0 GPU (1.0 used of 1.5 reserved in placement groups)\n"
    "0B/19.88GiB memory\n0B/80.00MiB object_store_memory"
)


def real(now: float) -> Capacity:
    """A head without cores, n1 on which a group of 1 GPU and 2 cores lies, and three nodes that were lost."""
    nodes = nodes_of(recorded("nodes")["data"]["result"]["result"])
    used = used_by_status(recorded("cluster_status")["data"]["clusterStatus"])
    assert used is not None
    return capacity_of(nodes, used, (), kind="gpu", now=now)


def test_a_real_cluster_is_counted_by_its_gpus() -> None:
    found = real(LOST_AT + 1)
    there = NodeFacts("n1", 2, 1, gpu_type="h200", cpus=4, memory=20820537344, rack="r1")
    at = time.strftime("%H:%M:%S", time.localtime(LOST_AT))
    why = "Unexpected termination: health check failed due to missing too many heartbeats"
    lost = NodeFacts(
        "n2",
        2,
        2,
        gpu_type="h200",
        cpus=4,
        memory=20299579392,
        rack="r2",
        up=False,
        note=f"Ray lost it at {at}: {why}",
    )
    assert found.nodes == (there, lost)
    assert (found.slots, found.free, found.largest_gang, found.slot_kind) == (4, 3, 4, "gpu"), (
        "what was lost just now may come back"
    )


def test_a_lost_node_is_shown_for_ten_minutes() -> None:
    assert [one.name for one in real(LOST_AT + REMEMBERED - 1).nodes] == ["n1", "n2"]
    assert [one.name for one in real(LOST_AT + REMEMBERED + 1).nodes] == ["n1"]


def test_what_a_group_has_reserved_is_taken_although_it_lies_idle() -> None:
    assert used_by_text({"a": LINES, "b": "0B/19.88GiB memory", "c": "0.5/4.0 CPU\n0.0/2.0 GPU"}) == {
        "a": Used(3.0, 1.5),
        "b": Used(),
        "c": Used(0.5, 0.0),
    }


def test_a_part_of_a_slot_that_is_taken_takes_it_whole(site: Site, ray: FakeRay) -> None:
    ray.nodes = [node("n", cpus=3, gpus=2)]
    identifier = ray.nodes[0]["node_id"]
    ray.faults["GET /api/cluster_status"] = [lambda request: _says(request, '{"data": {"clusterStatus": null}}')]
    page = '{"data": {"nodeLogicalResources": {"%s": "%s"}}}' % (identifier, LINES.replace("\n", "\\n"))  # noqa: UP031
    ray.faults["GET /nodes"] = [lambda request: _says(request, page)]
    assert [(one.slots, one.free) for one in site.backend.capacity().nodes] == [(2, 0)]


def test_two_nodes_of_one_name_are_told_apart(site: Site, ray: FakeRay) -> None:
    ray.nodes = [node("n", node_id="a" * 56), node("n", node_id="b" * 56), node("m")]
    names = [one.name for one in site.backend.capacity().nodes]
    assert names == ["m", "n@aaaaaaaa", "n@bbbbbbbb"]


def test_where_ray_does_not_say_what_is_used_our_own_allocations_count(site: Site, ray: FakeRay) -> None:
    ray.starts = False
    site.backend.launch(site.request("one", placement=(("n1", 2),)))
    for path in ("GET /api/cluster_status", "GET /nodes"):
        ray.faults[path] = [lambda request: _says(request, "oops")]
    assert [(one.name, one.free) for one in site.backend.capacity().nodes] == [("n1", 0), ("n2", 2)]


def test_nodes_that_are_none_leave_the_state_unknown(site: Site, ray: FakeRay) -> None:
    ray.nodes = [{"state": "ALIVE"}]
    with pytest.raises(BackendUnavailable, match="something else than Ray's API"):
        site.backend.capacity()


def test_who_has_no_token_and_is_answered_is_warned(site: Site, ray: FakeRay) -> None:
    assert site.backend.capacity().faults == ()
    ray.token = None
    (said,) = site.reopen().capacity().faults
    assert "RAY_AUTH_MODE=token" in said


def test_a_question_about_tokens_that_is_not_answered_leaves_the_nodes_known(site: Site, ray: FakeRay) -> None:
    ray.token = None
    ray.faults["GET /api/version"] = [lambda request: setattr(request, "close_connection", True) is None]
    found = site.reopen().capacity()
    assert ([one.name for one in found.nodes], found.faults) == (["n1", "n2"], ())


def test_a_cluster_that_had_gpus_counts_gpus_for_good(site: Site, ray: FakeRay) -> None:
    ray.nodes = [node("g", cpus=8, gpus=2), node("c", cpus=8)]
    assert [one.name for one in site.backend.capacity().nodes] == ["g"]
    ray.nodes = [node("c", cpus=8)]
    found = site.backend.capacity()
    assert (found.slot_kind, found.nodes, found.largest_gang) == ("gpu", (), 0)


def test_an_autoscaler_brings_what_is_not_there(ray: FakeRay, tmp_path: Path) -> None:
    kinds = [
        {"name": "big", "count": 3, "cpus": 8, "gpus": 4, "gpu_type": "h200", "memory": "64 GiB"},
        {"name": "small", "count": 1, "cpus": 4, "gpus": 1},
    ]
    site = Site(ray, tmp_path, autoscaler=kinds)
    labels = {"ray.io/node-group": "big", "ray.io/accelerator-type": "H200"}
    ray.nodes = [node("x", cpus=8, gpus=4, labels=labels), node("y", cpus=4, gpus=1)]
    found = site.backend.capacity()
    may_come = NodeFacts("big-2", 4, 4, gpu_type="h200", cpus=8, memory=64 * 2**30)
    assert found.potential[0] == may_come
    assert [one.name for one in found.potential] == ["big-2", "big-3"]
    assert (found.slots, found.largest_gang) == (5, 13)
    ray.nodes = []
    assert site.backend.capacity().largest_gang == 13


def test_a_silent_cluster_is_known_by_what_its_autoscaler_may_bring(ray: FakeRay, tmp_path: Path) -> None:
    silent = {"address": "http://127.0.0.1:1", "token_file": str(tmp_path / "none")}
    with pytest.raises(BackendUnavailable):
        capacity_or_types(Site(ray, tmp_path, **silent).profile)
    types = [NodeType(name="t", count=2, cpus=4)]
    found = capacity_or_types(Site(ray, tmp_path, autoscaler=[one.model_dump() for one in types], **silent).profile)
    assert [(one.name, one.slots) for one in found.machines] == [("t-1", 4), ("t-2", 4)]


def test_others_are_those_jobs_that_are_not_ours(site: Site, ray: FakeRay) -> None:
    ray.starts = False
    site.backend.launch(site.request("ours"))
    assert site.backend.others("n1") == Others(users="tasks or actors of Ray that belong to no job")
    ray.job("theirs", "RUNNING")
    ray.job("over", "SUCCEEDED")
    ray.job("notebook", "RUNNING", type="DRIVER", submission_id=None, job_id="03000000")
    said = site.reopen().others("n1").users
    assert said == "other jobs of Ray, of which it runs theirs, 03000000"
    assert HeldByOthers("n1", 1, 2, "cpu", Others(users=said)).text == f"1 of 2 cpu slots of n1 is held by {said}"
    assert site.backend.others("n1").users == "tasks or actors of Ray that belong to no job", "for a few seconds"


def test_drivers_of_our_runs_and_their_processes_and_words_to_the_autoscaler_are_no_others(
    site: Site, ray: FakeRay
) -> None:
    ray.starts = False
    request = site.request("ours-with-a-name-that-is-longer-than-what-people-are-shown-of-it")
    site.backend.launch(request)
    inside = {"env_vars": {LEFT_IN: str(request.directory.path / "ray" / "driver-7.json")}}
    ray.job("search", "RUNNING", type="DRIVER", submission_id=None, job_id="04000000", runtime_env=inside)
    ray.job("orchestrator-wants-0123456789ab", "RUNNING")
    assert site.backend.others("n1") == Others(users="tasks or actors of Ray that belong to no job")
    theirs = {"env_vars": {LEFT_IN: f"{request.directory.path}0/ray/driver-7.json"}}
    ray.job("other", "RUNNING", type="DRIVER", submission_id=None, job_id="05000000", runtime_env=theirs)
    assert site.reopen().others("n1").users == "other jobs of Ray, of which it runs 05000000"


def _says(request: object, text: str) -> bool:
    request.reply(200, text)  # type: ignore[attr-defined]
    return True
