"""A worker of an elastic run without torch: follows the views, beats, and does what files in its folder tell it."""

import os
import sys
import time
from pathlib import Path

from orchestrator.rundir.membership import View
from orchestrator.runtime.context import RunContext
from orchestrator.runtime.outcome import UNHEARD


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def told(context: RunContext, what: str) -> bool:
    """Whether a test has left a file `<what>` for all, or `<what>-<number>` for this worker."""
    return Path(what).exists() or Path(f"{what}-{context.number}").exists()


def stay(context: RunContext, view: View, step: int) -> tuple[str, int]:
    """Work in one view: how it ended, and the step reached."""
    place = context.membership
    while place.newest_epoch() == view.epoch:
        place.beat(step, "compute")
        if context.should_stop() is not None or told(context, "stopping"):
            Path("stopping").touch()  # as the flags of a step tell all workers
            return "stopped", step
        if told(context, "finish"):
            return "succeeded", step
        if told(context, "fail"):
            return "failed", step
        if told(context, "quit"):
            os._exit(3)
        if told(context, "unheard"):
            os._exit(UNHEARD)
        if told(context, "stall"):
            place.beat(step, "compute" if Path(f"stall-{context.number}").exists() else "collective")
        else:
            step += 1
        time.sleep(0.01)
    return "", step


def main() -> None:
    context = RunContext.from_environment()
    context.membership.ready(1)
    say(f"listens on {context.host}")
    epoch, step, outcome = 0, 0, ""
    while not outcome:
        view = context.membership.next_view(epoch)
        if view is None or context.number not in view.numbers:
            outcome = "stopped" if context.should_stop() is not None else "left"
            break
        epoch = view.epoch
        say(f"view {epoch}: {view.numbers}")
        outcome, step = stay(context, view, step)
    context.finish(outcome, f"{outcome} at step {step}", "data" if outcome == "failed" else None)


main()
