"""What counts as proof that a storm hit, and what the command says of it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import TimedOut, UsageError
from orchestrator.cli.commands.verify.elastic import _folder, _text
from orchestrator.cli.main import run
from orchestrator.rundir.audit import StepAudit
from orchestrator.rundir.events import EventWriter
from orchestrator.rundir.layout import JobDirectory
from orchestrator.spec.load import parse_workload
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.verification.elastic import Proof, Verdict, _prepared, _proof, _with_contradiction
from orchestrator.verification.hook import Marks
from orchestrator.verification.rehearsal import RehearsalFailed
from orchestrator.verification.storm import Action, Storm
from orchestrator.verification.trail import Trail, trail_of
from orchestrator.verification.twin import Comparison, compare

WORKLOAD = Path(__file__).parents[2] / "workloads" / "regnet_cifar10.yaml"
WHOLE = Proof(actions=(), missed=(), worlds=(2, 1), kept=1, hits=1, redone=0, sent=4096.0)


def step(number: int, *, world: int = 1, view: int = 1, gradient: str = "g") -> StepAudit:
    return StepAudit(number, 0, world, view, f"s{number}", f"{gradient}{number}", {"w": f"{gradient}{number}"})


def verdict(comparison: Comparison, proof: Proof = WHOLE) -> Verdict:
    return Verdict(5, 4, comparison, proof, None, Path("folder"))


def proof_of(folder: Path, trail: Trail, *actions: Action, told: dict[str, Any] | None = None) -> Proof:
    """Of a storm in which all actions were marked, hits in view 1."""
    job = JobDirectory(folder / "job")
    run_directory = job.run("job-r1")
    run_directory.create()
    events = EventWriter(run_directory, "rank-0", 1)
    for _ in range(2):
        events.append("goodput", **(told or {}))
    marks = Marks(job.path / "storm")
    marks.folder.mkdir()
    for number in range(len(actions)):
        marks.set(marks.acted(number), "1")
    return _proof(job, Storm(2, actions), trail)


def test_a_hit_counts_where_the_step_was_made_in_a_later_view(tmp_path: Path) -> None:
    kill, told = Action("kill", 1), {"sent_bytes_per_step": 300}
    later = trail_of("t", [[step(0, world=2), step(1, view=2)]])
    found = proof_of(tmp_path / "a", later, kill, told=told)
    assert (found.hits, found.missed, found.sent) == (1, (), 300.0)
    same = trail_of("t", [[step(0, world=2), step(1, world=2)]])
    assert proof_of(tmp_path / "b", same, kill, told=told).missed == ("step 1: kill the last worker",)


def test_a_resize_counts_where_any_account_of_the_next_step_has_its_workers(tmp_path: Path) -> None:
    trail = trail_of("t", [[step(2, world=1), step(2, world=2, view=2)]])
    assert "step 1: resize to 1" not in proof_of(tmp_path / "a", trail, Action("resize", 1, 1)).missed
    assert "step 1: resize to 3" in proof_of(tmp_path / "b", trail, Action("resize", 1, 3)).missed


def test_without_kept_processes_or_bytes_sent_the_proof_is_not_complete(tmp_path: Path) -> None:
    missed = proof_of(tmp_path, trail_of("t", [[step(2)]]), Action("resize", 1, 1)).missed
    assert any("processes kept" in text for text in missed)
    assert any("bytes sent" in text for text in missed)


def test_a_step_that_one_training_lacks_is_no_proof() -> None:
    calm = trail_of("calm", [[step(n) for n in range(5)]])
    found = verdict(compare(calm, trail_of("storm", [[step(n) for n in range(4)]])))
    assert not found.holds
    assert _text(found).startswith("no proof: 1 step of the undisturbed training")
    assert verdict(compare(calm, calm)).holds
    assert not verdict(compare(calm, calm), replace(WHOLE, missed=("bytes sent",))).holds


def test_workers_that_disagree_are_named_before_what_follows_from_it() -> None:
    calm = trail_of("calm", [[step(n) for n in range(4)]])
    storm = trail_of("storm", [[step(0), step(1), step(1, gradient="x"), step(1), step(2, gradient="x")]])
    found = _with_contradiction(compare(calm, storm), storm).difference
    assert found is not None
    assert found.step == 1
    assert "(1 worker there, 1 here)" in str(found)


def test_a_verified_workload_is_long_enough_and_makes_no_evaluations() -> None:
    workload = parse_workload(WORKLOAD.read_text(), WORKLOAD.name, ())
    assert isinstance(workload, RegNetWorkload)
    short = workload.model_copy(update={"train": workload.train.model_copy(update={"epochs": 1})})
    prepared = _prepared(short, 2, 44)
    assert prepared.train.max_steps == 44
    assert prepared.train.epochs > 44
    assert prepared.train.evaluate_every_epochs > 44
    assert prepared.elastic.audit


def test_a_folder_that_is_not_empty_is_refused_before_anything_starts(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "something").write_text("here")
    assert run(["verify", "elastic", str(WORKLOAD), "--keep", str(tmp_path)]) == 2
    assert "is not empty" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["something"]


@pytest.mark.parametrize(("error", "stays"), [(RehearsalFailed, True), (TimedOut, True), (UsageError, False)])
def test_a_temporary_folder_stays_where_it_explains_what_failed(error: type[Exception], stays: bool) -> None:
    with pytest.raises(error), _folder(None) as folder:
        raise error("it failed")
    assert folder.exists() == stays
    shutil.rmtree(folder, ignore_errors=True)
    with _folder(None) as folder:
        pass
    assert not folder.exists()
