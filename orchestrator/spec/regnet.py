"""The `regnet` recipe: train one RegNet, or search its design space ("Designing Network Design Spaces")."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from orchestrator.base.text import counted
from orchestrator.spec.base import Document, Name
from orchestrator.spec.data import DataSection, RepeatFactor, SquareRoot
from orchestrator.spec.optim import Optim
from orchestrator.spec.sections import Positive, WorkloadBase
from orchestrator.spec.training import Elastic, Train
from orchestrator.spec.units import CountRange, Interval, WorkerRange

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


class Axis(Document):
    """One parameter of the design space."""

    range: Interval
    step: Positive = Field(description="values are multiples of it; default: the parameter's own")
    scale: Literal["log", "linear"] = Field(default="log", description="default: the parameter's own")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A range alone, or a mapping in which the range is enough."""
        full = handler.resolve_ref_schema(handler(schema))
        short = full["properties"]["range"]
        del full["properties"]["scale"]["default"]
        return {"anyOf": [short, {**full, "required": ["range"]}], "description": full.pop("description", "")}


def _completed(**usual: object) -> BeforeValidator:
    """An axis may be written as its range alone, or without what is usual for its parameter."""

    def complete(value: object) -> object:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return {"range": value, **usual}
        return {**usual, **value} if isinstance(value, dict) else value

    return BeforeValidator(complete)


class Space(Document):
    """The design space; each axis is a range such as `8..64`, or a mapping with range, step and scale."""

    depth: Annotated[Axis, _completed(step=1, scale="linear")] = Axis(
        range=Interval(low=12, high=28), step=1, scale="linear"
    )
    w0: Annotated[Axis, _completed(step=8)] = Axis(range=Interval(low=8, high=256), step=8)
    wa: Annotated[Axis, _completed(step=0.1)] = Axis(range=Interval(low=8, high=256), step=0.1)
    wm: Annotated[Axis, _completed(step=0.001)] = Axis(range=Interval(low=2, high=3), step=0.001)
    group_width: Annotated[Axis, _completed(step=8)] = Axis(range=Interval(low=16, high=128), step=8)


class Constraints(Document):
    """Only models within these ranges are trained; they cost nothing to check."""

    flops: CountRange | None = Field(default=None, description="multiply-adds of a forward pass of one image")
    params: CountRange | None = None
    activations: CountRange | None = Field(default=None, description="elements of conv and fc outputs")


class TrialScheduler(Document):
    """How Ray Tune ends trials early; `none` trains all alike, as the paper's EDFs need."""

    type: Literal["none", "asha", "hyperband", "median"] = "none"
    grace_epochs: int = Field(default=1, ge=1, description="no trial ends before this epoch")
    reduction_factor: Annotated[float, Field(gt=1)] = 3

    @property
    def ends_trials_early(self) -> bool:
        """Whether trials may get different budgets."""
        return self.type != "none"


class Search(Document):
    """A population sampled from the design space, each member trained as a trial."""

    trials: int = Field(ge=1, le=100_000)
    engine: Literal["ray", "array"] = Field(
        default="ray", description="array: workers that know nothing of each other; on Slurm one array of jobs"
    )
    space: Space = Space()
    constraints: Constraints = Constraints()
    scheduler: TrialScheduler = TrialScheduler()
    concurrency: int | None = Field(default=None, ge=1, description="trials at once; default: one for each worker")
    max_draws: int = Field(default=1_000_000, ge=1, description="draws from the space before giving up")
    retries: int = Field(default=2, ge=0, le=100, description="how often a trial that failed is run again")
    bootstrap: int = Field(default=1000, ge=0, le=100_000, description="resamples for the EDF's confidence band")

    @model_validator(mode="after")
    def _an_array_compares_no_trials(self) -> Search:
        if self.engine == "array" and self.scheduler.ends_trials_early:
            raise ValueError(
                f"scheduler: {self.scheduler.type} compares trials while they run, and the workers of an array know "
                "nothing of each other: use engine: ray, or scheduler: {type: none}"
            )
        if self.engine == "array" and self.concurrency is not None:
            raise ValueError("concurrency: an array runs one trial on each worker: say how many by resources.workers")
        return self


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
        if self.search is not None and train.checkpoint.to is not None:
            raise ValueError("train.checkpoint.to: trials of a search keep their checkpoints in the job's directory")
        return self

    @model_validator(mode="after")
    def _one_way_to_name_the_model(self) -> RegNetWorkload:
        given = [name for name, value in self.model.parameters.items() if value is not None]
        if self.search is not None:
            if self.model.preset or given:
                raise ValueError("model: a search samples " + ", ".join(self.model.parameters) + " and takes no preset")
        elif self.model.preset is None and len(given) < 5:
            raise ValueError("model: give a preset, or all of " + ", ".join(self.model.parameters))
        elif self.model.preset is not None and given:
            raise ValueError("model: give a preset or parameters, not both")
        return self
