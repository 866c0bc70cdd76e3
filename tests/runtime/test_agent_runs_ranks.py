"""An agent starts the ranks, watches them and says how the run ended."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.rundir.fence import raise_fence

MEET = """
import os, socket, time
rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if rank == 0:
    server = socket.create_server(address)
    for _ in range(world - 1):
        peer, _ = server.accept()
        print("met", peer.recv(100).decode())
else:
    while True:
        try:
            socket.create_connection(address).sendall(f"{rank} of {world}".encode())
            break
        except ConnectionRefusedError:
            time.sleep(0.01)
"""


def test_a_command_that_ends_with_exit_code_0_succeeds(bench: Any) -> None:
    finished = bench.execute(["/bin/sh", "-c", "echo hello; echo problem >&2"])
    assert finished.data["outcome"] == "succeeded"
    assert bench.log() == "hello\nproblem\n"


def test_the_events_come_in_order_and_finished_is_the_last(bench: Any) -> None:
    bench.execute(["/bin/true"])
    assert bench.kinds() == ["agent_started", "started", "finished"]
    assert bench.event("started").data == {"world_size": 1}
    assert bench.event("agent_started").data["allocation"] == bench.allocation


def test_a_failing_command_is_an_application_failure_with_its_exit_code_and_last_line(bench: Any) -> None:
    finished = bench.execute(["/bin/sh", "-c", "echo no such thing; exit 3"])
    assert finished.data["outcome"] == "failed"
    assert finished.data["failure_class"] == "application"
    assert finished.data["exit_code"] == 3
    assert finished.data["message"] == "rank 0 ended with exit code 3: no such thing"


def test_a_python_program_that_runs_out_of_memory_is_charged_to_that_budget(bench: Any) -> None:
    finished = bench.execute([sys.executable, "-c", "raise MemoryError"])
    assert finished.data["failure_class"] == "out_of_memory"


def test_what_a_rank_said_that_it_would_die_of_it_has_died_of(bench: Any) -> None:
    lines = (
        "import os",
        "from orchestrator.runtime.context import RunContext",
        "from orchestrator.runtime.markers import leave_will",
        "leave_will(RunContext.from_environment().run, 0, 'the engine is away')",
        "os.abort()",
    )
    finished = bench.execute([sys.executable, "-c", "\n".join(lines)])
    assert (finished.data["failure_class"], finished.data["exit_code"]) == ("infrastructure", -6)
    assert finished.data["message"] == "rank 0 failed: the engine is away"


@pytest.mark.parametrize(
    ("argv", "changes"),
    [(["no-such-program-anywhere"], {}), (["/bin/true"], {"workdir": "/no/such/folder"}), (["/bin/true\0x"], {})],
)
def test_what_can_never_start_fails_for_good(bench: Any, argv: list[str], changes: dict[str, str]) -> None:
    finished = bench.execute(argv, **changes)
    assert finished.data["outcome"] == "failed"
    assert finished.data["failure_class"] == "permanent"


@pytest.mark.parametrize(
    ("text", "what"), [("no-such-program-anywhere", "127 (the program was not found)"), ("/etc/passwd", "126 (the ")]
)
def test_a_shell_that_cannot_execute_a_program_fails_for_good_as_a_list_does(bench: Any, text: str, what: str) -> None:
    finished = bench.execute(["/bin/sh", "-eu", "-c", text])
    assert finished.data["failure_class"] == "permanent"
    assert f"ended with exit code {what}" in finished.data["message"]


def test_ranks_meet_at_the_master_port_and_each_has_a_log(bench: Any) -> None:
    finished = bench.execute([sys.executable, "-c", MEET], workers=3)
    assert finished.data["outcome"] == "succeeded"
    assert sorted(bench.log(0).splitlines()) == ["met 1 of 3", "met 2 of 3"]
    assert (bench.run.logs / "rank-2.log").exists()


def test_a_rank_that_fails_ends_the_others(bench: Any) -> None:
    program = "import os, sys, time\nif os.environ['RANK'] == '1': sys.exit('broken')\ntime.sleep(600)"
    finished = bench.execute([sys.executable, "-c", program], workers=2)
    assert finished.data["message"] == "rank 1 ended with exit code 1: broken"
    assert bench.survivors() == []


def test_the_environment_of_a_rank_is_the_contract(bench: Any) -> None:
    bench.prepare(
        [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"],
        workers=2,
        cpus_per_worker=3,
        gpus_per_worker=2,
        env={"MINE": "yes", "RANK": "99"},
    )
    bench.start(json.dumps({"devices": ["4", "5", "6", "7"]})).wait(30)
    seen = json.loads(bench.log(1))
    assert seen["ORCHESTRATOR_RUN_DIR"] == str(bench.run.path)
    assert (seen["ORCHESTRATOR_JOB"], seen["ORCHESTRATOR_RUN"]) == (bench.job, bench.run.run)
    assert (seen["ORCHESTRATOR_ALLOCATION"], seen["ORCHESTRATOR_FENCING_TOKEN"]) == (bench.allocation, "3")
    assert [seen[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")] == ["1", "1", "2", "2"]
    assert (seen["OMP_NUM_THREADS"], seen["CUDA_VISIBLE_DEVICES"], seen["PYTHONUNBUFFERED"]) == ("3", "6,7", "1")
    assert (seen["MINE"], seen["ORCHESTRATOR_SLOTS"]) == ("yes", "2")
    assert "ORCHESTRATOR_GRANT" not in seen


def test_one_process_that_uses_all_slots_is_told_how_many(bench: Any) -> None:
    finished = bench.execute(
        ["/bin/sh", "-c", "echo $WORLD_SIZE $ORCHESTRATOR_SLOTS"], workers=4, ranks_share_slots=True
    )
    assert finished.data["outcome"] == "succeeded"
    assert bench.log() == "1 4\n"
    assert bench.event("started").data == {"world_size": 4}


def test_strings_that_would_be_dangerous_in_a_shell_stay_inert(bench: Any, tmp_path: Path) -> None:
    hostile = "$(touch pwned); `touch pwned` && touch pwned | '\" \n touch pwned #"
    program = "import os, sys; print(repr(sys.argv[1])); print(repr(os.environ['HOSTILE']))"
    bench.execute([sys.executable, "-c", program, hostile], env={"HOSTILE": hostile}, workdir=str(tmp_path))
    assert bench.log().splitlines() == [repr(hostile), repr(hostile)]
    assert not (tmp_path / "pwned").exists()


def test_escape_codes_of_a_log_do_not_reach_the_message(bench: Any) -> None:
    finished = bench.execute(["/bin/sh", "-c", r"printf '\033[31mred\033[0m\n'; exit 1"])
    assert finished.data["message"].endswith(": red")


def test_an_agent_with_an_older_fencing_token_starts_nothing(bench: Any) -> None:
    bench.prepare(["/bin/sh", "-c", "echo ran"])
    raise_fence(bench.run.job, 4)
    assert bench.start().wait(30) == 6
    assert bench.kinds() == []
    assert not bench.log()


def test_a_run_that_is_fenced_while_it_runs_is_ended(bench: Any) -> None:
    bench.prepare(["/bin/sleep", "600"])
    agent = bench.start()
    bench.until(lambda: "started" in bench.kinds())
    raise_fence(bench.run.job, 4)
    agent.wait(30)
    finished = bench.event("finished")
    assert finished.data["failure_class"] == "infrastructure"
    assert "older" in finished.data["message"]


def test_of_two_agents_for_one_allocation_only_one_runs(bench: Any) -> None:
    bench.prepare(["/bin/sh", "-c", "echo once; sleep 0.3"])
    agents = [bench.start() for _ in range(4)]
    assert [agent.wait(30) for agent in agents] == [0, 0, 0, 0]
    assert bench.log() == "once\n"
    assert bench.kinds().count("finished") == 1


def test_an_agent_of_a_run_that_has_finished_starts_nothing(bench: Any) -> None:
    bench.execute(["/bin/sh", "-c", "echo once"])
    os.unlink(bench.run.path / "agent-0.json")
    assert bench.start().wait(30) == 0
    assert bench.log() == "once\n"


def test_what_the_control_plane_never_wrote_is_not_started(bench: Any) -> None:
    bench.prepare(["/bin/true"])
    bench.run.launch.unlink()
    assert bench.start().wait(30) == 5
