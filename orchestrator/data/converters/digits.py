"""The 1,797 handwritten digits of 8x8 pixels that come with scikit-learn."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from orchestrator.base.errors import UsageError
from orchestrator.data.arrays import Bytes8
from orchestrator.data.converters.class_folders import image_and_label
from orchestrator.data.converters.listing import Listing
from orchestrator.data.decode import encode_png
from orchestrator.data.source import Record, Sample, Source
from orchestrator.spec.card import DatasetCard

_DARKEST = 16
_SIZE = 120


def scan(card: DatasetCard, source: Path | None, listing: Listing | None = None) -> Source:
    """All digits as 8-bit grey PNGs, values 0..16 scaled to 0..255.

    Raises:
        UsageError: a source folder was given; there is none.
    """
    if source is not None:
        raise UsageError(f"{card.name} comes with scikit-learn and takes no source folder")
    listing = listing or Listing()
    rows = np.loadtxt(_table(), delimiter=",", dtype=np.int64)
    pixels = np.rint(rows[:, :-1].reshape(-1, 8, 8) * (255 / _DARKEST)).astype(np.uint8)
    listing.holds(pixels.tobytes())
    image_column, label_column = image_and_label(card)
    samples = tuple(
        Sample(f"digit {number}", "", label, _SIZE, partial(_read, pixels[number], label, image_column, label_column))
        for number, label in enumerate(rows[:, -1].tolist())
    )
    return listing.source(tuple(map(str, range(10))), samples)


def _table() -> Path:
    """Where they lie: 64 values and the digit in each line. Importing scikit-learn would take everybody seconds."""
    package = find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise UsageError("the digits come with scikit-learn, which is not installed", hint="pip install scikit-learn")
    return Path(package.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"


def _read(pixels: Bytes8, label: int, image_column: str, label_column: str) -> Record:
    return {image_column: encode_png(pixels), label_column: label}
