"""What a rank knows of its run."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import Fenced, UsageError
from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.layout import JobDirectory
from orchestrator.runtime.context import RunContext
from orchestrator.runtime.markers import read_marker

CONTEXT = "from orchestrator.runtime.context import RunContext\ncontext = RunContext.from_environment()\n"


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    run = JobDirectory.under(tmp_path, "j").run("j-r1")
    run.job.create()
    run.create()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    yield {
        "ORCHESTRATOR_RUN_DIR": str(run.path),
        "ORCHESTRATOR_FENCING_TOKEN": "2",
        "ORCHESTRATOR_ALLOCATION": "j-r1.0",
        "ORCHESTRATOR_SLOTS": "4",
        "RANK": "1",
        "WORLD_SIZE": "2",
    }
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_rank_reads_its_place_from_the_environment(environment: dict[str, str]) -> None:
    context = RunContext.from_environment(environment)
    assert (context.number, context.writer, context.slots) == (1, "rank-1", 4)
    assert context.membership.next_view(0) is not None
    assert (context.token, context.run.run, context.job.path.name) == (2, "j-r1", "j")


def test_a_process_that_no_agent_started_is_told_so() -> None:
    with pytest.raises(UsageError, match="ORCHESTRATOR_RUN_DIR"):
        RunContext.from_environment({})


def test_the_controller_s_wish_to_stop_is_seen(environment: dict[str, str]) -> None:
    context = RunContext.from_environment(environment)
    write_control(context.run, Control(1, 2, "stop", 2, cause="preempt", grace_seconds=7))
    request = context.should_stop()
    assert request is not None
    assert (request.cause, request.grace_seconds) == ("preempt", 7)


def test_a_wish_to_stop_is_seen_by_whoever_looks_for_something_else_first(environment: dict[str, str]) -> None:
    context = RunContext.from_environment(environment)
    write_control(context.run, Control(1, 2, "stop", 2, cause="preempt", checkpoint=3))
    assert context.checkpoints_wanted() == 3
    request = context.should_stop()
    assert request is not None
    assert request.cause == "preempt"


def test_control_json_is_read_at_most_twice_a_second(environment: dict[str, str]) -> None:
    context = RunContext.from_environment(environment)
    assert context.should_stop() is None
    write_control(context.run, Control(1, 2, "stop", 2))
    assert context.should_stop() is None


def test_demands_for_checkpoints_are_counted(environment: dict[str, str]) -> None:
    context = RunContext.from_environment(environment)
    write_control(context.run, Control(4, 2, "run", 2, checkpoint=3))
    assert context.checkpoints_wanted() == 3
    assert context.should_stop() is None


def test_a_wish_for_another_run_is_not_meant(environment: dict[str, str]) -> None:
    context = RunContext.from_environment(environment)
    write_control(context.run, Control(1, 99, "stop", 2))
    assert context.should_stop() is None


@pytest.mark.parametrize(("number", "cause"), [(signal.SIGTERM, "drain"), (signal.SIGUSR1, "preempt")])
def test_a_signal_is_a_wish_to_stop(environment: dict[str, str], number: signal.Signals, cause: str) -> None:
    context = RunContext.from_environment(environment)
    assert context.should_stop() is None
    os.kill(os.getpid(), number)
    request = context.should_stop()
    assert request is not None
    assert request.cause == cause


def test_an_older_token_is_fenced(environment: dict[str, str]) -> None:
    context = RunContext.from_environment(environment)
    raise_fence(context.job, 3)
    with pytest.raises(Fenced):
        context.check_fence()


def test_the_marker_is_the_last_event(environment: dict[str, str]) -> None:
    context = RunContext.from_environment(environment)
    context.events.mention("progress", done=1)
    assert read_marker(context.run, 1) is None
    context.finish("failed", "a shard is missing", "data")
    marker = read_marker(context.run, 1)
    assert marker is not None
    assert (marker.outcome, marker.message, marker.failure_class) == ("failed", "a shard is missing", "data")


def test_a_rank_that_said_it_succeeded_did_so_even_where_it_aborts_at_exit(bench: Any) -> None:
    program = CONTEXT + "context.finish('succeeded', 'all done')\nimport os\nos.abort()"
    finished = bench.execute([sys.executable, "-c", program])
    assert (finished.data["outcome"], finished.data["message"]) == ("succeeded", "all done")


def test_a_rank_that_made_itself_known_and_leaves_without_a_word_has_failed(bench: Any) -> None:
    finished = bench.execute([sys.executable, "-c", CONTEXT])
    assert finished.data["outcome"] == "failed"


def test_a_rank_that_is_stopped_keeps_its_helpers_while_it_saves(bench: Any) -> None:
    program = CONTEXT + (
        "import subprocess, time\n"
        "helper = subprocess.Popen(['sleep', '600'])\n"
        "print('ready')\n"
        "while context.should_stop() is None: time.sleep(0.01)\n"
        "time.sleep(0.2)\n"
        "print('helper alive', helper.poll() is None)\n"
        "context.finish('stopped', 'saved at step 5')\n"
    )
    bench.prepare([sys.executable, "-c", program])
    agent = bench.start()
    bench.until(lambda: "ready" in bench.log())
    bench.control("stop", "preempt", grace=20)
    agent.wait(10)
    assert "helper alive True" in bench.log()
    finished = bench.event("finished")
    assert finished.data == {"outcome": "stopped", "message": "saved at step 5", "cause": "preempt"}
    assert bench.survivors() == []


@pytest.mark.parametrize("module", ["orchestrator.runtime.agent", "orchestrator.runtime.context"])
def test_nothing_heavy_is_imported_by_what_must_start_fast(module: str, bench: Any) -> None:
    heavy = "{'torch', 'numpy', 'pydantic', 'ray', 'mlflow', 'pyarrow', 'platformdirs', 'argparse', 'logging'}"
    program = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    bench.execute([sys.executable, "-c", program])
    assert bench.log() == "[]\n"
