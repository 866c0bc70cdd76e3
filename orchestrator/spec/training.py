"""The sections that say how a recipe trains: the loop, checkpoints, precision, layout, and what elasticity promises."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from orchestrator.base.errors import UsageError
from orchestrator.spec.base import Document, Line, Name
from orchestrator.spec.place import RemotePlace, parse_location
from orchestrator.spec.sections import Positive
from orchestrator.spec.units import Duration


class Keep(Document):
    """Which checkpoints stay; what any of these rules keeps, stays."""

    last: int = Field(default=2, ge=1, le=100, description="the newest ones")
    best: Name | None = Field(default=None, description="also the one with the lowest value of this validation measure")
    every: int | None = Field(default=None, ge=1, description="also those of every so many epochs, for good")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """How many of the newest, or the rules one by one."""
        full = handler.resolve_ref_schema(handler(schema))
        short = {"type": "integer", "minimum": 1, "maximum": 100}
        return {"anyOf": [short, full], "description": full.pop("description", "")}


def _count_is_last(value: object) -> object:
    return {"last": value} if isinstance(value, int) and not isinstance(value, bool) else value


def _check_place(place: str) -> str:
    try:
        found = parse_location(place, "checkpoint")
    except UsageError as error:
        raise ValueError(f"{error.message}; {error.hint}") from None
    if isinstance(found, RemotePlace) and found.protocol != "s3":
        raise ValueError(f"checkpoints go to a folder or to s3://, not to {found.protocol}://")
    return place


class Checkpointing(Document):
    """When the state is written down, where, and how much of it is kept."""

    every_epochs: int = Field(default=1, ge=1)
    every: Annotated[Duration, Field(gt=0)] | None = Field(
        default=600.0, description="also whenever so much time has passed since the last one"
    )
    keep: Annotated[Keep, BeforeValidator(_count_is_last)] = Keep()
    to: Annotated[Line, AfterValidator(_check_place)] | None = Field(
        default=None, description="a folder or s3://bucket/prefix; default: the job's directory"
    )


class Ema(Document):
    """An exponential moving average of the parameters, which is what is evaluated."""

    decay: Annotated[float, Field(gt=0, lt=1)]
    every_steps: int = Field(default=1, ge=1)


class Train(Document):
    """The training loop."""

    epochs: int = Field(ge=1, le=10_000)
    batch_size: int = Field(ge=2, le=1_000_000, description="samples of the global batch, whatever the world size")
    samples_per_virtual_worker: int | None = Field(
        default=None, ge=2, description="samples of one slice (the n of batch norm); default: the whole batch"
    )
    max_steps: int | None = Field(
        default=None,
        ge=1,
        description="end after so many steps, to try something out; schedules stay as they are",
    )
    accumulate: int = Field(
        default=1, ge=1, description="parts that a slice is run in where it does not fit; not with batch norm"
    )
    evaluate_every_epochs: int = Field(default=1, ge=1)
    checkpoint: Checkpointing = Checkpointing()
    parallel: Literal["ddp", "fsdp"] = Field(default="ddp", description="fsdp: parameters are sharded over the workers")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32", description="of training steps; evaluations are fp32, so that they can be compared"
    )
    activation_checkpointing: bool = Field(default=False, description="compute activations twice, to save memory")
    compile: bool = Field(default=False, description="torch.compile")
    channels_last: bool = True
    clip_norm: Positive | None = Field(default=None, description="longest gradient (L2 norm over all parameters)")
    ema: Ema | None = None
    non_finite: Literal["fail", "skip", "rollback"] = Field(
        default="fail",
        description="a loss or gradient that is infinite or no number: end, leave the step out, or go back too",
    )

    @property
    def slice_samples(self) -> int:
        """Samples of one virtual worker."""
        return min(self.samples_per_virtual_worker or self.batch_size, self.batch_size)

    @property
    def virtual_workers(self) -> int:
        """V: slices of the global batch."""
        return -(-self.batch_size // self.slice_samples)

    @model_validator(mode="after")
    def _parts_have_samples(self) -> Train:
        if self.accumulate > self.slice_samples:
            raise ValueError(f"accumulate: a slice of {self.slice_samples} samples has no {self.accumulate} parts")
        return self


class Elastic(Document):
    """What the run promises whatever happens to its workers, and how soon trouble is noticed."""

    engine: Literal["builtin", "ray_train"] = Field(
        default="builtin",
        description="who starts and replaces workers; ray_train: Ray Train, which starts all of them anew from the "
        "newest checkpoint where one is lost; the results are the same bits",
    )
    exact: bool = Field(default=True, description="false: a gradient sum whose last bits depend on the world size")
    lost_after: Annotated[Duration, Field(gt=0)] = Field(
        default=5.0,
        description="a worker that neither speaks nor computes for so long is dead; one that ends is noticed at once, "
        "one that is silent but computes lives until hang_after",
    )
    hang_after: Annotated[Duration, Field(gt=0)] = Field(
        default=300.0,
        description="a worker whose step takes so long (or ten times the median step) is ended, and the others go on",
    )
    replacements: int = Field(
        default=10,
        ge=0,
        description="workers that are started in the place of lost ones, in all; ray_train: how often all are",
    )
    mirror_every: int = Field(
        default=1, ge=1, description="fsdp: steps between copies of each shard in the next worker's host memory"
    )
    audit: bool = Field(default=False, description="write the hashes of each step: samples, gradient, parameters")
