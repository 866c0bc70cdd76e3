"""One part of a run on a Ray cluster: `python -P -m orchestrator.onray.part <run_dir> <allocation> <actor's process>`.

An agent as everywhere, below a guard that dies with the actor, so that Ray's word on what is free is true.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from orchestrator.base.errors import OrchestratorError
from orchestrator.rundir.grant import GRANT, Grant
from orchestrator.runtime.agent import allocation_of, run_agent
from orchestrator.runtime.linux import die_with
from orchestrator.runtime.logs import say


def main(arguments: Sequence[str]) -> int:
    """Run the part to its end.

    Args:
        arguments: the run directory, the allocation with the agent's number, the process id of the actor.

    Returns:
        As `agent.main`.
    """
    die_with(int(arguments[2]))
    try:
        files = allocation_of("agent", arguments[:2])
    except OrchestratorError as error:
        say(str(error))
        return error.exit_code
    grant = Grant.from_environment(os.environ)
    os.environ.pop(GRANT)
    return run_agent(files, grant)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
