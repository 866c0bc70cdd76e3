"""The `regnet` recipe: trains one RegNet on images, as a rank of a run or as a trial of a search.

The model of a training is that of its last epoch, as in "Designing Network Design Spaces" (arXiv 2003.13678): no epoch
is picked along the way. The validation split compares models; the test split is for the one that was chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Self

import torch
from torch import nn

from orchestrator.base.errors import NotFound
from orchestrator.blueprint.complexity import Complexity, complexity
from orchestrator.blueprint.regnet import RegNetParameters
from orchestrator.blueprint.workload import learning_rate_of
from orchestrator.data.arrays import Int64s
from orchestrator.models.anynet import build_anynet
from orchestrator.recipes.classification import MEASURES, LabelledImages, measure, smoothed_loss
from orchestrator.recipes.images import ImageSplits
from orchestrator.recipes.metrics import EpochMetrics
from orchestrator.recipes.skipped import SkippedRows
from orchestrator.rundir.dataset import hold_to_dataset, refuse_other_data
from orchestrator.rundir.fence import check_fence
from orchestrator.rundir.layout import JobDirectory
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.training.checkpoint import CheckpointStore
from orchestrator.training.config import EngineContext, EpochReport, TrainConfig, TrainResult
from orchestrator.training.determinism import deterministic
from orchestrator.training.engine import train
from orchestrator.training.evaluation import Evaluation, evaluate
from orchestrator.training.group import Group, alone
from orchestrator.training.optim import SGDConfig
from orchestrator.training.progress import Progress
from orchestrator.training.slices import SlicePlan
from orchestrator.training.state import DATASET
from orchestrator.training.task import Request, Split

VERSION = 1
"""Rises whenever equal workloads would train differently; a checkpoint of another version is refused."""


@dataclass(frozen=True)
class RegNetRecipe:
    """One RegNet on the images of a workload; a `Task` of the engine.

    Attributes:
        parameters: of the model.
        images: the dataset.
        label_smoothing: share of the target that is spread over all classes.
    """

    parameters: RegNetParameters
    images: ImageSplits
    label_smoothing: float = 0.0

    @classmethod
    def from_workload(
        cls,
        workload: RegNetWorkload,
        parameters: RegNetParameters,
        device: torch.device,
        skipped: Callable[[SkippedRows], None] = lambda rows: None,
    ) -> Self:
        """The recipe of a workload's model or of one of its trials; `skipped` is told of corrupt records."""
        cores = workload.resources.cpus_per_worker
        images = ImageSplits.open(workload.data, workload.seed, cores=cores, device=device, skipped=skipped)
        return cls(parameters, images, workload.optim.label_smoothing)

    @property
    def identity(self) -> Mapping[str, str | int | float]:
        """What a checkpoint belongs to."""
        return {
            "recipe": f"regnet {VERSION}",
            DATASET: self.images.version,
            "data": self.images.data.identity(),
            "label_smoothing": self.label_smoothing,
            **{f"model.{name}": value for name, value in asdict(self.parameters).items()},
        }

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of what `evaluate` sums up."""
        return MEASURES

    @property
    def complexity(self) -> Complexity:
        """Multiply-adds, parameters and activations of the model on the workload's images."""
        about = self.images.description
        return complexity(
            self.parameters.design(),
            image_size=self.images.data.image_size,
            in_channels=about.channels,
            num_classes=len(about.classes),
        )

    @property
    def look_ahead(self) -> int:
        """How many loads can be made ahead."""
        return self.images.look_ahead

    def build_model(self) -> nn.Module:
        """The model with new parameters."""
        about = self.images.description
        return build_anynet(self.parameters.design(), in_channels=about.channels, num_classes=len(about.classes))

    def samples(self, split: Split) -> int:
        """How many samples an epoch of the split has; 0 where there is no such split."""
        return self.images.positions(split)

    def load(self, split: Split, positions: Int64s, epoch: int) -> LabelledImages:
        """The images and labels at `positions` of an epoch's order."""
        images, labels = self.images.load(split, positions, epoch)
        return LabelledImages(images, labels)

    def expect(self, split: Split, requests: Sequence[Request]) -> None:
        """What is loaded next."""
        self.images.loader(split).expect(requests)

    def loss(self, model: nn.Module, batch: LabelledImages) -> torch.Tensor:
        """Cross-entropy with label smoothing, summed over the samples."""
        return smoothed_loss(model(batch.images), batch.labels, self.label_smoothing)

    def evaluate(self, model: nn.Module, batch: LabelledImages) -> torch.Tensor:
        """Sums of loss and wrong answers."""
        return measure(model(batch.images), batch.labels)


