"""Entry of each worker of a plain run: `python -m orchestrator.recipes.main`, started by an agent."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from functools import partial
from typing import NoReturn

from orchestrator.recipes.entry import run_rank
from orchestrator.recipes.work import InRun, as_it_is, train_as_worker


def main(in_run: InRun = as_it_is) -> int:
    """Train as the environment says; the exit code is 0 where the run succeeded, was stopped, or this worker left.

    Args:
        in_run: what the engine sees of the run's membership; a rehearsal of faults puts its own around it.
    """
    return run_rank(partial(train_as_worker, in_run=in_run))


def end(code: int) -> NoReturn:
    """End the process.

    One that used gloo can abort in its exit handlers; its word is durable by now, so they are not run.
    """
    gc.collect()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # a full disk
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    end(main())
