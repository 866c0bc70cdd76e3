"""Stratified splits as pure keyed functions: the same labels and seed give the same split everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from orchestrator.data.arrays import Int64s
from orchestrator.data.keyed import derive_key
from orchestrator.data.permutation import KeyedPermutation


def stratify(labels: Sequence[int] | Int64s, fractions: Mapping[str, float], seed: int) -> dict[str, Int64s]:
    """Cut the samples of every class by the same fractions.

    Args:
        labels: one of each sample.
        fractions: of each split, in order; they sum to 1.
        seed: fixed in the dataset card.

    Returns:
        For each split the places of its samples in `labels`, rising; every sample in exactly one split.
    """
    if not fractions or min(fractions.values()) < 0 or abs(sum(fractions.values()) - 1) > 1e-6:
        raise ValueError(f"the fractions of the splits must not be negative and sum to 1: {dict(fractions)}")
    edges = np.cumsum([0.0, *fractions.values()])
    chosen: dict[str, list[Int64s]] = {name: [np.empty(0, np.int64)] for name in fractions}
    for members in _classes(labels, seed):
        bounds = [*np.rint(edges[:-1] * len(members)).astype(int).tolist(), len(members)]
        for name, start, stop in zip(fractions, bounds, bounds[1:], strict=False):
            chosen[name].append(members[start:stop])
    return {name: np.sort(np.concatenate(parts)) for name, parts in chosen.items()}


def hold_out(labels: Sequence[int] | Int64s, count: int, seed: int) -> Int64s:
    """Exactly `count` samples, each class represented as nearly as whole numbers allow (largest remainders).

    Returns:
        (count,) places in `labels`, rising.
    """
    if not 0 <= count <= len(labels):
        raise ValueError(f"{count} samples cannot be held out of {len(labels)}")
    classes = list(_classes(labels, seed))
    quotas = [divmod(count * len(members), len(labels)) for members in classes]
    shares = [whole for whole, _ in quotas]
    by_remainder = sorted(range(len(classes)), key=lambda number: (-quotas[number][1], number))
    for number in by_remainder[: count - sum(shares)]:
        shares[number] += 1
    parts = [members[:share] for members, share in zip(classes, shares, strict=True)]
    return np.sort(np.concatenate([np.empty(0, np.int64), *parts]))


def _classes(labels: Sequence[int] | Int64s, seed: int) -> Iterator[Int64s]:
    """The places of each class's samples, in a keyed order, class by class."""
    array = np.asarray(labels, dtype=np.int64)
    by_class = np.argsort(array, kind="stable")
    values, starts = np.unique(array[by_class], return_index=True)
    for label, members in zip(values.tolist(), np.split(by_class, starts[1:]), strict=False):
        permutation = KeyedPermutation(len(members), derive_key("stratify", seed, label))
        yield members[permutation.apply(np.arange(len(members), dtype=np.int64))]
