"""Trains one RegNet, as a worker of a run or as a trial of a search, and evaluates what was trained.

The model of a training is that of its last epoch, as in "Designing Network Design Spaces" (arXiv 2003.13678): no epoch
is picked along the way. The validation split compares models; the test split is for the one that was chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from orchestrator.base.errors import NotFound
from orchestrator.blueprint.regnet import RegNetParameters
from orchestrator.blueprint.workload import learning_rate_of
from orchestrator.recipes.images import ImageSplits
from orchestrator.recipes.metrics import EpochMetrics
from orchestrator.recipes.regnet import RegNetRecipe
from orchestrator.recipes.settings import checkpoint_store, train_config
from orchestrator.recipes.skipped import SkippedRows
from orchestrator.rundir.dataset import hold_to_dataset, refuse_other_data
from orchestrator.rundir.fence import check_fence
from orchestrator.rundir.layout import JobDirectory
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.training.config import EngineContext, EpochReport, TrainResult
from orchestrator.training.determinism import deterministic
from orchestrator.training.engine import train
from orchestrator.training.evaluation import Evaluation, evaluate
from orchestrator.training.group import default_device
from orchestrator.training.state import DATASET
from orchestrator.training.task import Split


@dataclass(frozen=True)
class TrainingOutcome:
    """How a training ended on this worker.

    Attributes:
        result: in the words of the engine.
        recipe: what was trained.
    """

    result: TrainResult
    recipe: RegNetRecipe

    @property
    def history(self) -> tuple[EpochMetrics, ...]:
        """Metrics of every epoch, those before a resume included."""
        return tuple(map(EpochMetrics.of, self.result.history))

    @property
    def metrics(self) -> EpochMetrics | None:
        """Of the last complete epoch."""
        return self.history[-1] if self.result.history else None

    @property
    def final(self) -> Mapping[Split, Evaluation]:
        """Means of `loss` and `error` over the splits that were evaluated at the end."""
        return self.result.final


def run_training(
    workload: RegNetWorkload,
    parameters: RegNetParameters,
    context: EngineContext | None = None,
    *,
    job: JobDirectory | None = None,
    token: int = 0,
    checkpoints: Path | str | None = None,
    final_splits: tuple[Split, ...] = (),
    pause_after: int | None = None,
    skipped: Callable[[SkippedRows], None] = lambda rows: None,
    opened: Callable[[ImageSplits], None] = lambda images: None,
) -> TrainingOutcome:
    """Train one model, from its newest checkpoint where there is one.

    Args:
        workload: data, optimizer and training settings.
        parameters: of the model (a search's trial, or the workload's own).
        context: this worker's surroundings, but for its checkpoints; default: a process alone.
        job: which sees one version of the data, and whose fence is checked before a checkpoint is written.
        token: the run's fencing token.
        checkpoints: folder or URL of this model's checkpoints; None keeps none.
        final_splits: evaluated at the end, those of them that the dataset has.
        pause_after: it stops after so many epochs, to go on another time; None: it does not.
        skipped: told of corrupt records that this worker found and left out.
        opened: told of the data before the first step, once it is known to be the job's.

    Raises:
        DataError, NonFiniteLoss, Conflict, Fenced, UsageError: see `training.engine.train`.
    """
    around = context or EngineContext()
    with deterministic(workload.resources.cpus_per_worker):
        recipe = RegNetRecipe.from_workload(workload, parameters, around.device or default_device(), skipped)
        with recipe.images as images:
            if job is not None:
                hold_to_dataset(job, token, images.version)
            opened(images)
            fence = (lambda: None) if job is None else partial(check_fence, job, token)
            settings = train_config(
                workload.train,
                workload.optim,
                workload.elastic,
                learning_rate_of(workload, recipe.samples("train")),
                seed=workload.seed,
                last_batch=workload.data.last_batch,
                final_splits=tuple(split for split in final_splits if recipe.samples(split)),
            )
            where = None if checkpoints is None else checkpoint_store(workload.train.checkpoint, checkpoints, fence)
            report = partial(_report, images, around.report)
            settings = replace(settings, pause_after=pause_after)
            result = train(recipe, settings, replace(around, checkpoints=where, report=report))
    return TrainingOutcome(result, recipe)


def evaluate_checkpoint(
    workload: RegNetWorkload,
    parameters: RegNetParameters,
    checkpoints: Path | str,
    samples: int,
    split: Split,
    *,
    skipped: Callable[[SkippedRows], None] = lambda rows: None,
) -> Evaluation:
    """Means of `loss` and `error` over a split, of the model after `samples` samples, never of another.

    Args:
        workload: data and so on.
        parameters: of the model.
        checkpoints: their folder or URL.
        samples: which checkpoint.
        split: which samples.
        skipped: told of corrupt records that were left out.

    Raises:
        Conflict: it was trained on another version of the data.
        DataError: that checkpoint is absent or damaged.
        NotFound: there is no such split.
    """
    store = checkpoint_store(workload.train.checkpoint, checkpoints)
    found, device = store.read_whole(samples), default_device()
    with deterministic(workload.resources.cpus_per_worker):
        recipe = RegNetRecipe.from_workload(workload, parameters, device, skipped)
        refuse_other_data(found.meta["identity"].get(DATASET), recipe.images.version)
        with recipe.images as images:
            if not recipe.samples(split):
                raise NotFound(f"{images.location} has no samples in the split {split}", hint="see its dataset card")
            model = recipe.build_model()
            model.load_state_dict(store.model_of(found))
            model = model.to(memory_format=recipe.memory_format).to(device)
            return evaluate(recipe, model, split, device=device, seed=workload.seed)


def _report(images: ImageSplits, report: Callable[[EpochReport], bool], epoch: EpochReport) -> bool:
    images.tell_skipped()
    return report(epoch)
