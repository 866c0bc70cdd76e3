"""How allocations are stopped and killed: what waits, what runs, and what is over."""

import os
import threading
import time
from contextlib import suppress
from dataclasses import replace

import pytest
from backend_kit import ENDED, RUNNING, Site, array, claimed, lose_the_answer, sight

from orchestrator.backends.protocol import Standing
from orchestrator.base.errors import BackendUnavailable, Busy
from orchestrator.base.process import ProcessIdentity
from orchestrator.rundir.allocations import AllocationFiles


def test_a_stop_of_an_array_tells_the_tasks_that_run_and_cancels_the_others(site: Site) -> None:
    backend, request = site.backend(), array(site)
    backend.launch(request)
    tasks = [AllocationFiles(request.directory, f"{request.directory.run}.{number}") for number in range(3)]
    tasks[1].claim(ProcessIdentity.of(os.getpid()))
    backend.stop(request.allocation, grace_seconds=20)
    assert [task.stop_request() is not None for task in tasks] == [False, True, False]
    assert site.calls("scancel") == [f"scancel --state=PENDING --name={request.allocation} 101"]


def test_a_stop_of_what_waits_cancels_it_and_it_never_starts(site: Site) -> None:
    backend, request = site.backend(), site.request()
    backend.launch(request)
    backend.stop(request.allocation, grace_seconds=20)
    backend.stop(request.allocation, grace_seconds=20)
    assert set(site.calls("scancel")) == {f"scancel --name={request.allocation} 101"}
    claim = AllocationFiles(request.directory, request.allocation).read_claim()
    assert claim is not None
    assert claim.guard is None
    backend.observe([request.allocation])
    assert [asked.cancelled for asked in site.watch.asked] == [True]


def test_a_stop_of_what_runs_leaves_word_for_its_agents_and_cancels_nothing(site: Site) -> None:
    backend, request = site.backend(), site.request()
    backend.launch(request)
    claimed(request)
    backend.stop(request.allocation, grace_seconds=20)
    note = AllocationFiles(request.directory, request.allocation).stop_request()
    assert note is not None
    assert note.grace_seconds == 20
    assert not site.calls("scancel")


def test_a_kill_is_by_slurms_means_and_after_some_seconds_by_force(site: Site) -> None:
    backend, request = site.backend(), site.request()
    backend.launch(request)
    claimed(request)
    backend.kill(request.allocation)
    which = f"--name={request.allocation} 101"
    assert site.calls("scancel") == [f"scancel {which}"]
    site.clock.advance(10)
    backend.kill(request.allocation)
    assert site.calls("scancel")[1:] == [f"scancel --signal=KILL --full {which}", f"scancel {which}"]


def test_what_scancel_could_not_cancel_was_not_ended_by_us(site: Site) -> None:
    backend, request = site.backend(), site.request()
    backend.launch(request)
    told = []
    for answer in ("exit 1", "exit 0", "exit 1"):
        site.say("scancel", f"echo 'scancel: error: something odd' >&2; {answer}")
        with suppress(BackendUnavailable):
            backend.kill(request.allocation)
        backend.observe([request.allocation])
        told += [asked.cancelled for asked in site.watch.asked]
    assert told == [False, True, True]  # the second one did it


def test_what_has_no_number_is_killed_by_its_name_as_the_user_that_we_are(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    backend, request = site.backend(), site.request()
    lose_the_answer(site, backend, request)
    backend.kill(request.allocation)
    assert site.calls("scancel") == [f"scancel --name={request.allocation} --user={os.getuid()}"]


def test_a_kill_of_what_is_over_or_never_was_does_no_harm(site: Site) -> None:
    backend, request = site.backend(), site.request()
    backend.launch(request)
    site.say("scancel", "echo 'scancel: error: Kill job error on job id 101: Invalid job id specified' >&2; exit 1")
    backend.kill(request.allocation)
    site.watch.seen[request.allocation] = ENDED
    backend.observe([request.allocation])
    for allocation in (request.allocation, "j-none-r1.0"):
        backend.kill(allocation)
        backend.stop(allocation, grace_seconds=1)
    assert len(site.calls("scancel")) == 1


def test_an_order_about_what_is_just_being_handed_to_slurm_does_not_wait(site: Site) -> None:
    backend, request = site.backend(), site.request()
    site.say("sbatch", "touch begun; while [ ! -e done ]; do sleep 0.05; done; echo 101")
    orders = (
        lambda: backend.stop(request.allocation, grace_seconds=20),
        lambda: backend.kill(request.allocation),
        lambda: backend.adjust(request.allocation, Standing(held=True)),
    )
    launch = threading.Thread(target=backend.launch, args=(request,))
    launch.start()
    try:
        while not (site.folder / "begun").exists():
            assert launch.is_alive()
            time.sleep(0.01)
        for order in orders:
            with pytest.raises(Busy, match="just being handed to the engine"):
                order()
    finally:
        (site.folder / "done").touch()
        launch.join()
    backend.stop(request.allocation, grace_seconds=20)
    assert site.calls("scancel") == [f"scancel --name={request.allocation} 101"]


def test_what_is_not_written_down_and_is_in_slurms_queue_is_killed_by_its_name_and_number(site: Site) -> None:
    request = site.request()
    site.watch.sights[request.allocation] = sight(request)
    site.backend().kill(request.allocation)
    assert site.calls("scancel") == [f"scancel --name={request.allocation} 77"]


def test_of_two_jobs_the_one_that_counts_is_the_one_that_is_told(site: Site) -> None:
    backend, request = site.backend(), site.request()
    backend.launch(request)
    site.watch.seen[request.allocation] = replace(RUNNING, engine_id="77")
    backend.observe([request.allocation])
    backend.kill(request.allocation)
    assert site.calls("scancel") == [f"scancel --name={request.allocation} 77"]
    site.backend().observe([request.allocation])
    assert [asked.job for asked in site.watch.asked] == ["77"]
