"""Nodes that Ray drains take nothing new: it tells the drivers of our runs alone, and these tell us."""

import pytest
from ray_kit import FakeRay, Site, node

from orchestrator.backends.protocol import AllocationState, NodeFacts
from orchestrator.lifecycle.reasons import utc
from orchestrator.rundir.rayjob import write_draining

UNTIL = 1795384762.0


@pytest.fixture(autouse=True)
def starts_nothing(ray: FakeRay) -> None:
    ray.starts = False


def drained(site: Site) -> dict[str, str]:
    return {one.name: one.note for one in site.backend.capacity().nodes if one.drained}


def test_a_node_of_which_a_driver_says_that_ray_drains_it_takes_nothing_new(site: Site, ray: FakeRay) -> None:
    request = site.request("told")
    site.backend.launch(request)
    assert drained(site) == {}
    write_draining(site.files(request), {ray.nodes[1]["node_id"]: UNTIL})
    note = f"drained by Ray, which wants it empty at {utc(UNTIL)}"
    assert site.backend.capacity().nodes[1] == NodeFacts("n2", 2, 2, memory=8 * 2**30, note=note, drained=True)
    write_draining(site.files(request), {ray.nodes[0]["node_id"]: 0.0})
    assert drained(site) == {"n1": "drained by Ray"}, "at no time"
    write_draining(site.files(request), {})
    assert drained(site) == {}, "by the word of the same driver"


def test_what_a_driver_said_last_holds_until_the_node_is_another_one(site: Site, ray: FakeRay) -> None:
    first, second = site.request("first"), site.request("second")
    for request in (first, second):
        site.backend.launch(request)
    write_draining(site.files(second), {})
    site.backend.capacity()
    write_draining(site.files(first), {ray.nodes[0]["node_id"]: UNTIL})
    ray.jobs[first.allocation]["status"] = "SUCCEEDED"
    assert site.look(first).state is AllocationState.ENDED
    assert [*drained(site)] == ["n1"], "read when it was over"
    ray.nodes[0] = node("n1", node_id="another")
    assert drained(site) == {}


def test_what_cannot_be_read_drains_nothing(site: Site) -> None:
    request = site.request("odd")
    site.backend.launch(request)
    for text in ("", "[]", '{"until": 7}', '{"until": {"n1": "soon"}}'):
        site.files(request).ray_draining.write_text(text)
        assert drained(site) == {}
