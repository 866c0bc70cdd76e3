"""What is seen of allocations, and who has the last word on how they ended."""

import json
from dataclasses import replace

import pytest
from backend_kit import ENDED, RUNNING, Site, array

from orchestrator.backends.protocol import AllocationState, Observation
from orchestrator.rundir.allocations import TAKEN, AllocationFiles
from orchestrator.rundir.events import EventWriter


def test_a_record_that_cannot_be_read_keeps_no_other_from_being_seen(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    requests = [site.request(number) for number in (1, 2, 3)]
    for request in requests:
        site.backend().launch(request)
    folder = site.folder / "state" / "slurm" / "allocations"
    (folder / f"{requests[0].allocation}.json").write_text('{"color": "green"}')
    (folder / f"{requests[1].allocation}.json").write_text('{"directory": 7, "lane": [], "own": 1}')
    backend = site.backend()
    assert backend.list() == [requests[2].allocation]
    for _ in range(2):
        assert set(backend.observe([request.allocation for request in requests])) == {r.allocation for r in requests}
    assert caplog.text.count("cannot be read") == 2


def test_an_end_is_final_and_a_marker_says_how(site: Site) -> None:
    backend, request = site.backend(), site.request()
    backend.launch(request)
    allocation = request.allocation
    writer = request.directory.events / AllocationFiles(request.directory, allocation).writer
    writer.mkdir(parents=True)
    (writer / "00000001.json").write_text(json.dumps({"kind": "finished", "data": {"outcome": "succeeded"}}))
    site.watch.seen[allocation] = Observation(AllocationState.ENDED, "infrastructure", "no marker")
    assert backend.observe([allocation])[allocation] == ENDED
    site.watch.seen[allocation] = RUNNING
    assert backend.observe([allocation])[allocation] == ENDED
    assert backend.list() == []


def test_a_word_of_the_run_that_is_seen_after_its_end_counts_all_the_same(site: Site) -> None:
    site.watch.preempt_mode = "REQUEUE"
    backend, request = site.backend(), site.request()
    backend.launch(request)
    name = request.allocation
    site.watch.seen[name] = Observation(AllocationState.ENDED, "infrastructure", "no word", by_itself=True)
    assert backend.observe([name])[name].failure_class == "infrastructure"
    writer = AllocationFiles(request.directory, name).writer
    EventWriter(request.directory, writer, 1).append("agent_finished", outcome="stopped", cause=TAKEN)
    assert backend.observe([name])[name].failure_class == "preempted"


@pytest.mark.parametrize(("slurms", "counts"), [("infrastructure", "preempted"), ("permanent", "permanent")])
def test_of_what_slurm_took_back_it_has_the_last_word(site: Site, slurms: str, counts: str) -> None:
    site.watch.preempt_mode = "REQUEUE"
    backend, request = site.backend(), site.request()
    backend.launch(request)
    files = AllocationFiles(request.directory, request.allocation)
    EventWriter(request.directory, files.writer, 1).append("agent_finished", outcome="stopped", cause=TAKEN)
    site.watch.seen[request.allocation] = Observation(AllocationState.ENDED, slurms, "in Slurm's words")
    assert backend.observe([request.allocation])[request.allocation].failure_class == counts


@pytest.mark.parametrize(
    ("by_itself", "detail"),
    [(True, "job 17 was told by a signal to end"), (False, "a node was lost")],
)
def test_a_signal_where_slurm_preempts_nothing_costs_a_retry(site: Site, by_itself: bool, detail: str) -> None:
    backend, request = site.backend(), site.request()
    backend.launch(request)
    files = AllocationFiles(request.directory, request.allocation)
    EventWriter(request.directory, files.writer, 1).append("agent_finished", outcome="stopped", cause=TAKEN)
    lost = Observation(AllocationState.ENDED, "infrastructure", "a node was lost", "17", by_itself=by_itself)
    site.watch.seen[request.allocation] = lost
    seen = backend.observe([request.allocation])[request.allocation]
    assert (seen.failure_class, seen.by_itself) == ("infrastructure", False)
    assert seen.detail.startswith(detail)


@pytest.mark.parametrize("said", [True, False])
def test_growth_that_slurm_took_back_says_so_whatever_state_slurm_ended_it_in(site: Site, said: bool) -> None:
    backend, request = site.backend(growth={"partition": "batch"}), site.request()
    request = replace(request, terms=replace(request.terms, growth=True))
    backend.launch(request)
    if said:
        files = AllocationFiles(request.directory, request.allocation)
        EventWriter(request.directory, files.writer, 1).append("agent_finished", outcome="stopped", cause=TAKEN)
    slurms = "infrastructure" if said else "preempted"
    site.watch.seen[request.allocation] = Observation(AllocationState.ENDED, slurms, "ended as COMPLETED", "17")
    seen = backend.observe([request.allocation])[request.allocation]
    assert (seen.failure_class, seen.detail) == ("preempted", "taken back by Slurm (job 17)")


@pytest.mark.parametrize(("slurms", "counts"), [("infrastructure", "preempted"), ("permanent", "permanent")])
def test_an_array_that_reaches_our_estimate_of_its_time_goes_on_at_no_charge(
    site: Site, slurms: str, counts: str
) -> None:
    backend, request = site.backend(), array(site)
    backend.launch(request)
    for task, cause in ((0, "drain"), (2, "preempt")):  # one had nothing more to do, one was never started
        EventWriter(request.directory, f"agent-{task}", 1).append("agent_finished", outcome="stopped", cause=cause)
    site.watch.seen[request.allocation] = Observation(AllocationState.ENDED, slurms, "in Slurm's words")
    assert backend.observe([request.allocation])[request.allocation].failure_class == counts


def test_an_array_of_which_only_one_task_has_ended_well_ends_as_slurm_says(site: Site) -> None:
    backend, request = site.backend(), array(site)
    backend.launch(request)
    EventWriter(request.directory, "agent-0", 1).append("agent_finished", outcome="stopped", cause="drain")
    site.watch.seen[request.allocation] = Observation(AllocationState.ENDED, "permanent", "somebody cancelled it")
    assert backend.observe([request.allocation])[request.allocation].detail == "somebody cancelled it"


def test_a_job_that_its_own_agent_ended_was_lost_and_not_cancelled(site: Site) -> None:
    backend, request = site.backend(), site.request()
    backend.launch(request)
    AllocationFiles(request.directory, request.allocation).give_back("its first node is lost")
    site.watch.seen[request.allocation] = Observation(AllocationState.ENDED, "permanent", "somebody cancelled it")
    seen = backend.observe([request.allocation])[request.allocation]
    assert (seen.failure_class, seen.detail) == ("infrastructure", "its first node is lost")


def test_an_end_by_somebodys_scancel_is_one_as_soon_as_accounting_has_said_whose(site: Site) -> None:
    backend, request = site.backend(), site.request()
    backend.launch(request)
    by_somebody = Observation(AllocationState.ENDED, "permanent", "somebody cancelled it", "101", provisional=True)
    site.watch.seen[request.allocation] = by_somebody
    waits = backend.observe([request.allocation])[request.allocation]
    assert (waits.state, waits.failure_class) == (AllocationState.UNKNOWN, None)
    assert "accounting is asked by whom" in waits.detail
    by_root = Observation(AllocationState.ENDED, "permanent", "root cancelled it", "101")
    site.watch.seen[request.allocation] = by_root
    assert backend.observe([request.allocation])[request.allocation] == by_root


def test_a_run_that_has_finished_needs_nobody_to_say_who_cancelled_its_job(site: Site) -> None:
    backend, request = site.backend(), site.request()
    backend.launch(request)
    EventWriter(request.directory, "agent-0", 1).append("finished", outcome="succeeded", message="all done")
    by_itself = Observation(AllocationState.ENDED, "permanent", "somebody cancelled it", "101", provisional=True)
    site.watch.seen[request.allocation] = by_itself
    assert backend.observe([request.allocation])[request.allocation].state is AllocationState.ENDED
