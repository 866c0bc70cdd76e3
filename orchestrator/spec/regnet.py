"""The `regnet` recipe: train one RegNet, or search its design space ("Designing Network Design Spaces")."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from orchestrator.base.text import counted
from orchestrator.spec.base import Document, Name
from orchestrator.spec.data import DataSection, RepeatFactor, SquareRoot
from orchestrator.spec.optim import Optim
from orchestrator.spec.search import Search, TrialShare
from orchestrator.spec.sections import Positive, WorkloadBase
from orchestrator.spec.training import Elastic, Train
from orchestrator.spec.units import WorkerRange

MEASURES = ("loss", "error")
"""What is measured on a split, means over its samples."""


class Augment(Document):
    """Random changes to training images, keyed by (seed, epoch, position)."""

    pad_crop: int = Field(default=0, ge=0, le=64, description="pad by so many pixels, then crop back at random")
    flip: bool = Field(default=False, description="mirror half of the images horizontally")


class Data(DataSection):
    """What is read, and in which order."""

    image_size: int = Field(ge=4, le=1024, description="pixels; images are resized to a square")
    augment: Augment = Augment()
    shuffle_labels: bool = Field(default=False, description="control experiment: training labels are permuted")

    @model_validator(mode="after")
    def _one_label_a_sample(self) -> Data:
        if isinstance(self.resample, RepeatFactor | SquareRoot):
            raise ValueError(
                "resample: an image of a classifier has one label: use class_balanced, or {weights: column}"
            )
        return self


class RegNetModel(Document):
    """A RegNet: a published one by `preset`, or by the five parameters of its quantised linear widths."""

    family: Literal["regnetx", "regnety"] = Field(default="regnetx", description="regnety adds squeeze-and-excitation")
    preset: Name | None = Field(default=None, description="a published model, such as regnetx_400mf")
    depth: int | None = Field(default=None, ge=1, le=256)
    w0: int | None = Field(default=None, ge=8, description="initial width")
    wa: Positive | None = Field(default=None, description="slope of the widths")
    wm: Annotated[float, Field(gt=1)] | None = Field(default=None, description="quantisation of the widths")
    group_width: int | None = Field(default=None, ge=1)
    stem: Literal["imagenet", "cifar"] = Field(default="imagenet", description="cifar: the stem keeps the resolution")
    stem_width: int = Field(default=32, ge=1, le=1024)

    @property
    def parameters(self) -> dict[str, float | None]:
        """The five parameters, by name."""
        return {n: getattr(self, n) for n in ("depth", "w0", "wa", "wm", "group_width")}


class RegNetWorkload(WorkloadBase):
    """Train a RegNet, or search the RegNet design space."""

    recipe: Literal["regnet"]
    data: Data
    model: RegNetModel = RegNetModel()
    optim: Optim
    train: Train
    elastic: Elastic = Elastic()
    search: Search | None = None

    @property
    def workers(self) -> WorkerRange:
        """How many workers a run can use: of a training at most one for each virtual worker."""
        asked, slices = self.resources.workers, self.train.virtual_workers
        if self.search is not None or asked.max <= slices:
            return asked
        return WorkerRange(low=min(asked.min, slices), high=slices)

    @model_validator(mode="after")
    def _every_worker_has_a_slice(self) -> RegNetWorkload:
        slices = self.train.virtual_workers
        if self.search is None and self.resources.workers.min > slices:
            raise ValueError(
                f"resources.workers is at least {self.resources.workers.min}, and train cuts a batch of "
                f"{self.train.batch_size} into {counted(slices, 'virtual worker')} of {self.train.slice_samples}: "
                "set train.samples_per_virtual_worker lower, or resources.workers"
            )
        return self

    @model_validator(mode="after")
    def _trains_as_a_regnet_can(self) -> RegNetWorkload:
        train, best = self.train, self.train.checkpoint.keep.best
        if train.accumulate > 1:
            raise ValueError(
                "train.accumulate: a RegNet's batch norm needs all samples of a slice at once; "
                "set train.samples_per_virtual_worker lower, or train.activation_checkpointing"
            )
        if best is not None and best not in MEASURES:
            raise ValueError(f"train.checkpoint.keep.best: a classifier's measures are {' and '.join(MEASURES)}")
        if self.search is not None and train.parallel != "ddp":
            raise ValueError(f"train.parallel: a trial of a search has one worker, and {train.parallel} needs several")
        if self.search is not None and self.elastic.engine != "builtin":
            raise ValueError(f"elastic.engine: {self.elastic.engine} runs one training; a search has search.engine")
        if self.search is not None and train.checkpoint.to is not None:
            raise ValueError("train.checkpoint.to: trials of a search keep their checkpoints in the job's directory")
        return self

    @model_validator(mode="after")
    def _a_trial_fits_into_a_worker(self) -> RegNetWorkload:
        if self.search is None:
            return self
        has, share = self.resources, self.trial_share
        for key, asked, most, of in (
            ("cpus", share.cpus, has.cpus_per_worker, "cpus_per_worker"),
            ("gpus", share.gpus, has.gpus_per_worker, "gpus_per_worker"),
        ):
            if asked > most:
                raise ValueError(
                    f"search.trial.{key}: a trial lies within one worker, and resources.{of} is {most}, not {asked:g}"
                )
        if has.gpus_per_worker and not share.gpus:
            raise ValueError("search.trial.gpus: 0 leaves the GPUs of resources.gpus_per_worker without work")
        stop = self.search.stop
        if stop.gpu_hours is not None and not share.gpus:
            raise ValueError("search.stop.gpu_hours: trials take no GPU (resources.gpus_per_worker): use core_hours")
        return self

    @model_validator(mode="after")
    def _a_population_can_be_compared(self) -> RegNetWorkload:
        scheduler = None if self.search is None else self.search.scheduler
        if scheduler is None or scheduler.vary is None:
            return self
        train, every = self.train, scheduler.interval_epochs
        if every % train.evaluate_every_epochs:
            raise ValueError(
                f"search.scheduler.interval_epochs: trials are compared after each {counted(every, 'epoch')}, and "
                f"evaluated every {train.evaluate_every_epochs} (train.evaluate_every_epochs): it must be a multiple"
            )
        if every >= train.epochs:
            raise ValueError(
                f"search.scheduler.interval_epochs: {every} of {counted(train.epochs, 'epoch')} leaves no second "
                "generation: set it lower, or train.epochs higher"
            )
        if train.max_steps is not None:
            raise ValueError("train.max_steps: trials of scheduler: pbt are compared at the ends of epochs")
        for name, ends in scheduler.vary.ranges.items():
            for value in ends:
                try:
                    self.optim.changed({name: value})
                except ValidationError as error:
                    what = error.errors()[0]["msg"].removeprefix("Value error, ")
                    raise ValueError(f"search.scheduler.vary.{name}: {value:g} does not fit optim: {what}") from None
        return self

    @property
    def trial_share(self) -> TrialShare:
        """What one trial of the search takes; as much as a worker has, where nobody says less."""
        asked = None if self.search is None else self.search.trial
        cpus, gpus = (None, None) if asked is None else (asked.cpus, asked.gpus)
        has = self.resources
        return TrialShare(
            has.cpus_per_worker if cpus is None else cpus, float(has.gpus_per_worker if gpus is None else gpus)
        )

    def trials_at_once(self, nodes: Iterable[int]) -> int:
        """How many trials of the search run at once; each lies on one node.

        Args:
            nodes: workers of each node of the run.
        """
        has, asked = self.resources, None if self.search is None else self.search.concurrency
        fit = sum(self.trial_share.at_once(n * has.cpus_per_worker, n * has.gpus_per_worker) for n in nodes)
        return max(1, min(fit, asked or fit))

    @model_validator(mode="after")
    def _one_way_to_name_the_model(self) -> RegNetWorkload:
        given = [name for name, value in self.model.parameters.items() if value is not None]
        if self.search is not None and self.search.scheduler.type != "pbt":
            if self.model.preset or given:
                raise ValueError("model: a search samples " + ", ".join(self.model.parameters) + " and takes no preset")
        elif self.model.preset is None and len(given) < 5:
            raise ValueError("model: give a preset, or all of " + ", ".join(self.model.parameters))
        elif self.model.preset is not None and given:
            raise ValueError("model: give a preset or parameters, not both")
        return self
