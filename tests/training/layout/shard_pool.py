"""Workers that go through the views of scenarios, and write what their training came to.

python shard_pool.py FOLDER         FOLDER/scenarios.json, see `test_sharded_layout`

They are forked: what takes longest is to import FSDP2.
"""

from __future__ import annotations

import faulthandler
import gc
import hashlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from shard_toys import Trainer

from orchestrator.rundir.membership import Member, View
from orchestrator.training.determinism import deterministic
from orchestrator.training.forming import cut_off, form, leave, members_of, own_store
from orchestrator.training.group import Group, GroupBroken
from orchestrator.training.layout.protocol import Arrival, StateLost


class Dead(Exception):
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
        self.groups: list[Group] = []

    def scenario(self, scenario: dict[str, Any], first: int) -> dict[str, Any]:
        trainer: Trainer | None = None
        said: dict[str, Any] = {"seen": []}
        for epoch, view in enumerate(scenario["views"], first):
            if self.number not in (*view["members"], *view.get("leaving", ())):
                trainer = None
                continue
            trainer = trainer or Trainer(scenario["model"], dict(scenario.get("settings", {})))
            ending = self.view(trainer, view, epoch, said)
            if ending == "broken":
                assert view["lose"], "nobody was to be lost"
                trainer.layout.abandon()
            elif ending:
                trainer = None
            if ending in ("broken", "dead"):
                for group in self.groups:
                    cut_off(group)
            if self.groups:
                leave(self.groups[0])
            self.groups = []
            gc.collect()
            if dist.is_initialized():
                dist.destroy_process_group()
        return said

    def view(self, trainer: Trainer, view: dict[str, Any], epoch: int, said: dict[str, Any]) -> str:
        try:
            stays = self.enter(trainer, view, epoch)
            if not stays:
                return "left"
            self.steps(trainer, view)
            said.update(steps=trainer.layout.steps, digest=digest(trainer))
        except GroupBroken:
            said["seen"].append(trainer.layout.steps)
            return "broken"
        except StateLost:
            said["lost"] = True
            return "lost"
        except Dead:
            return "dead"
        return ""

    def enter(self, trainer: Trainer, view: dict[str, Any], epoch: int) -> bool:
        lose = view.get("lose", {})
        members, leaving = tuple(self.members[n] for n in view["members"]), tuple(view.get("leaving", ()))
        whole = form(
            View(epoch, members, leaving), self.number, self.store, device=torch.device("cpu"), leavers=bool(leaving)
        )
        self.groups = [whole]
        if lose.get("when") == "enter" and self.number in lose["numbers"]:
            raise Dead
        group = members_of(whole, len(members))
        self.groups += [group] if group is not None else []
        trainer.state = trainer.layout.enter(Arrival(whole, len(members), ()), group, trainer.state)
        if group is not None:
            trainer.settle(group)
        return group is not None

    def steps(self, trainer: Trainer, view: dict[str, Any]) -> None:
        lose = view.get("lose", {})

        def fail(where: str) -> None:
            if self.number in lose.get("numbers", ()) and (trainer.layout.steps, where) == (lose["at"], lose["when"]):
                raise Dead

        while self.number not in view.get("leaving", ()) and trainer.layout.steps < view["until"]:
            trainer.step(fail=fail)


def meet(folder: Path, number: int, port: int, count: int) -> dict[int, Member]:
    (folder / f"port-{number}.tmp").write_text(str(port))
    (folder / f"port-{number}.tmp").rename(folder / f"port-{number}")
    while len(list(folder.glob("port-?"))) < count:
        time.sleep(0.02)
    return {n: Member(n, "127.0.0.1", int((folder / f"port-{n}").read_text()), 0) for n in range(count)}


def work(number: int, folder: Path, plan: dict[str, Any]) -> None:
    worker = Worker(number, {})
    worker.members = meet(folder, number, worker.store.port, plan["workers"])
    done, epoch = {}, 1
    with deterministic(1):
        for scenario in plan["scenarios"]:
            done[scenario["name"]] = worker.scenario(scenario, epoch)
            epoch += len(scenario["views"])
    (folder / f"worker-{number}.json").write_text(json.dumps(done))


def main(folder: Path) -> int:
    plan = json.loads((folder / "scenarios.json").read_text())
    workers = []
    for number in range(plan["workers"]):
        child = os.fork()
        if not child:
            faulthandler.dump_traceback_later(plan["seconds"], exit=True)
            try:
                work(number, folder, plan)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        workers.append(child)
    return max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in workers)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
