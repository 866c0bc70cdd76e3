"""A dataset card: where a data set comes from, its schema, its splits, and how it becomes shards."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from orchestrator.spec.base import Document, Line, Name, Text
from orchestrator.spec.units import ByteSize


class Column(Document):
    """One column of the shards."""

    type: Literal["image", "label"]
    encoding: Literal["png", "jpeg"] | None = Field(default=None, description="of an image")
    channels: Literal[1, 3] | None = Field(default=None, description="of an image")
    classes: list[Line] = Field(default_factory=list, description="of a label: its names, in the order of the numbers")


class Fractions(Document):
    """A stratified split of one source into train, validation and test."""

    seed: int = 0
    train: Annotated[float, Field(gt=0, le=1)]
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    test: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _whole(self) -> Fractions:
        if not math.isclose(self.train + self.validation + self.test, 1.0, abs_tol=1e-9):
            raise ValueError("train, validation and test must add up to 1")
        return self


class HoldOut(Document):
    """Splits that the source has, by folder, and a stratified part of train held out for validation."""

    seed: int = 0
    train: Line = "train"
    test: Line = "test"
    validation: Annotated[int, Field(ge=0)] = Field(default=0, description="samples of train that are held out")


class Statistics(Document):
    """Mean and standard deviation of each channel, of pixels in 0..1."""

    mean: list[float] = Field(min_length=1, max_length=3)
    std: list[Annotated[float, Field(gt=0)]] = Field(min_length=1, max_length=3)


class DatasetCard(Document):
    """A data set."""

    name: Name
    title: Line
    description: Text = ""
    homepage: Line | None = None
    license: Line | None = None
    citation: Text | None = None
    converter: Literal["digits", "image_folder"]
    source: Literal["bundled", "folder"] = Field(description="bundled: comes with a package; folder: given at build")
    columns: dict[Name, Column] = Field(min_length=1)
    splits: Fractions | HoldOut
    statistics: Statistics
    rows: dict[Name, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict, description="samples of each split, for plans before the build"
    )
    shard_size: ByteSize = Field(default=128 * 2**20, ge=1, description="bytes of a shard, about")

    @property
    def classes(self) -> list[str]:
        """The names of the classes of the first label column."""
        return next((list(c.classes) for c in self.columns.values() if c.type == "label"), [])

    @property
    def channels(self) -> int:
        """Channels of the first image column."""
        return next((c.channels or 3 for c in self.columns.values() if c.type == "image"), 3)
