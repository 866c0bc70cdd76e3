"""From a workload to the processes of one of its runs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

from orchestrator.rundir.launch import Launch
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.spec.workload import CommandWorkload, Workload

RANK_MODULE = "orchestrator.recipes.main"
RAY_TRAIN_MODULE = "orchestrator.raytrain.main"
SEARCH_MODULE = "orchestrator.search.main"
JOINER_MODULE = "orchestrator.onray.join"
ARRAY_MODULE = "orchestrator.search.array"


def launch_for(
    workload: Workload,
    *,
    job: str,
    run: str,
    token: int,
    workers: int,
    workdir: str,
    environment: Mapping[str, str] | None = None,
    python: str | None = None,
) -> Launch:
    """What each rank of a run executes.

    Args:
        workload: the resolved workload.
        job: job identifier.
        run: run identifier.
        token: the run's fencing token.
        workers: how many workers the scheduler gave it.
        workdir: where the user stood at submit; recipes run there too, so that relative dataset paths mean the same.
        environment: of the user's shell; a command runs with it, a recipe in a Python of ours. `env` wins.
        python: the interpreter where the run is; default: that of this process.
    """
    python = python or sys.executable
    resources, array = workload.resources, is_array(workload)
    driven = is_driven(workload)
    launch = Launch(
        job=job,
        run=run,
        token=token,
        argv=_argv(workload, python),
        workdir=workdir_of(workload, workdir),
        workers=workers,
        cpus_per_worker=resources.cpus_per_worker,
        gpus_per_worker=resources.gpus_per_worker,
        ranks_share_slots=driven,
        self_placed=driven and is_training(workload),
        joiner_argv=_of_ours(JOINER_MODULE, python) if driven else (),
        array=array,
        env=_inherited(workload, environment or {}) | workload.env,
    )
    return _elastic(launch, workload) if is_elastic(workload) else launch


def is_elastic(workload: Workload) -> TypeGuard[RegNetWorkload]:
    """Whether workers come and go while a run of it goes on: one training of a recipe by our own engine."""
    return is_training(workload) and workload.elastic.engine == "builtin"


def is_training(workload: Workload) -> TypeGuard[RegNetWorkload]:
    """Whether it is one training of a recipe, which writes checkpoints and goes on from them."""
    return not isinstance(workload, CommandWorkload) and workload.search is None


def is_driven(workload: Workload) -> bool:
    """Whether one process of a run gives out all of the run's slots, through Ray: a search, or `engine: ray_train`."""
    return not isinstance(workload, CommandWorkload) and not is_array(workload) and not is_elastic(workload)


def is_search(workload: Workload) -> bool:
    """Whether the job is a population of trials."""
    return not isinstance(workload, CommandWorkload) and workload.search is not None


def is_array(workload: Workload) -> bool:
    """Whether the workers of a run know nothing of each other, so that an engine may start each by itself."""
    return (
        not isinstance(workload, CommandWorkload) and workload.search is not None and workload.search.engine == "array"
    )


def kind_of(workload: Workload) -> str:
    """`command`, or the recipe's name, with ` search` where it is one."""
    if isinstance(workload, CommandWorkload):
        return "command"
    return workload.recipe + (" search" if workload.search is not None else "")


def workdir_of(workload: Workload, submitted_from: str) -> str:
    """Where the ranks run; a relative `workdir` is meant from where the user stood at submit."""
    if isinstance(workload, CommandWorkload) and workload.workdir:
        return str(Path(submitted_from) / workload.workdir)
    return submitted_from


def _elastic(launch: Launch, workload: RegNetWorkload) -> Launch:
    promise = workload.elastic
    return replace(
        launch,
        elastic=True,
        min_workers=workload.workers.min,
        max_workers=workload.train.virtual_workers,
        lost_after=promise.lost_after,
        hang_after=promise.hang_after,
        replacements=promise.replacements,
    )


def _inherited(workload: Workload, environment: Mapping[str, str]) -> dict[str, str]:
    return dict(environment) if isinstance(workload, CommandWorkload) else {}


def _argv(workload: Workload, python: str) -> tuple[str, ...]:
    if isinstance(workload, CommandWorkload):
        return workload.argv
    if is_array(workload):
        return _of_ours(ARRAY_MODULE, python)
    if is_search(workload):
        return _of_ours(SEARCH_MODULE, python)
    return _of_ours(RANK_MODULE if is_elastic(workload) else RAY_TRAIN_MODULE, python)


def _of_ours(module: str, python: str) -> tuple[str, ...]:
    # -P: a json.py where the user stood must not shadow a module of ours
    return (python, "-P", "-m", module)
