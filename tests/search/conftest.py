from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.blueprint.workload import population_of
from orchestrator.rundir.layout import JobDirectory
from orchestrator.search.population import fresh_trials
from orchestrator.search.records import TrialRecord
from orchestrator.spec.regnet import RegNetWorkload

TRAINER = '''
"""A trainer for tests: counts how often each trial is started, and obeys the files that a test leaves beside it."""
import os
import time
from pathlib import Path
from orchestrator.search.records import TrialRecords
from orchestrator.rundir.layout import JobDirectory
from orchestrator.search.trial import TrialEnd

EPOCHS = 4

def metrics(seed, epoch):
    error = (seed % 997) / 1000 / epoch
    return {"epoch": epoch, "samples": epoch * 100, "val_error": error, "val_loss": error, "train_loss": error}

def train(task, around):
    job = JobDirectory(Path(task.job))
    seed = TrialRecords(job, task.token).load_one(task.index).seed
    with open(job.path / f"starts-{task.index}", "a") as file:
        file.write("x")
    (job.path / f"process-{task.index}").write_text(str(os.getpid()))
    (job.path / f"niceness-{task.index}").write_text(str(os.nice(0)))
    if (job.path / f"die-{task.index}").exists():
        os.kill(os.getpid(), 9)
    with open(job.path / f"places-{task.index}", "a") as file:
        file.write(os.environ.get("ORCHESTRATOR_ALLOCATION", "here") + " ")
    saved = job.path / f"saved-{task.index}"
    first = int(saved.read_text()) + 1 if saved.exists() else 1
    if (job.path / f"fail-{task.index}").exists():
        raise RuntimeError("the trial broke")
    for epoch in range(first, EPOCHS + 1):
        if around.stop():
            return TrialEnd("stopped", metrics(seed, epoch - 1) if epoch > 1 else {})
        hold = job.path / f"hold-{task.index}"
        if epoch == 2 and hold.exists():
            (job.path / f"held-{task.index}").touch()
            while not around.stop() and hold.exists():
                time.sleep(.02)
            if around.stop():
                return TrialEnd("stopped", metrics(seed, 1))
        around.progress(epoch * 100)
        saved.write_text(str(epoch))
        if epoch < EPOCHS:
            around.report(metrics(seed, epoch))
    return TrialEnd("finished", metrics(seed, EPOCHS))
'''


@pytest.fixture
def workload() -> RegNetWorkload:
    return _workload()


@pytest.fixture(scope="session")
def make_workload() -> Callable[..., RegNetWorkload]:
    """A workload whose search section has what is given."""
    return _workload


def _workload(**search: object) -> RegNetWorkload:
    space = {"depth": "4..12", "w0": "16..64", "wa": "8..64", "wm": "2..3", "group_width": "8..32"}
    return RegNetWorkload.model_validate(
        {
            "name": "sweep",
            "recipe": "regnet",
            "seed": 1,
            "data": {"dataset": "digits", "image_size": 8},
            "model": {"stem": "cifar", "stem_width": 8},
            "optim": {"lr": 0.1},
            "train": {"epochs": 4, "batch_size": 64},
            "search": {"trials": 3, "space": space, **search},
        }
    )


@pytest.fixture
def job(tmp_path: Path) -> JobDirectory:
    directory = JobDirectory.under(tmp_path, "job-1")
    directory.create()
    directory.run("job-1-r1").create()
    return directory


@pytest.fixture
def trials(workload: RegNetWorkload, job: JobDirectory) -> tuple[TrialRecord, ...]:
    return fresh_trials(population_of(workload, in_channels=1, num_classes=10), workload, job)


@pytest.fixture(scope="session")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The import path of a trainer that Ray's workers can import."""
    folder = tmp_path_factory.mktemp("lib")
    (folder / "trainer_for_tests.py").write_text(TRAINER)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder))
        yield "trainer_for_tests:train"
