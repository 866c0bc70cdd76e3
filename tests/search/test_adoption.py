"""A real trial takes over the state of another one: bit for bit, and goes on with a seed and a rate of its own."""

from dataclasses import replace

import pytest
import torch

from orchestrator.base.errors import Conflict, DataError
from orchestrator.blueprint.workload import known_population
from orchestrator.data.build import build
from orchestrator.recipes.settings import checkpoint_store
from orchestrator.rundir.layout import JobDirectory
from orchestrator.search.adoption import adopt_checkpoint
from orchestrator.search.population import fresh_trials, trial_checkpoints
from orchestrator.search.records import TrialRecord, TrialRecords
from orchestrator.search.trainer import train_regnet
from orchestrator.search.trial import Surroundings, TrialEnd, TrialTask
from orchestrator.spec.load import freeze_workload, load_card, thaw_workload
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.training.checkpoint import Checkpoint, CheckpointStore


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> RegNetWorkload:
    digits = tmp_path_factory.mktemp("data") / "digits"
    build(load_card("digits"), None, digits)
    return RegNetWorkload.model_validate(
        {
            "name": "pbt",
            "recipe": "regnet",
            "data": {"dataset": str(digits), "image_size": 8},
            "model": {"depth": 4, "w0": 8, "wa": 8, "wm": 2, "group_width": 8, "stem": "cifar", "stem_width": 8},
            "optim": {"lr": 0.1, "schedule": "constant"},
            "train": {"epochs": 2, "batch_size": 512},
            "search": {"trials": 2, "scheduler": {"type": "pbt", "vary": {"lr": "0.01..0.5"}}},
        }
    )


def train(job: JobDirectory, record: TrialRecord, until: int) -> TrialEnd:
    TrialRecords(job, 1).save(record)
    run = job.run("job-1-r1")
    task = TrialTask(str(job.path), 1, record.index, "", str(run.path / "trials"), str(run.path), until=until)
    return train_regnet(task, Surroundings(lambda metrics: None, lambda samples: None, lambda: False))


def store_of(job: JobDirectory, workload: RegNetWorkload, index: int) -> CheckpointStore:
    return checkpoint_store(workload.train.checkpoint, trial_checkpoints(workload, job, index))


def newest(store: CheckpointStore) -> Checkpoint:
    found = store.newest()
    assert found is not None
    return found


def test_a_copy_is_the_sources_bit_for_bit_and_trains_on_as_itself(
    job: JobDirectory, population: RegNetWorkload
) -> None:
    job.spec.write_text(freeze_workload(population))
    assert thaw_workload(job.spec.read_text()) == population
    first, second = fresh_trials(known_population(population, in_channels=1, num_classes=10), population, job)
    ends = [train(job, trial, until=1) for trial in (first, second)]
    assert [(end.end, end.metrics["epoch"], end.metrics["lr"]) for end in ends] == [
        ("paused", 1, pytest.approx(trial.parameters["lr"])) for trial in (first, second)
    ]
    assert train(job, first, until=1) == ends[0]  # there already: a driver that died did not hear of it
    samples = int(ends[0].metrics["samples"])
    source, trial = (replace(each, samples=samples) for each in (first, second))
    theirs, own = (store_of(job, population, index) for index in (0, 1))
    before = own.model_of(newest(own))
    for _ in range(2):
        adopt_checkpoint(job, 1, population, source, trial)
    found, copied = newest(theirs), newest(own)
    tensors = theirs.model_of(found)
    assert any(not torch.equal(tensors[name], before[name]) for name in tensors)
    assert all(torch.equal(tensor, own.model_of(copied)[name]) for name, tensor in tensors.items())
    assert copied.manifest.files == found.manifest.files  # optimizer and all, by their digests
    assert copied.meta["state"] == found.meta["state"]
    assert copied.meta["identity"] == {**found.meta["identity"], "seed": second.seed}
    assert copied.meta["adopted"] == [{"trial": 0, "seed": first.seed, "samples": samples}]
    rate = 2 * first.parameters["lr"]
    end = train(job, replace(trial, parameters={"lr": rate}), until=2)
    assert (end.end, end.metrics["epoch"], end.metrics["lr"]) == ("finished", 2, pytest.approx(rate))


def test_a_checkpoint_that_is_not_the_sources_or_not_there_is_not_adopted(
    job: JobDirectory, population: RegNetWorkload
) -> None:
    job.spec.write_text(freeze_workload(population))
    first, second = fresh_trials(known_population(population, in_channels=1, num_classes=10), population, job)
    source = replace(first, samples=int(train(job, first, until=1).metrics["samples"]))
    with pytest.raises(Conflict, match="is not that of trial 0"):
        adopt_checkpoint(job, 1, population, replace(source, seed=1), second)
    with pytest.raises(DataError):
        adopt_checkpoint(job, 1, population, replace(source, samples=1), second)
    assert store_of(job, population, 1).newest() is None
    adopt_checkpoint(job, 1, population, source, second)
    other = replace(second, seed=7, samples=source.samples, parameters={"lr": 0.1})
    end = train(job, other, until=2)  # of another seed than the copy says
    assert (end.end, end.failure_class) == ("failed", "permanent")
    assert "belongs to another training (seed" in end.message
