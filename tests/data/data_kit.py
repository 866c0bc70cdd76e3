"""Pictures and damage that several tests of `data` make."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from orchestrator.data.index import DatasetIndex


def jpeg(number: int, size: int = 12) -> bytes:
    """A JPEG of noise, another one for each number."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def flip_bit(root: Path, row: int) -> None:
    """Damage the image of a row of `train`."""
    index = DatasetIndex.open(root)
    shard, _ = index.locate("train", row)
    content = bytearray((root / shard).read_bytes())
    content[int(index.table.records[row]["image.offset"]) + 9] ^= 1
    (root / shard).write_bytes(content)
