"""The guard: the agent's parent, which outlives it and lets nothing outlive itself.

Below the guard is the agent, below the agent are the ranks. Whoever dies, everything below it dies:

- the agent dies: the kernel kills the ranks (parent-death signal), their orphans fall to the guard (a subreaper), which
  sweeps them by descent and by the mark in their environment;
- the guard dies: the agent sees another parent, kills its ranks and ends;
- both die at once: the kernel kills the ranks; the backend sweeps by the mark before it says that the run has ended.

The slots of the machine are locks that guard and agent both hold, so they are free only when all of that is done.
"""

from __future__ import annotations

import contextlib
import os
import signal

from orchestrator.base.sweep import sweep
from orchestrator.rundir.allocations import END_NOW
from orchestrator.runtime.keeping import Keeper
from orchestrator.runtime.logs import say
from orchestrator.runtime.signals import SignalInbox

FORWARDED = frozenset({signal.SIGTERM, signal.SIGUSR1, signal.SIGINT})


def watch(agent: int, inbox: SignalInbox, mark: tuple[str, str], keeper: Keeper) -> int:
    """Pass signals on to the agent until it ends, then sweep.

    Args:
        agent: its process id, a child of this process.
        inbox: this process's signals, SIGCHLD among them.
        mark: the variable and value that all processes of the allocation carry.
        keeper: holds the slots that the agent takes.

    Returns:
        The agent's exit code, 128 + n where signal n ended it.
    """
    while (status := _reap(agent)) is None:
        signals = inbox.wait(5.0, [keeper.fileno()] if keeper.open else [])
        keeper.take()
        for number in signals:
            if number == END_NOW:
                say("the backend ends this run now")
                _send(agent, signal.SIGKILL)
            elif number in FORWARDED:
                _send(agent, number)
    for survivor in sweep([os.getpid()], mark):
        say(f"process {survivor.pid} does not die")
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        say(f"the agent was killed by signal {-code}; everything below it is gone")
    return code if code >= 0 else 128 - code


def _reap(agent: int) -> int | None:
    """Collect dead children; the agent's wait status once it is among them."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            if found[0] == agent:
                return found[1]
    return None


def _send(agent: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(agent, number)
