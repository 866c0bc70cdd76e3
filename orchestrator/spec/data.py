"""The data section that workloads of every kind share: what is read, in which order, and how bad records end."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from orchestrator.spec.base import Document, Line, Name

LastBatch = Literal["keep", "drop", "wrap"]
OnCorrupt = Literal["fail", "skip"]
_MOST_WORKERS = 8


class Window(Document):
    """Shuffle inside a window of shards."""

    window: int = Field(ge=1, description="shards that are shuffled together")


class Frequency(Document):
    """What a resampling by frequency needs to know."""

    column: Name | None = Field(default=None, description="labels or tags that are counted; default: the labels")
    threshold: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1e-3, description="share of the samples below which what is rare is repeated"
    )


class RepeatFactor(Document):
    """Samples of rare categories come several times an epoch (LVIS, arXiv 1908.03195)."""

    repeat_factor: Frequency


class SquareRoot(Document):
    """Samples are drawn by the square root of how rare their rarest tag is (arXiv 1805.00932)."""

    square_root: Frequency


class Weights(Document):
    """Samples are drawn by a weight of their own."""

    weights: Name = Field(description="the float64 or int64 column that holds the weights")


Resample = Literal["class_balanced"] | RepeatFactor | SquareRoot | Weights


class DataSection(Document):
    """What is read, and in which order."""

    dataset: Line = Field(
        min_length=1, description="a card's name or path, a folder of built shards, or a URL such as s3://bucket/data"
    )
    shuffle: Literal["full"] | Window = "full"
    resample: Resample | None = Field(
        default=None,
        description="which samples an epoch has, if not each once: class_balanced, {weights: column}, "
        "{repeat_factor: {threshold}} or {square_root: {threshold}}",
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
    decode: Literal["cpu", "gpu"] = Field(default="cpu", description="where JPEGs are decoded; the pixels differ a bit")

    def loader_processes(self, cores: int) -> int:
        """How many processes load for one worker; 0: it loads by itself.

        Args:
            cores: that the worker has.
        """
        return max(0, min(cores - 1, _MOST_WORKERS)) if self.workers == "auto" else self.workers

    def identity(self) -> str:
        """What a checkpoint depends on, as JSON: all but where the data lies and how many processes load it."""
        return self.model_dump_json(exclude={"dataset", "workers"})
