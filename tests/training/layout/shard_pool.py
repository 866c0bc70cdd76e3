"""One worker of a pool that goes through views of scenarios, and writes what its training came to.

python shard_pool.py NUMBER FOLDER          FOLDER/scenarios.json, see `test_sharded_layout`
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from shard_toys import Trainer

from orchestrator.rundir.membership import Member, View
from orchestrator.training.determinism import deterministic
from orchestrator.training.group import Group, GroupBroken, form, leave, own_store
from orchestrator.training.layout.protocol import Arrival, StateLost


class Lost(Exception):
    """This worker plays dead."""


def digest(trainer: Trainer) -> dict[str, str]:
    """Of each tensor of the state, whole."""
    found = {}
    for key, tensor in sorted(trainer.layout.checkpointed(trainer.state).items()):
        whole = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
        data = whole.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        found[key] = hashlib.sha256(data).hexdigest()
    return found


class Worker:
    def __init__(self, number: int, members: dict[int, Member]) -> None:
        self.number, self.members = number, members
        self.store = own_store()

    def scenario(self, scenario: dict[str, Any], first: int) -> dict[str, Any]:
        trainer: Trainer | None = None
        said: dict[str, Any] = {}
        for epoch, view in enumerate(scenario["views"], first):
            if self.number not in (*view["members"], *view.get("leaving", ())):
                trainer = None
                continue
            trainer = trainer or Trainer(scenario["model"], dict(scenario.get("settings", {})))
            group: Group | None = None
            try:
                group = self.enter(trainer, view, epoch)
                self.steps(trainer, view, said)
                if group is not None and not view.get("lose"):
                    said = {"steps": trainer.layout.steps, "digest": digest(trainer)}
            except GroupBroken:
                assert view.get("lose") or view.get("broken")
            except StateLost:
                said = {"lost": True}
            except Lost:
                trainer = None
                gc.collect()
            if group is None:
                trainer = None
            leave(group or Group(0, 2, torch.device("cpu"), formed=True))
        return said

    def enter(self, trainer: Trainer, view: dict[str, Any], epoch: int) -> Group | None:
        members = tuple(self.members[n] for n in view["members"])
        leaving = tuple(view.get("leaving", ()))
        described = View(epoch, members, leaving)
        device = torch.device("cpu")
        if not leaving:
            group = form(described, self.number, self.store, device=device)
            trainer.state = trainer.layout.enter(Arrival(group, len(members), ()), group, trainer.state)
        else:
            everybody = form(described, self.number, self.store, device=device, leavers=True)
            trainer.state = trainer.layout.enter(Arrival(everybody, len(members), ()), None, trainer.state)
            leave(everybody)
            if self.number in leaving:
                return None
            group = form(described, self.number, self.store, device=device)
            trainer.layout.settle(group)
        trainer.settle(group)
        return group

    def steps(self, trainer: Trainer, view: dict[str, Any], said: dict[str, Any]) -> None:
        lose = view.get("lose", {})

        def fail(where: str) -> None:
            if self.number == lose.get("number") and (trainer.layout.steps, where) == (lose["at"], lose["when"]):
                raise Lost

        while self.number not in view.get("leaving", ()) and trainer.layout.steps < view["until"]:
            trainer.step(fail=fail)


def meet(folder: Path, number: int, port: int, count: int) -> dict[int, Member]:
    (folder / f"port-{number}.tmp").write_text(str(port))
    (folder / f"port-{number}.tmp").rename(folder / f"port-{number}")
    while len(list(folder.glob("port-?"))) < count:
        time.sleep(0.02)
    return {n: Member(n, "127.0.0.1", int((folder / f"port-{n}").read_text()), 0) for n in range(count)}


def main(number: int, folder: Path) -> None:
    plan = json.loads((folder / "scenarios.json").read_text())
    worker = Worker(number, {})
    worker.members = meet(folder, number, worker.store.port, plan["workers"])
    done, epoch = {}, 1
    with deterministic(1):
        for scenario in plan["scenarios"]:
            done[scenario["name"]] = worker.scenario(scenario, epoch)
            epoch += len(scenario["views"])
    (folder / f"worker-{number}.json").write_text(json.dumps(done))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.flush()
    os._exit(0)
