"""What becomes of an allocation on Ray: handed over once, watched by one question for all, forgotten when over."""

import json
import shlex
import stat
import sys
import threading
from collections.abc import Callable

import pytest
from ray_kit import FakeRay, Site

from orchestrator.backends.build import backend_of
from orchestrator.backends.protocol import AllocationState, Room
from orchestrator.backends.ray import RayBackend
from orchestrator.backends.ray.request import DRIVER
from orchestrator.base.errors import BackendUnavailable, LaunchRefused
from orchestrator.base.process import ProcessIdentity
from orchestrator.rundir.events import EventWriter
from orchestrator.rundir.rayjob import claim_ray_job, read_ray_job
from orchestrator.spec.ray import NodeType

PENDING, RUNNING = AllocationState.PENDING, AllocationState.RUNNING
ENDED, ABSENT = AllocationState.ENDED, AllocationState.ABSENT


@pytest.fixture(autouse=True)
def starts_nothing(ray: FakeRay) -> None:
    ray.starts = False


def until(holds: Callable[[], object]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if holds():
            return
        pause.wait(0.005)
    raise AssertionError("it never happened")


def test_a_profile_of_a_ray_cluster_has_this_backend(site: Site) -> None:
    found = backend_of(site.profile, state=site.root)
    assert isinstance(found, RayBackend)
    assert (found.name, found.queues) == ("ray", False)


def test_what_is_submitted_is_what_was_planned(site: Site, ray: FakeRay) -> None:
    placement = (("n1", 2), ("n2", 1))
    request = site.request("a b;$(touch x)'", placement=placement, cpus_per_worker=2)
    with pytest.raises(LaunchRefused, match="no safe identifier"):
        site.backend.plan(request)
    request = site.request("spread", placement=placement, cpus_per_worker=2)
    plan = site.backend.plan(request)
    assert (plan.slots, plan.cpus, plan.shape) == (6, 0, "n1: 2 workers, n2: 1")
    assert ray.asked == []
    site.backend.launch(request)
    job = ray.jobs[request.allocation]
    assert tuple(shlex.split(job["entrypoint"])) == plan.argv
    assert plan.argv[1:4] == ("-P", "-m", DRIVER)
    assert job["metadata"] == {"job": "j-spread", "run": "j-spread-r1"}


def test_a_folder_with_blanks_and_quotes_stays_one_word(ray: FakeRay, site: Site) -> None:
    root = site.root / "o'brien; rm -rf $HOME"
    root.mkdir()
    odd = Site(ray, root, python=None)
    request = odd.request("odd")
    odd.backend.launch(request)
    words = shlex.split(ray.jobs[request.allocation]["entrypoint"])
    assert (words[0], words[-2:]) == (sys.executable, [str(request.directory.path), request.allocation])


def test_the_driver_is_told_where_and_with_what(site: Site) -> None:
    request = site.request("told", placement=(("n1", 1), ("n2", 1)))
    site.backend.launch(request)
    job = read_ray_job(site.files(request))
    assert (job.placement, job.start_within, job.memory) == ((("n1", 1), ("n2", 1)), 60.0, 2**30)
    assert job.env == {"AWS_REGION": "eu"}
    assert stat.S_IMODE(site.files(request).ray_job.stat().st_mode) == 0o600


def test_an_allocation_that_ray_refuses_leaves_nothing(site: Site, ray: FakeRay) -> None:
    def refuses(handler: object) -> bool:
        handler.reply(400, "Traceback\nTypeError: no string")  # type: ignore[attr-defined]
        return True

    ray.faults["POST /api/jobs/"] = [refuses]
    request = site.request("bad")
    with pytest.raises(LaunchRefused, match="TypeError: no string"):
        site.backend.launch(request)
    assert site.look(request).state is ABSENT
    with pytest.raises(LaunchRefused, match="on which nodes"):
        site.backend.launch(site.request("nowhere", placement=()))


def test_nothing_is_asked_where_there_is_nothing_to_look_at(site: Site, ray: FakeRay) -> None:
    assert site.backend.observe(["j-none-r1.0"])["j-none-r1.0"].state is ABSENT
    assert site.backend.list() == []
    assert ray.asked == []


def test_many_are_looked_at_by_one_question(site: Site, ray: FakeRay) -> None:
    requests = [site.request(f"job{number}") for number in range(5)]
    for request in requests:
        site.backend.launch(request)
    ray.job("raysubmit_x", "RUNNING")
    ray.jobs[requests[0].allocation] |= {"status": "RUNNING", "start_time": 5000}
    ray.asked.clear()
    seen = site.backend.observe([request.allocation for request in requests])
    assert ray.asked == ["GET /api/jobs/"]
    assert [one.state for one in seen.values()] == [RUNNING, PENDING, PENDING, PENDING, PENDING]
    first = seen[requests[0].allocation]
    assert (first.since, first.nodes) == (5.0, ("n1",))
    assert len(site.backend.list()) == 5


def test_one_that_is_killed_before_its_driver_speaks_never_starts(site: Site, ray: FakeRay) -> None:
    request = site.request("early", placement=(("n1", 1), ("n2", 1)))
    site.backend.launch(request)
    ray.faults[f"POST /api/jobs/{request.allocation}/stop"] = [lambda _: ray.restart() is not None]
    site.backend.kill(request.allocation)
    for place in range(2):
        claim = site.files(request).agent(place).read_claim()
        assert claim is not None
        assert claim.guard is None
    seen = site.look(request)
    assert (seen.state, seen.detail) == (ENDED, "called off before it started")
    site.backend.launch(request)
    assert ray.jobs == {}


def test_a_head_that_has_forgotten_a_job_is_not_given_it_again(site: Site, ray: FakeRay) -> None:
    taken, lost = site.request("taken"), site.request("lost")
    site.backend.launch(taken)
    ray.faults["after POST /api/jobs/"] = [lambda request: setattr(request, "close_connection", True) is None]
    with pytest.raises(Exception, match="POST /api/jobs/ of Ray at"):
        site.backend.launch(lost)
    claim_ray_job(site.files(lost), "its driver")
    ray.restart()
    for request in (taken, lost):
        assert site.look(request).state is ABSENT
        site.reopen().launch(request)
    assert ray.jobs == {}
    site.backend.kill(taken.allocation)
    assert site.files(taken).stop_request() is not None
    assert site.look(taken).state is ENDED


def test_a_driver_that_could_not_start_is_told_by_rays_own_log(site: Site, ray: FakeRay) -> None:
    request = site.request("broken")
    site.backend.launch(request)
    message = (
        "Job entrypoint command failed with exit code 127, last available logs (truncated to 20,000 chars):\n"
        "INFO job_manager.py:581 -- Runtime env is setting up.\n/bin/sh: 1: /x/python: not found\n"
        f"Running entrypoint for job {request.allocation}: /x/python -m x\n"
    )
    ray.jobs[request.allocation] |= {"status": "FAILED", "message": message}
    seen = site.look(request)
    assert (seen.state, seen.failure_class, seen.by_itself) == (ENDED, "infrastructure", True)
    log = site.files(request).ray_log
    said = "Job entrypoint command failed with exit code 127: /bin/sh: 1: /x/python: not found"
    assert seen.detail == f"{said}; see {log}"
    until(lambda: request.allocation not in ray.jobs)
    assert log.read_text() == message
    assert site.look(request, site.reopen()) == seen


def test_what_a_run_says_of_its_end_counts_also_when_it_is_seen_late(site: Site, ray: FakeRay) -> None:
    request = site.request("late")
    site.backend.launch(request)
    ray.jobs[request.allocation]["status"] = "SUCCEEDED"
    assert site.look(request).failure_class == "infrastructure"
    EventWriter(request.directory, site.files(request).writer, 1).append("finished", outcome="succeeded")
    for backend in (site.backend, site.reopen()):
        assert (site.look(request, backend).failure_class, site.look(request, backend).by_itself) == (None, False)


def test_who_stops_a_job_by_rays_own_means_means_it(site: Site, ray: FakeRay) -> None:
    theirs, ours = site.request("theirs"), site.request("ours")
    for request in (theirs, ours):
        site.backend.launch(request)
        claim_ray_job(site.files(request), "its driver")
    ray._stop(theirs.allocation)
    seen = site.look(theirs)
    assert (seen.state, seen.failure_class) == (ENDED, "permanent")
    assert "somebody stopped Ray's job j-theirs-r1.0" in seen.detail
    site.backend.kill(ours.allocation)
    assert site.look(ours).failure_class == "infrastructure"


def test_a_stop_leaves_word_and_the_first_word_of_the_end_is_kept(site: Site, ray: FakeRay) -> None:
    request = site.request("stop")
    site.backend.launch(request)
    site.backend.stop(request.allocation, grace_seconds=7)
    note = site.files(request).stop_request()
    assert note is not None
    assert note.grace_seconds == 7
    assert site.look(request).state is PENDING
    ray.jobs[request.allocation] |= {"status": "FAILED", "message": "gone"}
    assert site.look(request).state is ENDED
    ray.asked.clear()
    site.backend.stop(request.allocation, grace_seconds=1)
    site.backend.kill(request.allocation)
    assert "POST" not in "".join(ray.asked)
    assert site.look(request).state is ENDED


def test_jobs_that_are_over_are_forgotten_also_where_ray_or_the_server_was_too_quick(site: Site, ray: FakeRay) -> None:
    requests = [site.request(name) for name in ("written-anew", "left-behind", "open")]
    for request in requests:
        site.backend.launch(request)
    rewritten, left, still = (request.allocation for request in requests)
    ray.rewritten.add(rewritten)
    ray.jobs[rewritten]["status"] = ray.jobs[left]["status"] = "SUCCEEDED"
    theirs = ray.job("theirs", "SUCCEEDED")
    assert site.look(requests[0]).state is ENDED
    until(lambda: rewritten not in ray.jobs)
    site.backend.close()
    assert site.look(requests[1]).state is ENDED
    assert [*ray.jobs] == [left, still, theirs["submission_id"]]
    assert site.look(requests[2], site.reopen()).state is PENDING
    until(lambda: left not in ray.jobs)
    assert [*ray.jobs] == [still, "theirs"]


def test_a_kill_reaches_all_agents_that_may_have_outlived_the_head(site: Site, ray: FakeRay) -> None:
    silent, forgotten = site.request("silent"), site.request("forgotten")
    for request in (silent, forgotten):
        site.backend.launch(request)
        for agent in (0, 1, 12):  # one for each worker, as an elastic training has them
            site.files(request).agent(agent).claim(ProcessIdentity.current())
    del ray.jobs[forgotten.allocation]
    stop = f"POST /api/jobs/{silent.allocation}/stop"
    ray.faults[stop] = [lambda request: setattr(request, "close_connection", True) is None]
    with pytest.raises(BackendUnavailable):
        site.backend.kill(silent.allocation)
    site.backend.kill(forgotten.allocation)
    for request in (silent, forgotten):
        notes = [site.files(request).agent(agent).stop_request() for agent in (0, 1, 12)]
        assert [note and note.grace_seconds for note in notes] == [0.0, 0.0, 0.0]


def test_a_job_that_is_over_is_deleted_although_ray_was_silent_when_its_turn_came(site: Site, ray: FakeRay) -> None:
    request = site.request("over")
    site.backend.launch(request)
    ray.jobs[request.allocation]["status"] = "SUCCEEDED"
    ray.faults[f"GET /api/jobs/{request.allocation}"] = [
        lambda request: setattr(request, "close_connection", True) is None
    ] * 2
    assert site.look(request).state is ENDED
    until(lambda: request.allocation not in ray.jobs)


def test_where_rays_list_of_jobs_is_too_long_each_job_is_asked_for(
    site: Site, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.backends.ray.rest.LONGEST_LIST", 10_000)
    request, lost = site.request("one"), site.request("lost")
    for each in (request, lost):
        site.backend.launch(each)
    del ray.jobs[lost.allocation]
    ray.job("of-last-year", "FAILED", message="x" * 20_000)
    names = [request.allocation, lost.allocation]
    ray.asked.clear()
    for _ in range(2):
        seen = site.backend.observe(names)
        assert [seen[name].state for name in names] == [PENDING, ABSENT]
    assert ray.asked.count("GET /api/jobs/") == 1, "then it is left alone for some minutes"
    assert "too long" in site.backend.others("n1").users


def test_the_autoscaler_is_told_by_a_small_job_that_ray_forgets_at_the_next_word(ray: FakeRay, site: Site) -> None:
    kind = {"name": "h200", "count": 2, "cpus": 16, "gpus": 8}
    site.profile = site.profile.model_copy(
        update={"ray": site.profile.ray.model_copy(update={"autoscaler": [NodeType(**kind)]})}
    )
    backend = site.reopen()
    backend.announce([Room(2, 4, 1, 2**30), Room(1, 2, 0)])
    (first,) = ray.jobs.values()
    *_, module, bundles = shlex.split(first["entrypoint"])
    assert module == "orchestrator.onray.announce"
    assert json.loads(bundles) == [{"CPU": 4.0, "GPU": 1.0, "memory": 2.0**30}] * 2 + [{"CPU": 2.0}]
    backend.announce([])
    assert len(ray.jobs) == 2, "Ray deletes no job that is not over"
    first["status"] = "SUCCEEDED"
    backend.announce([Room(1, 1, 0)])
    assert first["submission_id"] not in ray.jobs
    left = [*ray.jobs]
    for job in ray.jobs.values():
        job["status"] = "SUCCEEDED"
    after = site.reopen()
    request = site.request("one")
    after.launch(request)
    assert site.look(request, after).state is PENDING
    after.announce([])
    assert not set(left) & set(ray.jobs), "those of a server that is gone as well"


def test_a_cluster_that_does_not_grow_is_told_nothing(ray: FakeRay, site: Site) -> None:
    site.backend.announce([Room(1, 1, 0)])
    assert ray.asked == []