@dataclass(frozen=True)
class TrainingOutcome:
    """How a training ended.

    Attributes:
        state: `finished`, or `stopped` by a stop request or by a report's answer.
        samples: training samples, those among them that were skipped included.
        skipped: training samples that were corrupt and left out.
        history: metrics of every epoch, those before a resume included.
        exact_until: samples after which the bits may differ from an undisturbed run's; None: they do not.
        fingerprint: what else the bits depend on (device, torch, threads).
        model: with its last parameters.
        recipe: what was trained.
        group: the workers.
        threads: of each worker.
        left_out: what each epoch left out or repeated, in words; empty where nothing.
    """

    state: Literal["finished", "stopped"]
    samples: int
    skipped: int
    history: tuple[EpochMetrics, ...]
    exact_until: int | None
    fingerprint: Mapping[str, str | int]
    model: nn.Module
    recipe: RegNetRecipe
    group: Group
    threads: int
    left_out: str = ""

    @classmethod
    def of(cls, result: TrainResult, recipe: RegNetRecipe, group: Group, threads: int) -> Self:
        """In the words of a classifier."""
        return cls(
            state=result.state,
            samples=result.samples,
            skipped=result.skipped,
            history=tuple(map(EpochMetrics.of, result.history)),
            exact_until=result.exact_until,
            fingerprint=result.fingerprint,
            model=result.model,
            recipe=recipe,
            group=group,
            threads=threads,
            left_out=result.left_out,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """End the loader processes, which until then help to evaluate."""
        self.recipe.images.close()

    @property
    def metrics(self) -> EpochMetrics | None:
        """Of the last complete epoch."""
        return self.history[-1] if self.history else None

    def evaluate(self, split: Split) -> Evaluation:
        """Means of `loss` and `error` over a split; every worker of the group calls this, and gets the same.

        Raises:
            NotFound: the dataset has no such split, or it is empty.
        """
        with deterministic(self.threads):
            return _evaluate(self.recipe, self.model, split, self.group)


def run_training(
    workload: RegNetWorkload,
    parameters: RegNetParameters,
    *,
    group: Group | None = None,
    checkpoints: Path | None = None,
    job: JobDirectory | None = None,
    token: int = 0,
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[EpochMetrics], bool] = lambda metrics: True,
    progress: Callable[[Progress], None] = lambda progress: None,
    checkpointed: Callable[[Path, int], None] = lambda path, samples: None,
    note: Callable[[str], None] = lambda text: None,
    skipped: Callable[[SkippedRows], None] = lambda rows: None,
    opened: Callable[[ImageSplits], None] = lambda images: None,
) -> TrainingOutcome:
    """Train one model, from its newest checkpoint where there is one.

    Leave the outcome's `with` block, or close it, when no split is to be evaluated any more.

    Args:
        workload: data, optimizer and training settings.
        parameters: of the model (a search's trial, or the workload's own).
        group: the workers; default: this process alone.
        checkpoints: folder of this model's checkpoints; None keeps none.
        job: which sees one version of the data, and whose fence is checked before a checkpoint is written.
        token: the run's fencing token.
        stop: whether to checkpoint and end; asked before every step.
        report: told of every epoch; False ends the training, with a checkpoint.
        progress: told about once a second.
        checkpointed: told of each checkpoint: its folder, and samples so far.
        note: told what a person may want to know.
        skipped: told of corrupt records that this worker found and left out.
        opened: told of the data before the first step, once it is known to be the job's.

    Raises:
        DataError, NonFiniteLoss, Conflict, Fenced, UsageError: see `training.engine.train`.
    """
    workers = group or alone()
    with deterministic(workload.resources.cpus_per_worker):
        recipe = RegNetRecipe.from_workload(workload, parameters, workers.device, skipped)
        if job is not None:
            hold_to_dataset(job, token, recipe.images.version)
        opened(recipe.images)
        context = EngineContext(
            group=workers,
            checkpoints=_store(workload, checkpoints, job, token),
            stop=stop,
            report=partial(_report, recipe.images, report),
            progress=progress,
            checkpointed=checkpointed,
            note=note,
        )
        with ExitStack() as unless_it_fails:
            unless_it_fails.enter_context(recipe.images)
            result = train(recipe, _config(workload, recipe.samples("train")), context)
            unless_it_fails.pop_all()
    return TrainingOutcome.of(result, recipe, workers, workload.resources.cpus_per_worker)


