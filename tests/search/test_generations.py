"""Population based training through Tune, with trials whose state is one number; and a driver that dies anywhere."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from orchestrator.base.errors import DataError
from orchestrator.blueprint.workload import known_population
from orchestrator.onray.private import Signals, private_ray
from orchestrator.rundir.layout import JobDirectory
from orchestrator.runtime.durable import DurableEvents
from orchestrator.search.driver import SearchRun, tune_trials
from orchestrator.search.generations import descent, select
from orchestrator.search.ledger import Ledger
from orchestrator.search.population import fresh_trials, resumed_trials
from orchestrator.search.records import Generation, TrialRecord, TrialRecords
from orchestrator.search.voice import Voice
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.tracking.protocol import Discard

TRAINER = '''
"""Minimises a number: an epoch divides it by 1 + lr, and an lr above 0.8 breaks the training."""
import json
import time
from pathlib import Path
from orchestrator.search.records import TrialRecords
from orchestrator.rundir.layout import JobDirectory
from orchestrator.search.trial import TrialEnd

def metrics(state):
    return {"epoch": state["epoch"], "samples": state["epoch"] * 100, "val_error": state["value"]}

def train(task, around):
    job = JobDirectory(Path(task.job))
    rate = TrialRecords(job, task.token).load_one(task.index).parameters["lr"]
    saved = job.path / f"saved-{task.index}"
    state = json.loads(saved.read_text()) if saved.exists() else {"epoch": 0, "value": 1.0, "rates": []}
    while state["epoch"] < (task.until or 4):
        hold = job.path / f"hold-{task.index}"
        while state["epoch"] == 3 and hold.exists() and not around.stop():
            (job.path / f"held-{task.index}").touch()
            time.sleep(.02)
        if around.stop():
            return TrialEnd("stopped", metrics(state) if state["epoch"] else {})
        if rate > 0.8:
            return TrialEnd("failed", {}, "the loss is nan", "application")
        state = {"epoch": state["epoch"] + 1, "value": state["value"] / (1 + rate), "rates": [*state["rates"], rate]}
        saved.write_text(json.dumps(state))
        if state["epoch"] < (task.until or 4):
            around.report(metrics(state))
    return TrialEnd("finished" if state["epoch"] == 4 else "paused", metrics(state))
'''
PBT = {"type": "pbt", "interval_epochs": 2, "quantile": 0.34, "vary": {"lr": "0.01..1"}}


def population(**search: object) -> RegNetWorkload:
    """Six trials of two generations; after the first two trials copy others."""
    return RegNetWorkload.model_validate(
        {
            "name": "pbt",
            "recipe": "regnet",
            "seed": 20,
            "data": {"dataset": "digits", "image_size": 8},
            "model": {"depth": 4, "w0": 16, "wa": 8, "wm": 2, "group_width": 8, "stem": "cifar", "stem_width": 8},
            "optim": {"lr": 0.1},
            "train": {"epochs": 4, "batch_size": 64},
            "search": {"trials": 6, "scheduler": PBT, **search},
        }
    )


def copy_saved(job: JobDirectory, source: TrialRecord, trial: TrialRecord) -> None:
    shutil.copyfile(job.path / f"saved-{source.index}", job.path / f"saved-{trial.index}")


def open_ledger(job: JobDirectory, workload: RegNetWorkload, attempt: int = 1) -> Ledger:
    records = TrialRecords(job, attempt)
    fresh = fresh_trials(known_population(workload, in_channels=1, num_classes=10), workload, job)
    voice = Voice(DurableEvents(job.run(f"job-1-r{attempt}"), "rank-0", attempt), Discard(), "job-1")
    return Ledger(resumed_trials(fresh, records.load()), records, voice, epochs=4, samples_per_epoch=100)


@dataclass(frozen=True)
class Rig:
    scratch: Path
    trainer: str

    def search(
        self,
        job: JobDirectory,
        workload: RegNetWorkload,
        should_stop: Callable[[], bool] = lambda: False,
        attempt: int = 1,
    ) -> tuple[bool, dict[int, TrialRecord]]:
        """One run of the job."""
        job.run(f"job-1-r{attempt}").create()
        ledger, adopt = open_ledger(job, workload, attempt), partial(copy_saved, job)
        run = SearchRun(job, job.run(f"job-1-r{attempt}"), attempt, 2, lost, trainer=self.trainer, adopt=adopt)
        scratch = self.scratch / f"{job.path.parent.parent.name}-{attempt}"
        ended = tune_trials(run, workload, ledger, should_stop, scratch, Signals.current())
        return ended, TrialRecords(job, attempt).load()


def lost(daemon: str) -> None:
    raise AssertionError(f"Ray's {daemon} died")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("lib")
    (folder / "toy_of_generations.py").write_text(TRAINER)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder))
        with private_ray(2, 0, lost) as (scratch, _):
            yield Rig(scratch, "toy_of_generations:train")


def new_job(folder: Path) -> JobDirectory:
    job = JobDirectory.under(folder, "job-1")
    job.create()
    job.run("job-1-r1").create()
    return job


def saved(job: JobDirectory, index: int) -> dict[str, object]:
    found: dict[str, object] = json.loads((job.path / f"saved-{index}").read_text())
    return found


def outcome(records: dict[int, TrialRecord]) -> list[object]:
    return [(r.index, r.state, r.epochs, r.metrics, r.parameters, r.lineage) for r in records.values()]


@pytest.mark.ray
def test_bad_trials_go_on_as_copies_and_an_interruption_changes_nothing(rig: Rig, tmp_path: Path) -> None:
    whole = new_job(tmp_path / "whole")
    ended, records = rig.search(whole, population())
    assert ended
    assert [(r.state, r.epochs) for r in records.values()] == [("succeeded", 4)] * 6
    assert [[g.epoch for g in r.lineage] for r in records.values()] == [[2]] * 6
    first = {r.index: r.lineage[0] for r in records.values()}
    assert [index for index in first if first[index].error is None] == [5]  # its lr broke it
    assert {index for index in first if first[index].source != index} == {0, 5}
    for record in records.values():  # what a trial holds was trained with what its descent says
        stretches, rates = descent(record, list(records.values())), []
        for stretch in stretches:
            rates += [stretch["parameters"]["lr"]] * int(stretch["to_epoch"] - len(rates))
        assert saved(whole, record.index)["rates"] == rates

    stopped = new_job(tmp_path / "stopped")
    (stopped.path / "hold-0").touch()
    one = population(concurrency=1)
    ended, half = rig.search(stopped, one, should_stop=(stopped.path / "held-0").exists)
    assert not ended
    assert {r.epochs for r in half.values()} == {2, 3}
    (stopped.path / "hold-0").unlink()
    ended, resumed = rig.search(stopped, one, attempt=2)
    assert ended
    assert outcome(resumed) == outcome(records)


def ended(job: JobDirectory, workload: RegNetWorkload) -> None:
    """All trials stand at the end of the first generation; the last one failed."""
    records = TrialRecords(job, 1)
    for trial in open_ledger(job, workload).trials:
        error = 0.1 * ((trial.index + 3) % 6 + 1)
        (job.path / f"saved-{trial.index}").write_text(json.dumps({"value": error}))
        here = replace(trial, epochs=2.0, samples=200, metrics={"val_error": error})
        records.save(here if trial.index < 5 else replace(trial, state="failed", failures={"application": 1}))


def never() -> bool:
    """Nobody asks for a stop."""
    return False


class Killed(Exception):
    """The driver died."""


def test_a_driver_that_dies_between_two_copies_decides_the_same_again(tmp_path: Path) -> None:
    workload, found = population(), []
    for copies_before in (None, 0, 1):
        job = new_job(tmp_path / f"killed-{copies_before}")
        ended(job, workload)
        made: list[int] = []

        def adopt(
            source: TrialRecord,
            trial: TrialRecord,
            made: list[int] = made,
            job: JobDirectory = job,
            last: int | None = copies_before,
        ) -> None:
            if len(made) == last:
                raise Killed
            made.append(trial.index)
            copy_saved(job, source, trial)

        ledger = open_ledger(job, workload)
        if copies_before is not None:
            with pytest.raises(Killed):
                select(workload, ledger, 0, 2, adopt, never)
        select(workload, open_ledger(job, workload), 0, 2, partial(copy_saved, job), never)
        if copies_before is None:
            only = TrialRecords(job, 1).load()
            # A driver that died while it wrote records: those of some trials say what the others' do not yet.
            TrialRecords(job, 1).save(replace(only[0], lineage=(), parameters=only[0].lineage[0].parameters))
            select(workload, open_ledger(job, workload), 0, 2, partial(copy_saved, job), never)
        records = TrialRecords(job, 1).load()
        found.append(([(r.parameters, r.metrics, r.lineage, r.state) for r in records.values()], saved(job, 5)))
    assert found[0] == found[1] == found[2]


def test_a_copy_keeps_its_seed_and_its_own_history_and_waits(tmp_path: Path) -> None:
    workload, job = population(), new_job(tmp_path)
    ended(job, workload)
    before = TrialRecords(job, 1).load()
    select(workload, open_ledger(job, workload), 0, 2, partial(copy_saved, job), never)
    records = TrialRecords(job, 1).load()
    for record in records.values():
        generation, old = record.lineage[0], before[record.index]
        assert (record.seed, record.identity, record.state) == (old.seed, old.identity, "pending")
        assert generation.parameters == old.parameters
        assert (generation.source != record.index) == (record.index in {2, 5})  # 0.6, and the one that failed
        assert record.metrics == before[generation.source].metrics
        assert saved(job, record.index) == {"value": before[generation.source].metrics["val_error"]}
    assert {records[2].lineage[0].source, records[5].lineage[0].source} <= {3, 4}
    assert (records[5].lineage[0].error, records[5].failures) == (None, {})  # it may fail as often again


def test_a_damaged_checkpoint_is_not_copied_but_the_next_best_and_the_history_says_so(tmp_path: Path) -> None:
    workload, job = population(), new_job(tmp_path)
    ended(job, workload)
    errors = {index: record.val_error for index, record in TrialRecords(job, 1).load().items()}
    damaged: set[int] = set()

    def adopt(source: TrialRecord, trial: TrialRecord) -> None:
        if source.index in damaged:
            raise DataError(f"the checkpoint of {source.index} differs from its checksum")
        copy_saved(job, source, trial)

    def generations() -> dict[int, Generation]:
        one = new_job(tmp_path / f"without-{sorted(damaged)}")
        ended(one, workload)
        assert select(workload, open_ledger(one, workload), 0, 2, adopt, never)
        return {index: record.lineage[0] for index, record in TrialRecords(one, 1).load().items()}

    usual = generations()
    damaged |= {3}
    assert errors[3] == min(error for error in errors.values() if error)
    assert {generations()[index].source for index in (2, 5)} == {4}
    chose_it = [index for index in (2, 5) if usual[index].source == 3]
    assert chose_it
    for index in (2, 5):
        told = "trial 3 could not be copied: the checkpoint of 3 differs from its checksum" if index in chose_it else ""
        assert generations()[index].note == told
    damaged |= {0, 1, 4}
    left = generations()
    assert {index: left[index].source for index in left} == {index: index for index in range(6)}
    assert [left[2].note.count("could not be copied"), left[5].note.count("could not be copied")] == [4, 4]


def test_a_stop_request_is_looked_at_before_each_copy_and_the_next_run_decides_the_same(tmp_path: Path) -> None:
    workload, job, made = population(), new_job(tmp_path), list[int]()
    ended(job, workload)
    before = TrialRecords(job, 1).load()

    def adopt(source: TrialRecord, trial: TrialRecord) -> None:
        made.append(trial.index)
        copy_saved(job, source, trial)

    assert not select(workload, open_ledger(job, workload), 0, 2, adopt, lambda: bool(made))
    assert made == [2]
    assert {i: r.lineage for i, r in TrialRecords(job, 1).load().items()} == dict.fromkeys(before, ())
    assert select(workload, open_ledger(job, workload), 0, 2, adopt, never)
    assert made == [2, 2, 5]
