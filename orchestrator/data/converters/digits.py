"""The 1,797 handwritten digits of 8x8 pixels that come with scikit-learn."""

from __future__ import annotations

from functools import partial
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
    from sklearn.datasets import load_digits

    listing = listing or Listing()
    loaded = load_digits()
    pixels = np.rint(np.asarray(loaded.images) * (255 / _DARKEST)).astype(np.uint8)
    listing.holds(pixels.tobytes())
    image_column, label_column = image_and_label(card)
    samples = tuple(
        Sample(f"digit {number}", "", label, _SIZE, partial(_read, pixels[number], label, image_column, label_column))
        for number, label in enumerate(loaded.target.tolist())
    )
    return listing.source(tuple(str(name) for name in loaded.target_names), samples)


def _read(pixels: Bytes8, label: int, image_column: str, label_column: str) -> Record:
    return {image_column: encode_png(pixels), label_column: label}