def evaluate_checkpoint(
    workload: RegNetWorkload,
    parameters: RegNetParameters,
    checkpoints: Path,
    samples: int,
    split: Split,
    *,
    skipped: Callable[[SkippedRows], None] = lambda rows: None,
) -> Evaluation:
    """Means of `loss` and `error` over a split, of the model after `samples` samples, never of another.

    Args:
        workload: data and so on.
        parameters: of the model.
        checkpoints: their folder.
        samples: which checkpoint.
        split: which samples.
        skipped: told of corrupt records that were left out.

    Raises:
        Conflict: it was trained on another version of the data.
        DataError: that checkpoint is absent or damaged.
        NotFound: there is no such split.
    """
    found = CheckpointStore(checkpoints).read_whole(samples)
    group = alone()
    with deterministic(workload.resources.cpus_per_worker):
        recipe = RegNetRecipe.from_workload(workload, parameters, group.device, skipped)
        refuse_other_data(found.meta["identity"].get(DATASET), recipe.images.version)
        model = recipe.build_model()
        model.load_state_dict(found.tensors["model"])
        with recipe.images:
            return _evaluate(recipe, model.to(memory_format=torch.channels_last).to(group.device), split, group)


def _report(images: ImageSplits, report: Callable[[EpochMetrics], bool], epoch: EpochReport) -> bool:
    images.tell_skipped()
    return report(EpochMetrics.of(epoch))


def _evaluate(recipe: RegNetRecipe, model: nn.Module, split: Split, group: Group) -> Evaluation:
    found = evaluate(recipe, model, split, group)
    recipe.images.tell_skipped()
    if found is None or not found.samples:
        raise NotFound(f"{recipe.images.location} has no samples in the split {split}", hint="see its dataset card")
    return found


def _config(workload: RegNetWorkload, samples: int) -> TrainConfig:
    optim, settings = workload.optim, workload.train
    return TrainConfig(
        epochs=settings.epochs,
        plan=SlicePlan(settings.batch_size, min(settings.slice_samples, settings.batch_size)),
        schedule=learning_rate_of(workload, samples),
        sgd=SGDConfig(optim.momentum, optim.nesterov, optim.weight_decay),
        seed=workload.seed,
        exact=settings.exact,
        evaluate_every=settings.evaluate_every_epochs,
        checkpoint_every=settings.checkpoint.every_epochs,
        last_batch=workload.data.last_batch,
    )


def _store(workload: RegNetWorkload, root: Path | None, job: JobDirectory | None, token: int) -> CheckpointStore | None:
    if root is None:
        return None
    fence = (lambda: None) if job is None else partial(check_fence, job, token)
    return CheckpointStore(root, workload.train.checkpoint.keep, fence)
