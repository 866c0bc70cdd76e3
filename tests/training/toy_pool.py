"""One worker of a pool: forms the group of each scenario in turn, trains the toy task in it, and writes what came out.

python toy_pool.py RANK FOLDER        FOLDER/scenarios.json: [{name, world, port, exact, checkpoints, stop_at}]
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from toy_training import ToyTask, toy_config

from orchestrator.training.checkpoint import CheckpointStore
from orchestrator.training.config import EngineContext
from orchestrator.training.determinism import deterministic
from orchestrator.training.digest import parameters_digest
from orchestrator.training.engine import train
from orchestrator.training.group import join


def run(scenario: dict[str, Any], rank: int, folder: Path) -> dict[str, Any]:
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        # only the last worker is asked; all of them must stop at the same step
        return bool(scenario["stop_at"] and calls == scenario["stop_at"] and rank == scenario["world"] - 1)

    environment = {
        "RANK": str(rank),
        "WORLD_SIZE": str(scenario["world"]),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(scenario["port"]),
    }
    kept = scenario["checkpoints"]
    with deterministic(1), join(environment) as group:
        store = CheckpointStore(folder / kept) if kept else None
        config = toy_config(exact=scenario["exact"])
        result = train(ToyTask(), config, EngineContext(group, store, stop=stop))
    return {
        "digest": parameters_digest(result.model),
        "state": result.state,
        "samples": result.samples,
        "history": [[r.train_loss, r.validation] for r in result.history],
    }


def main(rank: int, folder: Path) -> None:
    scenarios = json.loads((folder / "scenarios.json").read_text())
    done = {s["name"]: run(s, rank, folder) for s in scenarios if rank < s["world"]}
    (folder / f"rank-{rank}.json").write_text(json.dumps(done))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.flush()
    os._exit(0)
