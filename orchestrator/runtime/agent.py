"""The agent of one allocation: `python -m orchestrator.runtime.agent <run_dir> <allocation>`.

The process that is started becomes the guard; its child is the agent proper, which starts and watches the ranks.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.base.errors import OrchestratorError, UsageError
from orchestrator.base.process import ProcessIdentity
from orchestrator.rundir.allocations import END_NOW, MARK, AllocationFiles, is_safe_name, run_has_finished
from orchestrator.rundir.fence import check_fence
from orchestrator.rundir.grant import Grant
from orchestrator.rundir.launch import Launch, read_launch
from orchestrator.rundir.layout import RunDirectory
from orchestrator.runtime.elastic import ElasticAgent
from orchestrator.runtime.guard import FORWARDED, watch
from orchestrator.runtime.keeping import Keeper, Keeping, pair
from orchestrator.runtime.linux import become_subreaper
from orchestrator.runtime.logs import say
from orchestrator.runtime.signals import SignalInbox
from orchestrator.runtime.supervisor import Supervisor


def main(arguments: Sequence[str]) -> int:
    """Run an allocation to its end.

    Args:
        arguments: the run directory and the allocation.

    Returns:
        0: it ended as it should, or there was nothing to start; 1: it failed; 2, 5, 6: as the CLI's exit codes.
    """
    try:
        files = allocation_of("agent", arguments)
    except OrchestratorError as error:
        say(str(error))
        return error.exit_code
    return run_agent(files, Grant.from_environment(os.environ))


def run_agent(files: AllocationFiles, grant: Grant) -> int:
    """Become the guard of an allocation, or of its part on this node, and run it to its end.

    Args:
        files: its files.
        grant: what it may use.

    Returns:
        As `main`; 128 + n where signal n ended the agent.
    """
    inbox = SignalInbox([*FORWARDED, END_NOW, signal.SIGHUP, signal.SIGCHLD])
    try:
        launch = _permission(files)
    except OrchestratorError as error:
        say(str(error))
        return error.exit_code
    if launch is None:
        return 0
    become_subreaper()
    guard = os.getpid()
    ours, theirs = pair()
    agent = os.fork()
    if agent == 0:
        theirs.close()
        os._exit(_supervise(files, launch, grant, guard, Keeping(ours)))
    ours.close()
    return watch(agent, inbox, (MARK, files.allocation), Keeper(theirs))


def allocation_of(module: str, arguments: Sequence[str]) -> AllocationFiles:
    """From the command line of a module of this package.

    Raises:
        UsageError: that is no run directory and allocation.
    """
    if len(arguments) != 2 or not is_safe_name(arguments[1]):
        raise UsageError(f"usage: python -m orchestrator.runtime.{module} <run_dir> <allocation>")
    return AllocationFiles(RunDirectory(Path(arguments[0]).absolute()), arguments[1])


def _permission(files: AllocationFiles) -> Launch | None:
    """What to start; None where another agent has claimed the allocation, or the run is over.

    Raises:
        Fenced: a newer run has taken over.
        NotFound: there is no launch.json.
    """
    launch = read_launch(files.run)
    files.run.create()
    if not files.claim(ProcessIdentity.current()):
        say(f"{files.allocation} is claimed by another agent; nothing to start")
        return None
    check_fence(files.run.job, launch.token)
    if run_has_finished(files.run):
        say(f"{files.run.run} has finished; nothing to start")
        return None
    return launch


def _supervise(files: AllocationFiles, launch: Launch, grant: Grant, guard: int, keeping: Keeping) -> int:
    """The agent proper; the exit code of its process."""
    try:
        become_subreaper()
        if grant.node and not launch.elastic and not launch.array:  # how large the gang is, the engine has decided
            launch = replace(launch, workers=sum(grant.gang) or grant.nodes * (grant.workers or 1))
        if launch.elastic:
            outcome = ElasticAgent(files, launch, grant, guard, keeping).run()
        else:
            outcome = Supervisor(files, launch, grant, guard).run()
    except Exception as error:
        say(f"the agent failed: {error!r}")
        return 1
    say(f"{outcome.outcome}: {outcome.message}")
    return 1 if outcome.outcome == "failed" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
