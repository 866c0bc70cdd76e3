"""Entry of a worker of an array: `python -m orchestrator.search.array`, a rank that is started by an agent."""

from __future__ import annotations

import sys

from orchestrator.recipes.ending import Ending
from orchestrator.recipes.entry import run_rank
from orchestrator.recipes.speaker import Speaker
from orchestrator.runtime.context import RunContext
from orchestrator.search.arrayworker import ArrayWorker
from orchestrator.search.setting import Setting
from orchestrator.spec.regnet import RegNetWorkload


def main() -> int:
    """Work as the environment says; the exit code is 0 where this worker did its part."""
    return run_rank(_work)


def _work(context: RunContext, workload: RegNetWorkload, speaker: Speaker) -> Ending:
    speaker.let(True)  # each tells of its own trials
    return ArrayWorker(Setting.of(context, workload, speaker)).work()


if __name__ == "__main__":
    sys.exit(main())
