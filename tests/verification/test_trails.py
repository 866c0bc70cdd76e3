from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.base.errors import NotFound, UsageError
from orchestrator.rundir.audit import STEPS_PER_FILE, AuditWriter, StepAudit, audit_folder
from orchestrator.rundir.layout import JobDirectory
from orchestrator.verification.trail import Trail, job_trail, read_trail
from orchestrator.verification.trail import trail_of as trail_of_runs
from orchestrator.verification.twin import compare


def trail_of(name: str, audits: list[StepAudit]) -> Trail:
    return trail_of_runs(name, [audits])


def step(number: int, *, world: int = 1, view: int = 1, gradient: str = "g", **parameters: str) -> StepAudit:
    return StepAudit(number, 0, world, view, f"s{number}", f"{gradient}{number}", parameters or {"w": f"p{number}"})


def write(job: JobDirectory, run: str, writer: str, audits: list[StepAudit]) -> None:
    trail = AuditWriter(audit_folder(job.run(run)), writer)
    for audit in audits:
        trail.add(audit)
    trail.flush()


def test_trails_of_different_worlds_with_equal_hashes_are_equal() -> None:
    first = trail_of("a", [step(n) for n in range(5)])
    second = trail_of("b", [step(n, world=1 + n % 3) for n in range(5)])
    assert compare(first, second).equal
    assert compare(first, second).steps == 5


def test_the_first_difference_is_named_with_its_tensors() -> None:
    first = trail_of("a", [step(n, w="1", b="2") for n in range(5)])
    changed = [step(n, w="1", b="2") for n in range(3)] + [step(n, w="other", b="2") for n in (3, 4)]
    found = compare(first, trail_of("b", changed)).difference
    assert found is not None
    assert (found.step, found.what, found.tensors) == (3, "parameters", ("w",))


def test_other_samples_are_named_before_what_follows_from_them() -> None:
    first, second = step(2), replace(step(2, gradient="x"), samples="other")
    found = compare(trail_of("a", [first]), trail_of("b", [second])).difference
    assert found is not None
    assert found.what == "samples"


def test_a_step_done_again_with_another_result_is_a_contradiction() -> None:
    trail = trail_of("a", [step(1), step(2), step(2, view=2, gradient="x")])
    assert trail.redone == 1
    assert trail.contradiction is not None
    assert trail.contradiction[0].step == 2


def test_a_step_done_again_equally_is_counted_only() -> None:
    trail = trail_of("a", [step(1), step(2), step(2, view=2, world=3)])
    assert (trail.redone, trail.contradiction, trail.worlds) == (1, None, (1, 3))


def test_what_two_workers_wrote_of_one_step_is_one_step() -> None:
    trail = trail_of("a", [step(1, view=2), step(1, view=2)])
    assert (trail.redone, trail.contradiction) == (0, None)


def test_two_workers_that_hold_different_parameters_after_a_step_contradict_each_other() -> None:
    trail = trail_of("a", [step(1, w="1"), step(1, w="2")])
    assert trail.contradiction is not None


def test_trails_without_a_common_step_are_refused() -> None:
    with pytest.raises(UsageError, match="no step in common"):
        compare(trail_of("a", [step(1)]), trail_of("b", [step(2)]))


def test_a_job_has_the_steps_of_all_its_runs_and_leaders(tmp_path: Path) -> None:
    job = JobDirectory(tmp_path / "job")
    write(job, "job-r1", "rank-0", [step(0), step(1)])
    write(job, "job-r1", "rank-3", [step(2, view=2)])
    write(job, "job-r10", "rank-0", [step(3)])
    write(job, "job-r2", "rank-0", [step(2), step(3)])
    trail = job_trail(job)
    assert (sorted(trail.steps), trail.redone) == ([0, 1, 2, 3], 2)
    assert read_trail(job.path).steps == trail.steps
    assert sorted(read_trail(job.path / "runs" / "job-r2").steps) == [2, 3]


def test_a_trail_is_written_in_files_of_bounded_length(tmp_path: Path) -> None:
    job = JobDirectory(tmp_path / "job")
    write(job, "job-r1", "rank-0", [step(n) for n in range(STEPS_PER_FILE + 1)])
    lengths = [len(path.read_text().splitlines()) for path in sorted(audit_folder(job.run("job-r1")).glob("*/*.jsonl"))]
    assert max(lengths) <= STEPS_PER_FILE
    assert sum(lengths) == STEPS_PER_FILE + 1
    assert len(job_trail(job).steps) == STEPS_PER_FILE + 1


def test_what_has_no_trail_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no audit trail") as caught:
        read_trail(tmp_path)
    assert "elastic.audit" in caught.value.hint
