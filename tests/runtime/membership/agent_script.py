"""An agent with one worker in its own process, for the tests that kill one: `agent_script.py <run_dir> <agent>`."""

from __future__ import annotations

import sys
from pathlib import Path

from orchestrator.rundir.layout import RunDirectory
from orchestrator.runtime.membership import events as e
from orchestrator.runtime.membership.link import Link
from orchestrator.runtime.membership.seat import Seat


def main(folder: str, agent: int) -> None:
    """Take part until somebody ends this process."""
    run = RunDirectory(Path(folder))
    seat = Seat(run, agent, policy=e.Policy(wanted=2, settle_within=1.0), room=1)
    while True:
        for instruction in seat.turn(0.02):
            if isinstance(instruction, e.StartWorker):
                seat.tell(e.WorkerStarted(instruction.number))
                Link(run, instruction.number).ready(5000)


main(sys.argv[1], int(sys.argv[2]))
