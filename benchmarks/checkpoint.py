"""What a checkpoint costs a training: ours beside torch.save, and DCP's (torch.distributed.checkpoint) own two ways."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from json import loads
from pathlib import Path

from figures import Figure, options, report
from peers.workplace import workplace

Times = dict[str, dict[str, list[float]]]
OURS, PEERS = "orchestrator", ("torch.save", "DCP save", "DCP async_save")
MODELS = {"resnet50": "ResNet-50 with momentum, 205 MB", "resnet18": "ResNet-18 with momentum, 94 MB"}


def measured(folder: Path, world: int, model: str, rounds: int) -> Times:
    """Seconds of each way with so many workers, one thread each."""
    script = str(Path(__file__).with_name("checkpoint_worker.py"))
    workers = [
        subprocess.Popen(
            [sys.executable, script, str(rank), str(world), str(folder), model, str(rounds)],
            stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            text=True,
        )
        for rank in range(world)
    ]
    try:
        told, _ = workers[0].communicate(timeout=1800)
        if any(worker.wait(60) for worker in workers):
            raise SystemExit("a worker of the benchmark failed: see above")
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    times: Times = loads(told)
    return times


def figures(world: int, model: str, times: Times) -> list[Figure]:
    """Stall, time lost, time until durable, and time to read back."""
    median = {
        kind: {way: 1e3 * statistics.median(taken) for way, taken in ways.items()} for kind, ways in times.items()
    }
    what = f"{MODELS[model]}, {world} worker{'s' if world > 1 else ''}"

    def figure(kind: str, name: str, goal: str = "", *, limit: float | None = None, note: str = "") -> Figure:
        values = median[kind]
        rival = min(values[peer] for peer in PEERS)
        return Figure(
            f"{name}: {what}",
            "ms",
            values[OURS],
            {peer: values[peer] for peer in PEERS},
            limit=limit,
            goal=goal,
            holds=values[OURS] <= rival if goal else None,
            note=note,
        )

    copy = median["copy"]["the state"] / world
    return [
        figure(
            "stall",
            "training stands still",
            "less than any peer",
            limit=copy,
            note="The limit is one copy of the state, shared by the workers. The first two peers write meanwhile.",
        ),
        figure(
            "lost",
            "training time lost in all",
            note="The stall, and what steps are slower by while the rest is written in the background.",
        ),
        figure("durable", "until the checkpoint is durable", note="Ours hashes every byte too; all flush."),
        figure("read", "read back into the model", note="Ours verifies every byte's SHA-256 first; the peers none."),
    ]


def main() -> None:
    """Measure and print."""
    asked = options(__doc__ or "")
    model, rounds = ("resnet18", 3) if asked.quick else ("resnet50", 9)
    found = []
    for world in (1, 2):
        with workplace() as folder:
            found += figures(world, model, measured(folder, world, model, rounds))
    report(found, packages=["torch"], as_json=asked.json is not None)


if __name__ == "__main__":
    main()
