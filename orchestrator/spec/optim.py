"""The section `optim`: optimizer, learning rate schedule and warm-up, each under the name of its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from orchestrator.spec.base import Document
from orchestrator.spec.sections import Fraction, Positive

OptimizerKind = Literal["sgd", "lars", "adamw"]
ScheduleKind = Literal["cosine", "half_cosine", "step", "linear", "exponential", "polynomial", "constant"]
WarmupKind = Literal["linear_from_factor", "linear_from_zero", "gradual"]

_USUAL_DECAY: dict[object, float] = {"sgd": 5e-5, "lars": 5e-4, "adamw": 0.05}
# Keys that mean something to some choices only: where each belongs.
_OWNERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "momentum": ("optimizer", ("sgd", "lars")),
    "nesterov": ("optimizer", ("sgd",)),
    "velocity": ("optimizer", ("sgd", "lars")),
    "trust": ("optimizer", ("lars",)),
    "adapt_undecayed": ("optimizer", ("lars",)),
    "betas": ("optimizer", ("adamw",)),
    "epsilon": ("optimizer", ("adamw",)),
    "steps": ("schedule", ("step",)),
    "gamma": ("schedule", ("step",)),
    "min_lr": ("schedule", ("cosine", "half_cosine", "linear", "exponential", "polynomial")),
    "power": ("schedule", ("polynomial",)),
    "warmup_factor": ("warmup", ("linear_from_factor",)),
    "warmup_from": ("warmup", ("gradual",)),
}
_WARMUP = ("warmup", "warmup_factor", "warmup_from")


class Optim(Document):
    """Optimizer and learning rate; the rate is a function of the samples seen."""

    optimizer: OptimizerKind = Field(default="sgd", description="lars: layer-wise adaptive rates, for large batches")
    lr: Positive = Field(description="peak learning rate, for a whole global batch")
    momentum: Fraction = Field(default=0.9, description="of sgd and lars")
    nesterov: bool = Field(default=True, description="of sgd")
    velocity: Literal["plain", "absorbed", "corrected"] | None = Field(
        default=None,
        description="what momentum sums up. plain: gradients (torch; default of sgd); absorbed: gradients times lr "
        "(Caffe; default of lars); corrected: the same with the momentum correction of the 1-hour paper",
    )
    betas: list[Fraction] = Field(default=[0.9, 0.999], min_length=2, max_length=2, description="of adamw")
    epsilon: Positive = Field(default=1e-8, description="of adamw")
    trust: Positive = Field(default=0.001, description="of lars: rate of a layer = trust |weights| / |gradient|")
    adapt_undecayed: bool = Field(default=False, description="of lars: also adapt rates of what does not decay")
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        default=5e-5, description="default: 5e-5 (sgd), 5e-4 (lars), 0.05 (adamw)"
    )
    undecayed: Literal["norms_and_biases", "vectors", "nothing"] = Field(
        default="norms_and_biases", description="parameters without weight decay; vectors: all of one dimension"
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0, description="lr falls by this factor from each block to the one before it (BEiT, MAE)"
    )
    schedule: ScheduleKind = Field(
        default="cosine", description="cosine: over the whole training; half_cosine: after the warm-up (MAE)"
    )
    steps: list[Positive] = Field(default_factory=list, description="epochs at which lr falls")
    gamma: Annotated[float, Field(gt=0, lt=1)] = Field(default=0.1, description="factor of each fall")
    min_lr: Annotated[float, Field(ge=0)] = Field(default=0.0, description="lr at the end of a schedule that falls")
    power: Positive = Field(default=2.0, description="of schedule: polynomial")
    warmup: WarmupKind = Field(
        default="linear_from_factor",
        description="linear_from_factor: the scheduled lr times a factor that rises (Detectron, pycls); "
        "linear_from_zero: from 0 (MAE); gradual: from warmup_from (the 1-hour paper)",
    )
    warmup_iterations: int = Field(default=0, ge=0, description="iterations of warm-up")
    warmup_epochs: Positive | None = Field(default=None, description="epochs of warm-up, instead of iterations")
    warmup_factor: Annotated[float, Field(ge=0, le=1)] = Field(default=0.1, description="first lr / lr")
    warmup_from: Annotated[float, Field(ge=0)] = Field(default=0.0, description="first lr of warmup: gradual")
    label_smoothing: Fraction = 0.0

    @model_validator(mode="before")
    @classmethod
    def _usual_decay(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        kind = value.get("optimizer", "sgd")
        usual = _USUAL_DECAY.get(kind) if isinstance(kind, str) else None
        return value if usual is None else {"weight_decay": usual, **value}

    @model_validator(mode="after")
    def _keys_belong_to_what_was_chosen(self) -> Optim:
        for key, (chooser, owners) in _OWNERS.items():
            if key in self.model_fields_set and getattr(self, chooser) not in owners:
                raise ValueError(f"{key} is for {chooser}: {' or '.join(owners)}")
        return self

    @model_serializer(mode="wrap")
    def _what_has_an_effect(self, values: SerializerFunctionWrapHandler) -> dict[str, object]:
        """What was not said too, but for what would be refused where it was: it is read back as the same."""
        idle = {key for key, (chooser, owners) in _OWNERS.items() if getattr(self, chooser) not in owners}
        if self.nesterov and not self.momentum:
            idle.add("nesterov")
        if not self._warms_up:
            idle.update(_WARMUP)
        return {key: value for key, value in values(self).items() if key not in idle}

    @model_validator(mode="after")
    def _velocity_fits(self) -> Optim:
        if self.optimizer == "lars" and self.velocity == "plain":
            raise ValueError("velocity: plain is for optimizer: sgd; that of lars holds the rates")
        if not self.momentum and self.velocity is not None:
            raise ValueError(f"velocity: {self.velocity} needs momentum, which is 0")
        if not self.momentum and self.nesterov and "nesterov" in self.model_fields_set:
            raise ValueError("nesterov: true needs momentum, which is 0")
        return self

    def changed(self, values: Mapping[str, float]) -> Optim:
        """The section with other numbers, checked as if they had been written so.

        Raises:
            ValidationError: they do not fit the others.
        """
        return Optim.model_validate({**self.model_dump(), **values})

    @property
    def _warms_up(self) -> bool:
        return bool(self.warmup_iterations) or self.warmup_epochs is not None

    @model_validator(mode="after")
    def _schedule_fits(self) -> Optim:
        if self.schedule == "step" and not self.steps:
            raise ValueError("schedule: step needs steps: [epoch, …]")
        if self.steps != sorted(set(self.steps)):
            raise ValueError("steps must rise")
        if self.min_lr >= self.lr:
            raise ValueError("min_lr must be less than lr")
        if self.schedule == "exponential" and not self.min_lr:
            raise ValueError("schedule: exponential needs min_lr, where it ends")
        return self

    @model_validator(mode="after")
    def _warmup_fits(self) -> Optim:
        if self.warmup_epochs is not None and self.warmup_iterations:
            raise ValueError("warmup_epochs and warmup_iterations say the same: give one of them")
        if self.warmup == "gradual" and not 0 < self.warmup_from <= self.lr:
            raise ValueError("warmup: gradual needs warmup_from, the first lr, above 0 and up to lr")
        for key in _WARMUP:
            if key in self.model_fields_set and not self._warms_up:
                said = f"{key}: {self.warmup}" if key == "warmup" else key
                raise ValueError(f"{said} needs warmup_epochs or warmup_iterations")
        return self
