"""One worker of a pool: forms the group of each scenario in turn, and writes what came out of its steps.

python stepping_pool.py RANK FOLDER        FOLDER/scenarios.json: {name: {worlds, sizes, settings, ...}}
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from stepping_toys import Toy, Worker, config, place
from torch._C._distributed_c10d import TCPStore

from orchestrator.rundir.membership import Member, View
from orchestrator.training.determinism import deterministic
from orchestrator.training.forming import form, leave, own_store
from orchestrator.training.layout.buckets import BUCKET_BYTES
from orchestrator.training.slices import SlicePlan


class Pool:
    """The same processes, one group after another."""

    def __init__(self, rank: int, folder: Path) -> None:
        self._rank, self._epoch = rank, 0
        self._store: TCPStore | None = own_store() if rank == 0 else None
        port = folder / "port"
        if self._store is not None:
            (folder / "port.new").write_text(str(self._store.port))
            (folder / "port.new").rename(port)
        while not port.exists():
            time.sleep(0.01)
        self._port = int(port.read_text())

    def run(self, scenario: dict[str, Any]) -> dict[str, Any] | None:
        """Make the scenario's steps, each world of `worlds` making its share of them in a new group."""
        task = Toy(**scenario.get("task", {}))
        changes = dict(scenario.get("settings", {}))
        sizes = tuple(scenario.get("sizes", (2, 2, 2, 2, 2)))
        settings = config(**changes, plan=SlicePlan(sum(sizes), max(sizes)))
        corrupt = tuple(scenario.get("corrupt", ()))
        # Even worlds have one bucket, the others many: what compares them compares those too.
        buckets = BUCKET_BYTES if scenario["worlds"][0] % 2 == 0 else 600
        worker, losses, named, step = None, [], [], 0
        before = 0
        for world in scenario["worlds"]:
            self._epoch += 1
            if self._rank < world:
                members = tuple(Member(n, "127.0.0.1", self._port, os.getpid()) for n in range(world))
                group = form(View(self._epoch, members), self._rank, self._store)
                if worker is None:
                    worker = Worker(task, settings, group, bucket_bytes=buckets)
                worker.enter(group, tuple(range(before or world)) if world > before else tuple(range(world)))
                for _ in range(2):
                    result = worker.step(place(step, sizes, corrupt=corrupt))
                    losses.append(result.loss)
                    named.append(dict(result.losses))
                    step += 1
                leave(group)
            else:
                worker, step = None, step + 2
            before = world
        if worker is None:
            return None
        found = {"digest": worker.digest(), "losses": losses[-2:], "named": named[-2:]}
        del worker
        gc.collect()
        return found


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    pool = Pool(rank, folder)
    with deterministic(1):
        found = {name: pool.run(each) for name, each in json.loads((folder / "scenarios.json").read_text()).items()}
    (folder / f"rank-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.flush()
    os._exit(0)
