"""One worker of the peers: DistributedDataParallel, a checkpoint every so many steps, a log of steps.

python ddp_worker.py FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from resizing.model import BATCH, CHECKPOINT_EVERY, MOMENTUM, RATE, build_model, samples
from resizing.steps import StepLog


def train_ddp(folder: Path) -> None:
    """From the newest checkpoint, for ever, in the process group that there is.

    Args:
        folder: for the checkpoint and the logs.
    """
    rank, world = dist.get_rank(), dist.get_world_size()
    log, path = StepLog(folder), folder / "checkpoint.pt"
    torch.manual_seed(0)
    model = nn.parallel.DistributedDataParallel(build_model())
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    step = 0
    if path.exists():
        state = torch.load(path, weights_only=True)
        model.module.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = int(state["step"])
    group, each = _same_for_all(os.getpid()), BATCH // world
    while True:
        log.note("begun", step, world, group)
        images, labels = samples(torch.arange(step * BATCH + rank * each, step * BATCH + (rank + 1) * each))
        optimizer.zero_grad()
        loss: torch.Tensor = nn.functional.cross_entropy(model(images), labels)
        torch.autograd.backward(loss)
        optimizer.step()
        log.note("completed", step, world, group)
        step += 1
        if rank == 0 and step % CHECKPOINT_EVERY == 0:
            state = {"model": model.module.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
            torch.save(state, path.with_suffix(".part"))
            os.replace(path.with_suffix(".part"), path)


def _same_for_all(number: int) -> int:
    """The number of rank 0."""
    told = torch.tensor([number])
    dist.broadcast(told, 0)
    return int(told.item())


if __name__ == "__main__":
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    train_ddp(Path(sys.argv[1]))
