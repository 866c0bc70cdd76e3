"""`orchestrator data order`: where a sample falls in an epoch, for any world size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from orchestrator.base.errors import UsageError
from orchestrator.base.text import counted
from orchestrator.cli.commands.data.locate import built_dataset
from orchestrator.cli.options import WORKLOAD, json_option
from orchestrator.cli.output import emit, table

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.data.batches import BatchPlan, Last
    from orchestrator.data.order import Shuffle
    from orchestrator.data.resample import Resample
    from orchestrator.data.whereabouts import Whereabouts
    from orchestrator.training.slices import SlicePlan

_SHOWN = 20
_MOST_SHOWN = 100_000
_LARGEST_WORLD = 65_536


@dataclass(frozen=True)
class _Epochs:
    """How epochs are ordered and cut into batches."""

    seed: int
    shuffle: Shuffle
    resample: Resample | None
    batch_size: int
    slice_samples: int
    last: Last


@dataclass(frozen=True)
class _Asked:
    """What is asked for: a row, or the positions start..stop (None: the first ones)."""

    split: str
    epoch: int
    row: int | None
    stretch: tuple[int, int] | None
    worlds: tuple[int, ...]


@click.command()
@click.argument("dataset", type=WORKLOAD)
@click.option("--row", type=click.IntRange(min=0), help="A row of the split: where does it come?")
@click.option("--position", type=click.IntRange(min=0), help="A position of the epoch: what stands there?")
@click.option("--positions", metavar="FROM:TO", help="A stretch of positions.  [default: the first twenty]")
@click.option("--split", default="train", show_default=True)
@click.option("--epoch", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--world", default="1,2,3,8", show_default=True, metavar="W,…", help="World sizes.")
@click.option("--workload", type=WORKLOAD, help="Take what follows from this file.")
@click.option("--seed", type=int, help="Of the run.  [default: 0]")
@click.option("--shuffle", metavar="HOW", help="full, {window: 64} (64 shards at a time) or none.  [default: full]")
@click.option("--resample", metavar="HOW", help="Such as class_balanced or repeat_factor(column=tags,threshold=0.001).")
@click.option("--batch-size", type=click.IntRange(min=1), help="Samples of the global batch.  [default: 256]")
@click.option(
    "--slice", "slice_samples", type=click.IntRange(min=1), help="Samples of a virtual worker.  [default: 32]"
)
@click.option("--last-batch", type=click.Choice(["keep", "drop", "pad", "wrap"]), help="[default: keep]")
@json_option
def command(
    dataset: str,
    row: int | None,
    position: int | None,
    positions: str | None,
    split: str,
    epoch: int,
    world: str,
    workload: str | None,
    seed: int | None,
    shuffle: str | None,
    resample: str | None,
    batch_size: int | None,
    slice_samples: int | None,
    last_batch: Last | None,
    as_json: bool,
) -> None:
    """Say where samples of DATASET (a card, a folder or a URL) fall in an epoch.

    For each: position, step, place in the batch, virtual worker, the rank that has it for each world size, and the
    shard that it lies in.
    """
    asked = _Asked(split, epoch, row, _stretch(row, position, positions), _worlds(world))
    location = built_dataset(dataset)
    from orchestrator.data.order import Shuffle
    from orchestrator.data.resample import Resample

    base = _Epochs(0, Shuffle("full"), None, 256, 32, "keep") if workload is None else _declared(workload, split)
    epochs = replace(
        base,
        seed=base.seed if seed is None else seed,
        shuffle=base.shuffle if shuffle is None else Shuffle.parse(shuffle),
        resample=base.resample if resample is None else Resample.parse(resample),
        batch_size=batch_size or base.batch_size,
        slice_samples=slice_samples or base.slice_samples,
        last=last_batch or base.last,
    )
    document = _find(location, asked, epochs)
    emit(as_json, document, lambda: _text(document, asked))


def _find(location: Path | str, asked: _Asked, epochs: _Epochs) -> dict[str, Any]:
    from orchestrator.cli.progress import counter
    from orchestrator.data.batches import BatchPlan
    from orchestrator.data.epochs import EpochOrders
    from orchestrator.data.reader import ShardedDataset
    from orchestrator.data.whereabouts import EpochMap
    from orchestrator.training.slices import SlicePlan

    dataset = ShardedDataset(location, asked.split)
    how = {"seed": epochs.seed, "shuffle": str(epochs.shuffle), "resample": str(epochs.resample or "") or None}
    with counter("counting classes", "rows") as progress:
        orders = EpochOrders(
            dataset, seed=epochs.seed, shuffle=epochs.shuffle, resample=epochs.resample, progress=progress
        )
    order = orders.order(asked.epoch)
    plan = BatchPlan(order.positions, epochs.batch_size, epochs.last)
    there = EpochMap(dataset, order, plan)
    stretch = asked.stretch or (0, min(_SHOWN, order.positions))
    uses = there.between(*stretch) if asked.row is None else there.of_row(asked.row)
    slices = SlicePlan(epochs.batch_size, min(epochs.slice_samples, epochs.batch_size))
    return {
        "dataset": str(location),
        "version": dataset.version,
        "split": asked.split,
        "rows": len(dataset),
        "epoch": asked.epoch,
        **how,
        "positions": order.positions,
        "steps": plan.steps,
        "batch_size": epochs.batch_size,
        "virtual_workers": slices.count,
        "notes": [note for note in (plan.note, orders.note) if note],
        "places": [asdict(use) | _computed(use, plan, slices, asked.worlds) for use in uses],
    }


def _computed(use: Whereabouts, plan: BatchPlan, slices: SlicePlan, worlds: tuple[int, ...]) -> dict[str, Any]:
    """Who computes a sample: its virtual worker, and the rank of each world size."""
    from orchestrator.training.slices import share

    if use.step is None or use.place is None:
        return {"virtual_worker": None, "ranks": {str(world): None for world in worlds}}
    cut = slices.slices(len(plan.positions(use.step)))
    mine = next(part.index for part in cut if part.start <= use.place < part.stop)
    ranks = {
        str(world): next(rank for rank in range(world) if mine in share(slices.count, rank, world))
        if world <= slices.count
        else None
        for world in worlds
    }
    return {"virtual_worker": mine, "ranks": ranks}


def _declared(workload: str, split: str) -> _Epochs:
    """What a workload's file says of a split: all but the training split are read as they lie."""
    from orchestrator.cli.source import read_source
    from orchestrator.data.declared import resample_of, shuffle_of
    from orchestrator.data.order import SEQUENTIAL
    from orchestrator.spec.load import parse_workload
    from orchestrator.spec.workload import CommandWorkload

    source = read_source(workload)
    found = parse_workload(source.content, source.filename)
    if isinstance(found, CommandWorkload):
        raise UsageError(f"{workload} runs a command: it declares no order of samples")
    train, data = found.train, found.data
    if split != "train":
        return _Epochs(found.seed, SEQUENTIAL, None, train.batch_size, train.slice_samples, "keep")
    shuffle, resample = shuffle_of(data), resample_of(data)
    return _Epochs(found.seed, shuffle, resample, train.batch_size, train.slice_samples, data.last_batch)


