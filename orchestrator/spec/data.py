"""The data section that workloads of every kind share: what is read, in which order, and how bad records end."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from orchestrator.spec.base import Document, Line, Name

LastBatch = Literal["keep", "drop", "wrap"]
OnCorrupt = Literal["fail", "skip"]
_MOST_WORKERS = 8


class Window(Document):
    """Shuffle inside a window of shards."""

    window: int = Field(ge=1, description="shards that are shuffled together")


class Repeats(Document):
    """By how much what is rare comes more often."""

    column: Name = Field(default="label", description="whose values are counted: labels, or lists of them")
    threshold: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1e-3, description="what a smaller share of the samples has comes more often"
    )


class RootRepeats(Document):
    """By how much what is rare comes more often."""

    column: Name = Field(default="label", description="whose values are counted: labels, or lists of them")
    threshold: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="what a smaller share of the samples has comes more often; 0: all by its rarity"
    )
    power: Annotated[float, Field(gt=0, le=1)] = Field(default=0.5, description="0.5 is the square root")


class RepeatFactor(Document):
    """A sample comes max(1, sqrt(threshold / share of its rarest class)) times an epoch (LVIS)."""

    repeat_factor: Repeats


class SquareRoot(Document):
    """A sample comes as often as the square root of how rare its rarest tag is (hashtags)."""

    square_root: RootRepeats


class Weights(Document):
    """A sample comes in proportion to a number of its own."""

    weights: Name = Field(description="the float64 or int64 column of that number")


Resample = Literal["class_balanced"] | RepeatFactor | SquareRoot | Weights


class DataSection(Document):
    """What is read, and in which order."""

    dataset: Line = Field(
        min_length=1, description="a card's name or path, a folder of built shards, or a URL such as s3://bucket/data"
    )
    shuffle: Literal["full"] | Window = Field(
        default="full", description="full, or {window: 64}: shards are mixed, then the rows of 64 shards at a time"
    )
    resample: Resample | None = Field(
        default=None,
        description="which samples an epoch has, if not each once: class_balanced, {weights: column}, "
        "{repeat_factor: {threshold: 0.001}} or {square_root: {column: tags}}",
    )
    last_batch: LastBatch = Field(
        default="keep",
        description="of an epoch, where it is not whole: used short, left out, or filled up from the epoch's start",
    )
    on_corrupt: OnCorrupt = Field(
        default="fail", description="a record with a wrong checksum ends the run, or is left out, counted and told"
    )
    workers: Literal["auto"] | Annotated[int, Field(ge=0, le=256)] = Field(
        default="auto", description="loader processes of each worker; auto: a core less than the worker has"
    )
    mean: list[float] | None = Field(
        default=None,
        min_length=1,
        max_length=3,
        description="of each channel of pixels in 0..1; else the dataset's",
    )
    std: list[Annotated[float, Field(gt=0)]] | None = Field(
        default=None,
        min_length=1,
        max_length=3,
        description="of each channel of pixels in 0..1; else the dataset's",
    )
    decode: Literal["cpu", "gpu"] = Field(default="cpu", description="where JPEGs are decoded; the pixels differ a bit")

    @model_validator(mode="after")
    def _mean_and_std_together(self) -> Self:
        if (self.mean is None) != (self.std is None) or len(self.mean or ()) != len(self.std or ()):
            raise ValueError("mean and std belong together: as many of one as of the other")
        return self

    @model_validator(mode="after")
    def _a_gpu_needs_no_loader_processes(self) -> Self:
        if self.decode == "gpu" and self.workers not in ("auto", 0):
            raise ValueError(
                f"workers is {self.workers}, and with decode: gpu there are no loader processes; leave workers out"
            )
        return self

    @property
    def resampled_by(self) -> str:
        """How samples are drawn, in a word; empty where each comes once an epoch."""
        if self.resample is None or isinstance(self.resample, str):
            return self.resample or ""
        return next(iter(type(self.resample).model_fields))

    def loader_processes(self, cores: int) -> int:
        """How many processes load for one worker; 0: it loads by itself.

        Args:
            cores: that the worker has.
        """
        return max(0, min(cores - 1, _MOST_WORKERS)) if self.workers == "auto" else self.workers

    def identity(self) -> str:
        """What a checkpoint depends on, as JSON: all but where the data lies and how many processes load it."""
        return self.model_dump_json(exclude={"dataset", "workers"})
