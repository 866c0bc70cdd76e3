"""Entry of a search's driver: `python -m orchestrator.search.main`, rank 0 of an ordinary run, started by an agent."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from functools import partial

from orchestrator.onray.cluster import Reserved
from orchestrator.recipes.ending import Ending
from orchestrator.recipes.entry import run_rank
from orchestrator.runtime.context import RunContext
from orchestrator.search.driver import SearchRun, run_trials
from orchestrator.search.ingroup import GroupProcess
from orchestrator.search.ledger import Ledger
from orchestrator.search.population import resumed_trials
from orchestrator.search.setting import Setting
from orchestrator.search.trialprocess import TrialProcess
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.tracking.protocol import Tracker


def main() -> int:
    """Search as the environment says; the exit code is 0 where the run succeeded or was stopped."""
    return run_rank(_search, writer="search")


def _search(context: RunContext, workload: RegNetWorkload, tracker: Tracker) -> Ending:
    setting = Setting.of(context, workload, tracker)
    trials = resumed_trials(setting.fresh, setting.records.load())
    setting.announce()
    ledger = Ledger(
        trials,
        setting.records,
        setting.voice(),
        epochs=workload.train.epochs,
        samples_per_epoch=setting.epoch,
        total=len(trials) if setting.sampler is None else setting.sampler.total,
        curves=workload.search is not None and workload.search.scheduler.ends_trials_early,
    )
    run = SearchRun(
        context.job,
        context.run,
        context.token,
        context.slots,
        partial(_give_up, context),
        elsewhere=context.slots - context.node_slots,
        host=context.host,
        sampler=setting.sampler,
    )
    if not run_trials(run, workload, ledger, lambda: context.should_stop() is not None):
        return setting.stopped(ledger.trials)
    with closing(_process(context)) as process:
        return setting.finish(ledger.trials, process, ledger.closed)


def _process(context: RunContext) -> TrialProcess | GroupProcess:
    """Where the best trial is evaluated: here, or where the run has its GPUs."""
    reserved = Reserved.of(os.environ)
    if reserved is None or not reserved.each.get("GPU"):
        return TrialProcess()
    return GroupProcess(reserved, partial(_give_up, context))


def _give_up(context: RunContext, daemon: str) -> None:
    """End at once: trials that are over are kept, and the job's next run goes on with the others."""
    context.finish("failed", f"the search's Ray was lost: its {daemon} died", "infrastructure")
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
