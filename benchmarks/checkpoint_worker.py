"""One worker of checkpoint.py: writes checkpoints in all the ways in turn while it works, and reads them back.

python checkpoint_worker.py RANK WORLD FOLDER MODEL ROUNDS        rank 0 prints {figure: {way: [seconds, ...]}}
"""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import statistics
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed.checkpoint as dcp
from torchvision import models

from orchestrator.rundir.membership import Member, View
from orchestrator.training.checkpoint import CheckpointStore, KeepPolicy, Saving
from orchestrator.training.forming import form, leave, own_store
from orchestrator.training.group import Group

Tensors = dict[str, torch.Tensor]
STEPS_BEFORE = 30
SIDE = 320


def state_of(model: str) -> Tensors:
    """The parameters and buffers of a model, and a momentum for each parameter."""
    torch.manual_seed(0)  # equal on all workers
    network = models.get_model(model)
    state = {f"model/{name}": tensor.detach() for name, tensor in network.state_dict().items()}
    return state | {f"optimizer/momentum/{n}": torch.randn_like(p.detach()) for n, p in network.named_parameters()}


class Way(Protocol):
    """One way to keep a state."""

    def begin(self, folder: Path, number: int) -> None:
        """What the training waits for."""
        ...

    def done(self) -> bool:
        """Whether it is durable."""
        ...

    def finish(self) -> None:
        """Wait until it is durable."""
        ...

    def read(self, folder: Path, into: Tensors) -> None:
        """Fill a state from the last one."""
        ...


class Ours:
    """This project's store."""

    def __init__(self, state: Tensors, group: Group) -> None:
        self._state, self._group = state, group
        self._store: CheckpointStore | None = None
        self._saving: Saving | None = None

    def _open(self, folder: Path) -> CheckpointStore:
        self._store = self._store or CheckpointStore(folder, KeepPolicy(1))
        return self._store

    def begin(self, folder: Path, number: int) -> None:
        """Copy what this worker writes."""
        self._saving = self._open(folder).begin(number, self._state, {}, self._group)

    def done(self) -> bool:
        """Whether the manifest is written."""
        return self._saving is not None and self._saving.done()

    def finish(self) -> None:
        """Wait for the manifest."""
        if self._saving is not None:
            self._saving.wait()

    def read(self, folder: Path, into: Tensors) -> None:
        """Verify every byte, and load."""
        store = self._open(folder)
        found = store.newest()
        if found is None:
            raise SystemExit("our own checkpoint is not found")
        store.load(found, into, self._group)


class TorchSave:
    """torch.save by rank 0 while the others wait, flushed to the disk."""

    def __init__(self, state: Tensors, group: Group) -> None:
        self._state, self._group = state, group

    def begin(self, folder: Path, number: int) -> None:
        """Write."""
        if self._group.rank == 0:
            with open(folder / "state.pt", "wb") as file:
                torch.save(self._state, file)
                file.flush()
                os.fsync(file.fileno())
        self._group.any(False)

    def done(self) -> bool:
        """It was when `begin` returned."""
        return True

    def finish(self) -> None:
        """Nothing is left to do."""

    def read(self, folder: Path, into: Tensors) -> None:
        """torch.load, then a copy into the model's own tensors."""
        found = torch.load(folder / "state.pt", weights_only=True)
        for name, tensor in into.items():
            tensor.copy_(found[name])


class DcpSave:
    """torch.distributed.checkpoint.save."""

    def __init__(self, state: Tensors, group: Group) -> None:
        self._state, self._last = state, ""

    def begin(self, folder: Path, number: int) -> None:
        """Write."""
        self._last = str(folder / str(number))
        dcp.save(self._state, checkpoint_id=self._last)

    def done(self) -> bool:
        """It was when `begin` returned."""
        return True

    def finish(self) -> None:
        """Nothing is left to do."""

    def read(self, folder: Path, into: Tensors) -> None:
        """dcp.load."""
        dcp.load(into, checkpoint_id=self._last)


class DcpAsync(DcpSave):
    """torch.distributed.checkpoint.async_save."""

    _future: Any = None

    def begin(self, folder: Path, number: int) -> None:
        """Copy the state."""
        self._last = str(folder / str(number))
        self._future = dcp.async_save(self._state, checkpoint_id=self._last)

    def done(self) -> bool:
        """Whether `.metadata` is written."""
        return bool(self._future.done())

    def finish(self) -> None:
        """Wait for `.metadata`."""
        self._future.result()


WAYS: Mapping[str, Callable[[Tensors, Group], Way]] = {
    "orchestrator": Ours,
    "torch.save": TorchSave,
    "DCP save": DcpSave,
    "DCP async_save": DcpAsync,
}


class Work:
    """What the training does meanwhile, on the worker's one thread."""

    def __init__(self) -> None:
        self._a, self._b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)

    def step(self) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        for _ in range(4):
            self._a @ self._b
        return time.perf_counter() - start


def one(way: Way, folder: Path, number: int, group: Group, work: Work) -> dict[str, float]:
    """One checkpoint: seconds that the training stood still, that it lost in all, and until it was durable."""
    gc.collect()
    usual = statistics.median(work.step() for _ in range(STEPS_BEFORE))
    group.any(False)
    start, steps = time.perf_counter(), 0
    way.begin(folder, number)
    stall = time.perf_counter() - start
    while not way.done():
        work.step()
        steps += 1
    way.finish()
    durable = time.perf_counter() - start
    mine = torch.tensor([stall, max(stall, durable - steps * usual), durable], dtype=torch.float64)
    worst = group.all_gather(mine).amax(0).tolist()
    return dict(zip(("stall", "lost", "durable"), worst, strict=True))


def measure(group: Group, folder: Path, model: str, rounds: int) -> dict[str, dict[str, list[float]]]:
    """All ways in turn, the first round left out: memory is taken and libraries are imported there."""
    state, work = state_of(model), Work()
    ways = {name: way(state, group) for name, way in WAYS.items()}
    found: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(rounds + 1):
        for name, way in ways.items():
            place = folder / name.replace(" ", "-")
            place.mkdir(exist_ok=True)
            for figure, seconds in one(way, place, number, group, work).items():
                if number:
                    found[figure][name].append(seconds)
            if group.rank == 0 and name.startswith("DCP") and number:
                shutil.rmtree(place / str(number - 1))
            into = {name: torch.empty_like(tensor) for name, tensor in state.items()}
            group.any(False)
            start = time.perf_counter()
            way.read(place, into)
            if number:
                found["read"][name].append(time.perf_counter() - start)
            if not all(torch.equal(into[key], state[key]) for key in state):
                raise SystemExit(f"{name}: what was read is not what was written")
    buffers = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    for _ in range(rounds):
        start = time.perf_counter()
        for name, tensor in state.items():
            buffers[name].copy_(tensor)
        found["copy"]["the state"].append(time.perf_counter() - start)
    return {figure: dict(values) for figure, values in found.items()}


def main(rank: int, world: int, folder: Path, model: str, rounds: int) -> None:
    """Meet the others, and measure."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    store, port = own_store() if rank == 0 else None, folder / "port"
    if store is not None:
        port.with_suffix(".new").write_text(str(store.port))
        port.with_suffix(".new").rename(port)
    while not port.exists():
        time.sleep(0.01)
    members = tuple(Member(number, "127.0.0.1", int(port.read_text()), os.getpid()) for number in range(world))
    group = form(View(1, members), rank, store, device=torch.device("cpu"), always=True)
    found = measure(group, folder, model, rounds)
    if rank == 0:
        print(json.dumps(found), flush=True)
    leave(group)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
    os._exit(0)
