"""The section `search`: what is sampled, how it is sampled, and when trials and the search end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, ValidationInfo, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from orchestrator.spec.base import Document
from orchestrator.spec.sections import Positive
from orchestrator.spec.units import CountRange, Interval


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


class Varied(Document):
    """Keys of `optim` that trials have values of their own for: ranges, over whose logarithm values are drawn."""

    lr: Interval | None = Field(default=None, description="the whole schedule goes with it")
    weight_decay: Interval | None = None

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Those that vary, by name."""
        named = (("lr", self.lr), ("weight_decay", self.weight_decay))
        return {name: (range_.low, range_.high) for name, range_ in named if range_ is not None}

    @model_validator(mode="after")
    def _something_varies(self) -> Varied:
        if not self.ranges:
            raise ValueError("give a range of lr, of weight_decay, or of both")
        for name, (low, _) in self.ranges.items():
            if not low:
                raise ValueError(f"{name}: values are drawn over the logarithm: the range must begin above 0")
        return self


_TYPES_OF = {"grace_epochs": ("asha", "median"), "reduction_factor": ("asha", "hyperband")}
"""Which schedulers a key is for; all others are for population based training."""


class TrialScheduler(Document):
    """How trials are compared while they run.

    `asha`, `hyperband` and `median` are Ray Tune's and end trials early; `pbt` is population based training (Jaderberg
    et al., arXiv 1711.09846): bad trials go on as copies of good ones, with other values of what varies; `none` trains
    all alike, as the paper's EDFs need.
    """

    type: Literal["none", "asha", "hyperband", "median", "pbt"] = "none"
    grace_epochs: int = Field(default=1, ge=1, description="of asha and median: no trial ends before this epoch")
    reduction_factor: Annotated[float, Field(gt=1)] = Field(
        default=3, description="of asha and hyperband: one of so many trials goes on"
    )
    vary: Varied | None = Field(default=None, description="of pbt, which needs it: what trials differ in")
    interval_epochs: int = Field(default=1, ge=1, description="of pbt: epochs of a generation")
    quantile: Annotated[float, Field(gt=0, le=0.5)] = Field(
        default=0.25, description="of pbt: so many of the worst trials copy one of as many of the best"
    )
    factors: list[Positive] = Field(
        default=[0.8, 1.2],
        min_length=1,
        max_length=16,
        description="of pbt: a copied value is multiplied by one of them",
    )
    resample: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.25, description="of pbt: how probably a value is drawn anew instead"
    )

    @property
    def ends_trials_early(self) -> bool:
        """Whether trials may get different budgets."""
        return self.type in ("asha", "hyperband", "median")

    @property
    def compares_trials(self) -> bool:
        """Whether what becomes of a trial depends on others."""
        return self.type != "none"

    def copied(self, trials: int) -> int:
        """Of pbt: how many of so many trials are the worst, and how many the best."""
        return min(max(1, int(trials * self.quantile)), trials // 2)

    @field_validator("grace_epochs", "reduction_factor", "vary", "interval_epochs", "quantile", "factors", "resample")
    @classmethod
    def _a_key_is_for_this_type(cls, value: object, info: ValidationInfo) -> object:
        """What would have no effect is refused; what is written out and says no more than the default is none of it."""
        name, kind = str(info.field_name), info.data.get("type")
        types = _TYPES_OF.get(name, ("pbt",))
        if kind is not None and kind not in types and value != cls.model_fields[name].default:
            raise ValueError(f"{name} is for type: {' or '.join(types)}, and this is {kind}")
        return value

    @model_validator(mode="after")
    def _pbt_varies_something(self) -> TrialScheduler:
        if self.type == "pbt" and self.vary is None:
            raise ValueError("type: pbt needs vary, what trials differ in: such as vary: {lr: 0.01..1}")
        return self


class TrialResources(Document):
    """What one trial takes of a worker; several share a worker where that is less than the worker has."""

    cpus: int | None = Field(default=None, ge=1, le=1024, description="cores; default: resources.cpus_per_worker")
    gpus: Annotated[float, Field(ge=0, le=16)] | None = Field(
        default=None, description="GPUs, or below 1 a part of one; default: resources.gpus_per_worker"
    )

    @model_validator(mode="after")
    def _parts_of_one_gpu_or_whole_ones(self) -> TrialResources:
        if self.gpus is not None and self.gpus > 1 and self.gpus % 1:
            raise ValueError(f"gpus: {self.gpus:g}: a part of one GPU, or whole ones")
        if self.gpus is not None and 0 < self.gpus < LEAST_GPU:
            raise ValueError(f"gpus: at least {LEAST_GPU:g} of a GPU")
        return self


LEAST_GPU = 0.01


@dataclass(frozen=True)
class TrialShare:
    """What one trial takes: cores, and GPUs or a part of one."""

    cpus: int
    gpus: float

    def at_once(self, cpus: int, gpus: int) -> int:
        """Trials that so many cores and GPUs of one node hold; those that share a GPU lie on it as a whole."""
        most = cpus // self.cpus
        if self.gpus >= 1:
            return min(most, int(gpus // self.gpus))
        # Ray counts in parts of 1 / 10,000.
        return min(most, gpus * (10_000 // round(self.gpus * 10_000))) if self.gpus else most


class EdfSettled(Document):
    """End the search once further models do not change the error EDF.

    That is once the Kolmogorov-Smirnov distance between the EDF of all n models and that of the first n - `last` is
    no more than `distance`. It cannot be more than `last` / n, so that a search ends after `last` / `distance` models
    at the latest.
    """

    distance: Annotated[float, Field(gt=0, lt=1)] = Field(default=0.05, description="the most, between the two EDFs")
    last: int = Field(default=20, ge=1, description="models that must not have changed it; as many come before them")


class StopRules(Document):
    """When the search ends before all its trials have; what runs then ends after its epoch."""

    gpu_hours: Positive | None = Field(default=None, description="of all trials and runs: hours times GPUs of a trial")
    core_hours: Positive | None = Field(default=None, description="the same with the cores of a trial")
    edf_settled: EdfSettled | None = None

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return (self.gpu_hours, self.core_hours, self.edf_settled) != (None, None, None)


class Search(Document):
    """A population sampled from the design space, each member trained as a trial."""

    trials: int = Field(ge=1, le=100_000)
    engine: Literal["ray", "array"] = Field(
        default="ray", description="array: workers that know nothing of each other; on Slurm one array of jobs"
    )
    space: Space = Space()
    constraints: Constraints = Constraints()
    sampler: Literal["random", "tpe"] = Field(
        default="random", description="tpe: models like the best so far, by Optuna's TPE; the first 10 are random ones"
    )
    scheduler: TrialScheduler = TrialScheduler()
    trial: TrialResources = TrialResources()
    concurrency: int | None = Field(
        default=None, ge=1, description="trials at once; default: as many as fit into the workers"
    )
    max_draws: int = Field(default=1_000_000, ge=1, description="draws from the space before giving up")
    retries: int = Field(
        default=2,
        ge=0,
        le=100,
        description="how often a trial that failed is run again; a lost node is no failure of the trial, and for want "
        "of memory it is run again once",
    )
    stop: StopRules = StopRules()
    bootstrap: int = Field(default=1000, ge=0, le=100_000, description="resamples for the EDF's confidence band")

    @model_validator(mode="after")
    def _an_array_compares_no_trials(self) -> Search:
        if self.engine != "array":
            return self
        alone = "the workers of an array know nothing of each other"
        if self.scheduler.compares_trials:
            raise ValueError(
                f"scheduler: {self.scheduler.type} compares trials while they run, and {alone}: "
                "use engine: ray, or scheduler: {type: none}"
            )
        if self.sampler != "random":
            raise ValueError(
                f"sampler: {self.sampler} learns from other trials, and {alone}: use engine: ray, or sampler: random"
            )
        if self.stop.any:
            raise ValueError(f"stop: a rule looks at all trials, and {alone}: use engine: ray")
        if self.concurrency is not None:
            raise ValueError("concurrency: an array runs one trial on each worker: say how many by resources.workers")
        if self.trial != TrialResources():
            raise ValueError("trial: an array runs one trial on each worker: say what one has by resources")
        return self

    @model_validator(mode="after")
    def _tpe_goes_trial_by_trial(self) -> Search:
        if self.sampler == "tpe" and self.scheduler.type == "hyperband":
            raise ValueError(
                "scheduler: hyperband lets trials wait for all others of their bracket, and sampler: tpe knows of no "
                "other before one has ended: use asha or median, or sampler: random"
            )
        return self

    @model_validator(mode="after")
    def _pbt_trains_one_model(self) -> Search:
        if self.scheduler.type != "pbt":
            return self
        if self.trials < 2:
            raise ValueError("scheduler: pbt needs 2 trials at least: one goes on as a copy of another")
        if self.sampler != "random":
            raise ValueError(f"sampler: {self.sampler} chooses models, and all trials of scheduler: pbt train the same")
        if self.space != Space() or self.constraints != Constraints():
            raise ValueError(
                "scheduler: pbt copies parameters from trial to trial, which takes one model for all: name it in the "
                "section model, and leave out space and constraints"
            )
        return self

    @model_validator(mode="after")
    def _an_edf_is_of_a_plain_sample_at_equal_budgets(self) -> Search:
        if self.stop.edf_settled is None:
            return self
        if self.sampler != "random":
            raise ValueError(f"stop.edf_settled: models chosen by {self.sampler} are no sample of the space")
        if self.scheduler.type == "pbt":
            raise ValueError("stop.edf_settled: trials of scheduler: pbt train one model and copy each other")
        if self.scheduler.ends_trials_early:
            raise ValueError(
                f"stop.edf_settled: errors of trials that {self.scheduler.type} ended early do not compare: "
                "use scheduler: {type: none}"
            )
        return self
