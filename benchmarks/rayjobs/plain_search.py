"""The same trials by Ray Tune alone: `plain_search.py TRIALS REUSE TOY`, a script as its documentation shows it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ray import tune
from toy import Toy


def train(config: dict[str, Any]) -> None:
    """What Tune calls."""
    Toy.of(config["toy"]).train(config["index"], tune.report)


def main(trials: int, reuse: bool, toy: str) -> None:
    """Tune's defaults; all that is said is where its results lie, and `reuse_actors` if asked."""
    options = {"reuse_actors": True} if reuse else {}
    tuner = tune.Tuner(
        train,
        param_space={"index": tune.grid_search(list(range(trials))), "toy": toy},
        tune_config=tune.TuneConfig(metric="val_error", mode="min", **options),
        run_config=tune.RunConfig(storage_path=str(Path(Toy.of(toy).folder, "tune"))),
    )
    found = tuner.fit()
    if found.errors:
        sys.exit(str(found.errors[0]))
    print(found.get_best_result().metrics["val_error"])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] == "reuse", sys.argv[3])
