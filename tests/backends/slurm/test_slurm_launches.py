"""What is launched once, whatever is lost on the way: crashes, lost answers, refusals."""

import os
import threading

import pytest
from backend_kit import Site, claimed, lose_the_answer, sight

from orchestrator.backends.protocol import AllocationState
from orchestrator.base.errors import BackendUnavailable, LaunchRefused


def test_an_allocation_is_written_down_before_slurm_is_asked(site: Site) -> None:
    request = site.request()
    site.backend().launch(request)
    assert f"{request.allocation}.json" in (site.folder / "records").read_text()


def test_a_second_launch_submits_nothing_also_after_a_restart(site: Site) -> None:
    request = site.request()
    backend = site.backend()
    for one in (backend, backend, site.backend()):
        one.launch(request)
    assert len(site.calls("sbatch")) == 1
    assert site.watch.looks == 0


def test_many_threads_submit_an_allocation_once(site: Site) -> None:
    backend, request = site.backend(), site.request()
    threads = [threading.Thread(target=backend.launch, args=(request,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(site.calls("sbatch")) == 1


def test_where_the_answer_was_lost_the_job_is_found_by_its_name(site: Site) -> None:
    backend, request = site.backend(), site.request()
    lose_the_answer(site, backend, request)
    site.watch.sights[request.allocation] = sight(request)
    again = site.backend()
    again.launch(request)
    assert len(site.calls("sbatch")) == 1
    again.observe([request.allocation])
    assert [asked.job for asked in site.watch.asked] == ["77"]


def test_where_the_answer_was_lost_and_slurm_has_no_such_job_it_is_submitted(site: Site) -> None:
    backend, request = site.backend(), site.request()
    lose_the_answer(site, backend, request)
    before = site.clock.monotonic()
    backend.launch(request)
    assert len(site.calls("sbatch")) == 2
    assert site.watch.looks == 2
    assert site.clock.monotonic() - before >= 5


def test_a_job_that_slurm_shows_only_some_seconds_later_is_not_submitted_again(site: Site) -> None:
    backend, request = site.backend(), site.request()
    lose_the_answer(site, backend, request)
    site.watch.lands[2] = sight(request)
    backend.launch(request)
    assert len(site.calls("sbatch")) == 1


def test_what_is_not_written_down_and_is_in_slurms_queue_is_adopted(site: Site) -> None:
    request = site.request()
    site.watch.sights[request.allocation] = sight(request)
    backend = site.backend()
    backend.launch(request)
    assert not site.calls()
    backend.kill(request.allocation)
    assert site.calls() == [f"scancel --name={request.allocation} 77"]


def test_what_slurm_refused_and_remembers_as_failed_is_submitted_again(site: Site) -> None:
    request = site.request()
    site.watch.sights[request.allocation] = sight(request, over=True)
    site.backend().launch(request)
    assert len(site.calls("sbatch")) == 1


def test_what_has_ended_after_it_began_is_not_submitted_again(site: Site) -> None:
    request = site.request()
    request.directory.create()
    claimed(request)
    site.watch.sights[request.allocation] = sight(request, over=True)
    site.backend().launch(request)
    assert not site.calls()


def test_where_nobody_can_tell_whether_slurm_has_the_job_nothing_is_submitted(site: Site) -> None:
    backend, request = site.backend(), site.request()
    lose_the_answer(site, backend, request)
    site.watch.silent = True
    with pytest.raises(BackendUnavailable):
        backend.launch(request)
    assert len(site.calls("sbatch")) == 1


def test_what_has_begun_is_not_asked_for_again(site: Site) -> None:
    backend, request = site.backend(), site.request()
    lose_the_answer(site, backend, request)
    claimed(request)
    site.watch.silent = True
    backend.launch(request)
    assert len(site.calls("sbatch")) == 1


def test_a_crash_of_the_server_leaves_a_body_that_the_job_finds(site: Site) -> None:
    backend, request = site.backend(), site.request()
    lose_the_answer(site, backend, request)
    folder = request.directory.path / "slurm"
    link = next(line for line in (folder / "batch-0.sh").read_text().splitlines() if line.startswith("ln "))
    assert os.spawnvpe(os.P_WAIT, "sh", ["sh", "-c", link], {**os.environ, "SLURM_JOB_ID": "77"}) == 0
    assert (folder / "77_submitted.pkl").read_bytes() == (folder / "batch-0.pkl").read_bytes()


def test_a_refusal_is_told_in_slurms_words_with_what_to_do_and_leaves_no_record(site: Site) -> None:
    backend, request = site.backend(), site.request()
    site.say("sbatch", "echo 'sbatch: error: Batch job submission failed: Invalid qos specification' >&2; exit 1")
    with pytest.raises(LaunchRefused, match="Invalid qos specification") as caught:
        backend.launch(request)
    assert "slurm.qos" in caught.value.hint
    assert backend.list() == []
    assert backend.observe([request.allocation])[request.allocation].state is AllocationState.ABSENT


def test_where_slurm_takes_no_more_jobs_the_launch_is_tried_again(site: Site) -> None:
    backend, request = site.backend(), site.request()
    site.say("sbatch", "echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2; exit 1")
    with pytest.raises(BackendUnavailable, match="AssocMaxSubmitJobLimit"):
        backend.launch(request)
    (site.folder / "say" / "sbatch").unlink()
    backend.launch(request)
    assert site.watch.looks == 0  # Slurm said no: there is nothing to look for
    assert len(site.calls("sbatch")) == 2


def test_a_gang_that_fits_nowhere_is_refused_before_slurm_is_asked(site: Site) -> None:
    with pytest.raises(LaunchRefused, match="needs 5 workers"):
        site.backend().launch(site.request(workers=5))
    assert not site.calls()


def test_another_server_adopts_what_slurm_has(site: Site) -> None:
    requests = [site.request(number) for number in (1, 2)]
    for request in requests:
        site.backend().launch(request)
    assert site.backend().list() == [request.allocation for request in requests]
    assert [asked.job for asked in site.watch.asked] == ["101", "102"]
