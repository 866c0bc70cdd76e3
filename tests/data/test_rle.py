from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as reference
from pycocotools.coco import COCO

from orchestrator.data.converters.rle import checked, encoded
from orchestrator.data.source import BadSample

HEIGHT, WIDTH = 20, 30


def by_pycocotools(segmentation: Any) -> bytes:
    coco = COCO()
    coco.imgs = {1: {"height": HEIGHT, "width": WIDTH}}
    found = coco.annToRLE({"image_id": 1, "segmentation": segmentation})["counts"]
    return found.encode() if isinstance(found, str) else found


def ours(segmentation: Any) -> bytes:
    return encoded(checked(segmentation, HEIGHT, WIDTH), HEIGHT, WIDTH)


def noise(seed: int) -> np.ndarray:
    return np.asfortranarray(np.random.default_rng(seed).random((HEIGHT, WIDTH)) < 0.3, dtype=np.uint8)


def runs_of(mask: np.ndarray) -> list[int]:
    flat = mask.reshape(-1, order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
    return np.diff(np.concatenate([[0], edges, [len(flat)]])).tolist()


@pytest.mark.parametrize(
    "polygons",
    [
        [[2.5, 3.5, 12.0, 3.25, 7.75, 15.5]],
        [[1, 1, 9, 1, 9, 9, 1, 9], [12, 2, 20.5, 2, 20.5, 8]],
        [[-3, -2, 40.0, 5, 33, 25.5]],
    ],
)
def test_polygons_become_the_runs_that_pycocotools_makes(polygons: list[list[float]]) -> None:
    assert ours(polygons) == by_pycocotools(polygons)


def test_runs_as_numbers_become_the_runs_that_pycocotools_makes() -> None:
    for seed in range(5):
        segmentation = {"size": [HEIGHT, WIDTH], "counts": runs_of(noise(seed))}
        assert ours(segmentation) == by_pycocotools(segmentation) == reference.encode(noise(seed))["counts"]


def test_runs_as_text_are_kept() -> None:
    for mask in (noise(1), np.zeros_like(noise(0)), np.ones_like(noise(0))):
        counts = reference.encode(mask)["counts"]
        assert ours({"size": [HEIGHT, WIDTH], "counts": counts.decode()}) == counts


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        (None, "no segmentation"),
        ([], "no polygon"),
        ([[1, 2, 3, 4]], "fewer than three points"),
        ([[1, 2, 3, 4, 5, 6, 7]], "half a point"),
        ([["a"] * 6], "not a list of numbers"),
        ([[1, 1, float("nan"), 5, 9, 9]], "far outside"),
        ([[1, 1, 1e12, 5, 9, 9]], "far outside"),
        ({"size": [WIDTH, HEIGHT], "counts": [600]}, "another size"),
        ({"size": [HEIGHT, WIDTH], "counts": [600, 1]}, "do not add up"),
        ({"size": [HEIGHT, WIDTH], "counts": [-1, 601]}, "not whole numbers"),
        ({"size": [HEIGHT, WIDTH], "counts": None}, "neither text nor numbers"),
        ({"size": [HEIGHT, WIDTH], "counts": ""}, "cut off or damaged"),
        ({"size": [HEIGHT, WIDTH], "counts": "o" * 40}, "cut off or damaged"),
        ({"size": [HEIGHT, WIDTH], "counts": "o" * 40 + "1"}, "damaged"),
    ],
)
def test_a_mask_that_does_not_fit_its_image_never_reaches_pycocotools(segmentation: Any, reason: str) -> None:
    with pytest.raises(BadSample, match=reason):
        ours(segmentation)


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=30), st.integers(0, 2**32))
def test_what_passes_the_check_is_a_mask_of_the_image(content: bytes, seed: int) -> None:
    counts = bytearray(reference.encode(noise(seed % 7))["counts"])
    place = seed % len(counts)
    counts[place : place + len(content)] = bytes(48 + byte % 64 for byte in content)
    try:
        kept = ours({"size": [HEIGHT, WIDTH], "counts": counts.decode()})
    except BadSample:
        return
    assert reference.decode({"size": [HEIGHT, WIDTH], "counts": kept}).shape == (HEIGHT, WIDTH)
