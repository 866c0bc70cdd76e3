"""Measures one way to order an epoch, in a process of its own, and prints one JSON object."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

BATCHES = (256, 8192)
_SECONDS = 0.04

RowsAt = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=sorted(WAYS))
    parser.add_argument("--root", default="")
    parser.add_argument("--samples", type=int, required=True)
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--start", type=int, default=0, help="position at which the epoch begins or is resumed")
    parser.add_argument("--shuffle", default="full")
    parser.add_argument("--resample", default="")
    parser.add_argument("--rounds", type=int, default=8, help="of measuring ids a second; the best counts")
    chosen = parser.parse_args()
    prepare = WAYS[chosen.way](chosen)  # imports, and nothing else
    before = _peak()
    began, began_cpu = time.perf_counter(), time.process_time()
    rows_at = prepare()
    first = rows_at(np.arange(chosen.start, chosen.start + BATCHES[0], dtype=np.int64))
    ready, ready_cpu = time.perf_counter() - began, time.process_time() - began_cpu
    assert len(first) == BATCHES[0]
    rates = {str(batch): _rates(rows_at, chosen.start, chosen.samples, batch, chosen.rounds) for batch in BATCHES}
    found = {"seconds": ready, "cpu_seconds": ready_cpu, "mib": _peak() - before, "whole_mib": _peak()}
    wall = {batch: one for batch, (_, one) in rates.items()}
    print(json.dumps(found | {"rates": {batch: one for batch, (one, _) in rates.items()}, "wall_rates": wall}))


def _rates(rows_at: RowsAt, start: int, samples: int, batch: int, rounds: int) -> tuple[float, float]:
    """Ids a CPU second, and a second of the clock, over batches of consecutive positions: the best of some rounds."""
    best = best_wall = 0.0
    place = start
    for _ in range(rounds):
        done, began, began_cpu = 0, time.perf_counter(), time.process_time()
        while (used := time.process_time() - began_cpu) < _SECONDS:
            rows_at(np.arange(place, place + batch, dtype=np.int64) % samples)
            place, done = place + batch, done + batch
        best, best_wall = max(best, done / used), max(best_wall, done / (time.perf_counter() - began))
    return best, best_wall


def _peak() -> float:
    """MiB; not getrusage's, which begins with what the parent had."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _ours(chosen: argparse.Namespace) -> Callable[[], RowsAt]:
    from orchestrator.data.epochs import order_of
    from orchestrator.data.order import Shuffle
    from orchestrator.data.reader import ShardedDataset
    from orchestrator.data.resample import Resample

    def prepare() -> RowsAt:
        dataset = ShardedDataset(Path(chosen.root), "train")
        resample = Resample.parse(chosen.resample) if chosen.resample else None
        order = order_of(dataset, seed=1, epoch=3, shuffle=Shuffle.parse(chosen.shuffle), resample=resample)
        return order.rows_at

    return prepare


def _mixture(chosen: argparse.Namespace) -> Callable[[], RowsAt]:
    from orchestrator.data.mixture import Mixture, Part
    from orchestrator.data.order import FULL, EpochOrder, Order

    def part(name: str, rows: int, weight: float) -> Part:
        def order(epoch: int) -> Order:
            return EpochOrder(rows, seed=1, epoch=epoch, version=name, shuffle=FULL)

        return Part(name, name, rows, weight, order)

    def prepare() -> RowsAt:
        sizes = (chosen.samples, chosen.samples // 10, max(1, chosen.samples // 1000))
        parts = [part(name, rows, weight) for name, rows, weight in zip("abc", sizes, (0.7, 0.25, 0.05), strict=True)]
        return Mixture(parts, chosen.samples, seed=1).order(3).rows_at

    return prepare


def _numpy(chosen: argparse.Namespace) -> Callable[[], RowsAt]:
    def prepare() -> RowsAt:
        ids = np.random.default_rng(1).permutation(chosen.samples)
        return lambda places: ids[places]

    return prepare


def _torch(chosen: argparse.Namespace) -> Callable[[], RowsAt]:
    import torch

    def prepare() -> RowsAt:
        ids = torch.randperm(chosen.samples, generator=torch.Generator().manual_seed(1)).numpy()
        return lambda places: ids[places]

    return prepare


def _streaming(chosen: argparse.Namespace) -> Callable[[], RowsAt]:
    from streaming.base.shuffle import get_shuffle
    from virtual_index import shard_rows

    def prepare() -> RowsAt:
        ids = get_shuffle("py1e", shard_rows(chosen.samples, chosen.shards), 1, 1, 3, 1 << 18)
        return lambda places: ids[places]

    return prepare


def _grain(chosen: argparse.Namespace) -> Callable[[], RowsAt]:
    from grain.python.experimental import index_shuffle

    def prepare() -> RowsAt:
        last = chosen.samples - 1
        return lambda places: np.array([index_shuffle(place, last, 1, 4) for place in places.tolist()])

    return prepare


WAYS: dict[str, Callable[[argparse.Namespace], Callable[[], RowsAt]]] = {
    "ours": _ours,
    "mixture": _mixture,
    "numpy": _numpy,
    "torch": _torch,
    "streaming": _streaming,
    "grain": _grain,
}

if __name__ == "__main__":
    main()
