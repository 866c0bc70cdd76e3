"""The plan: what `orchestrator plan` prints, as a typed document and as text."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class PlanPart(BaseModel):
    """A part of the plan."""

    model_config = ConfigDict(frozen=True)


class Spread(PlanPart):
    """Minimum, median and maximum of a population."""

    min: int
    median: float
    max: int


class Member(PlanPart):
    """One model that would be trained."""

    index: int
    parameters: dict[str, int | float]
    widths: list[int] = Field(description="of the four stages")
    depths: list[int] = Field(description="of the four stages")
    flops: int
    params: int
    activations: int


class PopulationPlan(PlanPart):
    """What a search would sample."""

    size: int
    draws: int = Field(description="draws from the space that it took")
    rejected: dict[str, int] = Field(description="draws that were dropped, by reason")
    flops: Spread
    params: Spread
    activations: Spread
    members: list[Member]


class SearchPlan(PlanPart):
    """How a search goes about its population."""

    sampler: str
    trials: int
    known: int = Field(description="trials whose models are known before it begins; the sampler suggests the others")
    at_once: str = Field(description="trials that run at once, with the fewest and with the most workers")
    cpus: int = Field(description="cores of one trial")
    gpus: float = Field(description="GPUs of one trial, or a part of one")
    ends: list[str] = Field(description="what ends it before all its trials have")
    notes: list[str]


class DatasetPlan(PlanPart):
    """What would be read."""

    name: str
    rows: dict[str, int] = Field(description="samples of each split; empty where nobody has counted yet")
    classes: int
    built: bool
    location: str = Field(description="its folder or URL")
    version: str = Field(description="of the content; empty where it is not built")


class TrainingPlan(PlanPart):
    """The arithmetic of the training loop, for one model."""

    samples: int | None = Field(description="training samples that one epoch uses")
    epochs: int
    batch_size: int
    virtual_workers: int
    samples_per_virtual_worker: int
    steps_per_epoch: int | None
    steps: int | None
    resample: str = Field(description="how samples are drawn; empty where each comes once an epoch")
    last_batch: str = Field(description="keep, drop or wrap: what becomes of an epoch's last batch if it is not whole")
    left_out: str = Field(description="what each epoch leaves out or repeats, in words; empty where nothing")
    total_flops: float | None = Field(description="forward and backward, of all models together")


class CheckpointPlan(PlanPart):
    """When the state is written down, and how much of it is kept."""

    every_epochs: int
    every_seconds: float | None = Field(description="also whenever so much time has passed since the last one")
    keep_last: int
    keep_best: str | None = Field(description="the validation measure of which the best one stays, too")
    keep_every_epochs: int | None = Field(description="those of every so many epochs stay for good")
    to: str = Field(description="the folder or URL; empty: in the job's directory")


class ElasticPlan(PlanPart):
    """How the work is shared, and what the run promises whatever happens to its workers."""

    engine: str = Field(description="who starts and replaces workers: builtin or ray_train")
    workers: str = Field(description="the range that a run of it may have")
    passes: dict[int, int] = Field(description="slices that the busiest worker runs in a step, for each world size")
    exact: bool = Field(description="the same parameters, bit for bit, for every sequence of world sizes")
    parallel: str
    precision: str
    settings: list[str] = Field(description="what else changes how a step is computed")
    lost_after: float
    hang_after: float
    replacements: int
    audit: bool
    checkpoint: CheckpointPlan


class OptimizerPlan(PlanPart):
    """How parameters are updated; None: the optimizer has no such thing."""

    name: str
    momentum: float | None
    nesterov: bool
    velocity: str | None = Field(description="what momentum sums up: plain, absorbed or corrected")
    betas: list[float] | None
    weight_decay: float
    undecayed: str = Field(description="parameters without weight decay")
    layer_decay: float = Field(description="factor of lr from each block to the one before it; 1: none")


class LearningRatePlan(PlanPart):
    """The learning rate at some steps."""

    peak: float
    schedule: str
    warmup_iterations: int
    at: list[dict[str, int | float]] = Field(description="step, samples seen, and learning rate")


class WidthPlan(PlanPart):
    """How long it takes with so many workers."""

    workers: int
    seconds: float
    slot_hours: float = Field(description="GPU-hours; core-hours where slots are cores, or none is taken")


class EstimatePlan(PlanPart):
    """How long it will run once it has started, what a worker will hold, and how sure that is."""

    seconds: float = Field(description="the median, with the most workers that it can use")
    low: float = Field(description="seconds; 1 of 10 such runs ends earlier")
    high: float = Field(description="seconds; 1 of 10 such runs ends later")
    error: float = Field(description="standard deviation of the logarithm of true / estimated")
    source: str = Field(description="what it comes from")
    device: str = Field(description="whose speed is meant; empty where only earlier run times are known")
    slot_kind: str = Field(description="gpu, or cpu where slots are cores, or its workers take cores and no slot")
    exponent: float = Field(description="speed of k of n workers is (k / n) ** exponent, once it has started")
    widths: list[WidthPlan]
    asked: list[WidthPlan] = Field(description="as if it asked for exactly so many workers, perhaps more than it does")
    startup: float = Field(description="seconds until the first step, which are in `seconds`")
    evaluation: float = Field(description="seconds of evaluations, which are in `seconds`")
    memory_per_worker: float | None = Field(description="bytes at the peak: of the GPU, or of the process on a CPU")
    memory_error: float = Field(description="of it, as `error`")
    limit: float | None = Field(
        description="seconds: a time limit that 99 of 100 such runs keep with the fewest workers; None: one is set"
    )


class LaunchPlanView(PlanPart):
    """The very command that would be launched."""

    backend: str
    argv: list[str]
    env: dict[str, str]
    rank_argv: list[str] = Field(description="what each rank executes")
    rank_env: dict[str, str] = Field(description="what is added to each rank's environment")
    workers: str
    slots: int
    cpus: int = Field(default=0, description="cores beside its slots, at most; 0: not counted")
    script: str | None = Field(default=None, description="that is handed to the engine")
    shape: str = Field(default="", description="how its workers lie; empty where the engine has no say in it")
    limit: float | None = Field(default=None, description="seconds after which the engine ends it; None: it does not")
    limit_why: str = Field(default="", description="whose limit that is, and what it comes from")
    notes: list[str] = Field(default_factory=list, description="what was assumed, because the engine did not say")
    memory: int = Field(default=0, description="bytes of a node that each worker is reckoned to need; 0: not counted")


class PlanDocument(PlanPart):
    """Everything that is known before anything starts."""

    name: str
    kind: str
    profile: str
    launch: LaunchPlanView
    dataset: DatasetPlan | None = None
    model: Member | None = None
    population: PopulationPlan | None = None
    search: SearchPlan | None = None
    training: TrainingPlan | None = None
    elastic: ElasticPlan | None = None
    optimizer: OptimizerPlan | None = None
    learning_rate: LearningRatePlan | None = None
    estimate: EstimatePlan | None = None
    warnings: list[str] = Field(default_factory=list)

    def render(self) -> str:
        """The plan as text for a person."""
        from orchestrator.planning.text import render

        return render(self)

    def data(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return self.model_dump(mode="json")