def _stretch(row: int | None, position: int | None, positions: str | None) -> tuple[int, int] | None:
    if sum(asked is not None for asked in (row, position, positions)) > 1:
        raise UsageError("only one of --row, --position and --positions can be asked for")
    if position is not None:
        return position, position + 1
    if positions is None:
        return None
    first, colon, last = positions.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        raise UsageError(f"--positions is FROM:TO, such as 0:20, not {positions!r}")
    if int(last) - int(first) > _MOST_SHOWN:
        raise UsageError(f"at most {_MOST_SHOWN:,} positions are listed at once")
    return int(first), int(last)


def _worlds(text: str) -> tuple[int, ...]:
    sizes = text.split(",")
    if not all(size.strip().isdecimal() and 0 < int(size) <= _LARGEST_WORLD for size in sizes):
        raise UsageError(f"--world is a list of world sizes, such as 1,2,8, not {text!r}")
    return tuple(dict.fromkeys(int(size) for size in sizes))


def _text(found: dict[str, Any], asked: _Asked) -> str:
    how = ", ".join(filter(None, (f"seed {found['seed']}", f"shuffle {found['shuffle']}", found["resample"])))
    lines = [
        f"{found['split']} of {found['dataset']}  version {found['version'][:16]}",
        f"epoch {found['epoch']}: {how}",
        f"{found['positions']:,} positions of {found['rows']:,} rows: {found['steps']:,} steps of "
        f"{found['batch_size']:,} samples, {counted(found['virtual_workers'], 'virtual worker')} (slices)",
        *found["notes"],
    ]
    if not found["places"]:
        return "\n".join([*lines, f"row {asked.row} does not come in this epoch"])
    heads = (
        ">position",
        ">row",
        ">step",
        ">place",
        ">slice",
        *(f">of {world}" for world in asked.worlds),
        "shard",
        ">row in it",
    )
    return "\n".join([*lines, "", table(heads, [_cells(place) for place in found["places"]]), *_dashes(found)])


def _dashes(found: dict[str, Any]) -> Iterator[str]:
    """Why cells are empty."""
    if any(place["step"] is None for place in found["places"]):
        yield "-: in no batch, since the last batch of the epoch is left out"
    idle = [world for world in found["places"][0]["ranks"] if int(world) > found["virtual_workers"]]
    if idle:
        count = found["virtual_workers"]
        yield f"-: no world of {', '.join(idle)}: at most one rank for each of the {count} virtual workers (slices)"


def _cells(place: dict[str, Any]) -> tuple[str, ...]:
    numbers = (place["position"], place["row"], place["step"], place["place"], place["virtual_worker"])
    cells = ("-" if number is None else str(number) for number in (*numbers, *place["ranks"].values()))
    return *cells, place["shard"], str(place["shard_row"])
