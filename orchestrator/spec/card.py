"""A dataset card: where a data set comes from, its schema, its splits, and how it becomes shards."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from orchestrator.spec.base import Document, Line, Name, Text
from orchestrator.spec.units import ByteSize

ColumnType = Literal[
    "image",
    "video",
    "mask",
    "masks",
    "boxes",
    "bytes",
    "text",
    "text_list",
    "label",
    "int64",
    "float64",
    "int64_list",
    "float32_list",
    "float64_list",
]

ConverterName = Literal[
    "digits",
    "image_folder",
    "imagenet",
    "cifar10",
    "coco",
    "lvis",
    "kinetics",
    "something_something",
    "parquet",
    "webdataset",
    "yfcc100m",
    "hugging_face",
]


class Column(Document):
    """One column of the shards."""

    type: ColumnType
    encoding: Literal["png", "jpeg"] | None = Field(default=None, description="of an image; none: as it comes")
    channels: Literal[1, 3] | None = Field(default=None, description="of an image")
    classes: list[Line] = Field(
        default_factory=list,
        description="of a label or int64_list: its names, in the order of the numbers; none: as the source has them",
    )
    field: Line | None = Field(default=None, description="what the source calls it; default: the column's own name")
    separator: Line = Field(
        default=",",
        min_length=1,
        description="of text_list, int64_list: divides the tags where they come as one string",
    )


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
    """Two splits that the source has, and a stratified part of train held out for validation: its number says so."""

    seed: int = 0
    train: Line = "train"
    test: Line = "test"
    validation: Annotated[int, Field(ge=0)] = Field(description="samples of train that are held out")


class Given(Document):
    """Splits that the source has, named as the converter wants it: a folder, a file, a glob, a table's split."""

    seed: int = 0
    train: Line | None = None
    validation: Line | None = None
    test: Line | None = None

    @model_validator(mode="after")
    def _at_least_one(self) -> Given:
        if not self.names:
            raise ValueError("name at least one of train, validation and test")
        return self

    @property
    def names(self) -> dict[str, str]:
        """What the source calls each split."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {split: name for split, name in parts.items() if name is not None}


class Layout(Document):
    """What a converter must be told of its source beyond the splits; each names the keys that it reads."""

    instances: Line | None = Field(default=None, description="coco, lvis: annotation file, `{split}` replaced")
    panoptic: Line | None = Field(default=None, description="coco: panoptic annotation file, `{split}` replaced")
    images: Line | None = Field(default=None, description="folder of the images or videos, `{split}` replaced")
    labels: Line | None = Field(default=None, description="file that lists the classes or tags, one a line")
    tables: Line | None = Field(
        default=None,
        description="files of rows (label lists, Parquet, TSV, tars): a glob or `{000..123}`, `{split}` replaced",
    )


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
    converter: ConverterName
    source: Literal["bundled", "folder"] = Field(
        description="bundled: comes with a package; folder: files that are named at build"
    )
    columns: dict[Name, Column] = Field(min_length=1)
    splits: Fractions | HoldOut | Given
    layout: Layout = Layout()
    row_order: Literal["keyed", "source"] = Field(
        default="keyed", description="keyed: any shard is a fair sample; source: rows lie as they come"
    )
    statistics: Statistics | None = Field(default=None, description="none: whoever trains on it must say them")
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
