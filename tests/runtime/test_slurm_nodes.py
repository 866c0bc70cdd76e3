"""The batch step of a Slurm job and its nodes, an agent on each; Slurm's programs are fakes."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_slurm import FakeSlurm, variables_of, write_note

from orchestrator.base.process import ProcessIdentity, processes_with_environment
from orchestrator.rundir.allocations import MARK, TAKEN, AllocationFiles
from orchestrator.rundir.batch import Batch, claim_batch
from orchestrator.rundir.control import Control, write_control
from orchestrator.rundir.events import EventWriter
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.membership import Member, View, publish_view
from orchestrator.runtime.batch import is_over
from orchestrator.runtime.node import others_work

WORKER = [sys.executable, "-P", str(Path(__file__).with_name("worker_script.py"))]
MEET = """
import os, socket, time
env = os.environ
rank, world, place = int(env["RANK"]), int(env["WORLD_SIZE"]), (env["MASTER_ADDR"], int(env["MASTER_PORT"]))
if rank == 0:
    peers = [server.accept()[0] for server in [socket.create_server(place)] for _ in range(world - 1)]
    total = sum(int(peer.recv(9)) for peer in peers)
    for peer in peers:
        peer.send(str(total).encode())
else:
    while True:
        try:
            peer = socket.create_connection(place)
            break
        except ConnectionRefusedError:
            time.sleep(0.01)
    peer.send(str(rank).encode())
    total = int(peer.recv(9))
here = f"slots {env['ORCHESTRATOR_SLOTS']}, here {env['ORCHESTRATOR_NODE_SLOTS']}"
print(f"rank {rank} of {world}, local {env['LOCAL_RANK']} of {env['LOCAL_WORLD_SIZE']}, {here}, sum {total}")
"""
"""A stand-in for torch, which takes long to import: the ranks meet as their environment says."""
SLEEP = ["/bin/sh", "-c", "sleep 600"]


@pytest.fixture
def programs(tmp_path: Path, bench: Any) -> Iterator[FakeSlurm]:
    made = FakeSlurm(tmp_path)
    made.install()
    yield made
    for index in (0, 1, 2, 100):
        for process in processes_with_environment(MARK, bench.allocation_of(index)):
            process.send(signal.SIGKILL)
    made.clear()


def elastic(bench: Any, programs: FakeSlurm, nodes: int = 2, more: dict[str, object] | None = None, **note: Any) -> Any:
    """A run of two workers on each node, in one view."""
    bench.prepare(WORKER, elastic=True, gpus_per_worker=1, **{"workers": 2 * nodes, "min_workers": 2} | (more or {}))
    write_note(bench.files, programs.commands, **{"workers": 2, "gpus": 1, "joined": True} | note)
    job = programs.start(bench.files, nodes)
    bench.until(lambda: bench.views()[-1:] == [[n for i in range(nodes) for n in (1000 * i, 1000 * i + 1)]])
    return job


def fixed(bench: Any, programs: FakeSlurm, argv: list[str], nodes: int = 2, **changes: object) -> Any:
    """A gang of two ranks on each node; more could have been placed."""
    bench.prepare(argv, **{"workers": 8} | changes)
    write_note(bench.files, programs.commands, workers=2, joined=True)
    return programs.start(bench.files, nodes)


def running(bench: Any, nodes: int = 2) -> bool:
    return all(len(bench.survivors(index)) >= 2 for index in range(nodes))


def outcomes(bench: Any) -> dict[str, str]:
    """How each agent's part ended."""
    events = [*bench.events("finished"), *bench.events("agent_finished")]
    return {event.writer: f"{event.kind} {event.data['outcome']}" for event in events}


def kill_node(bench: Any, job: Any, index: int) -> None:
    """All processes of one node at once."""
    guard = bench.files_of(index).read_claim().guard
    for process in (guard, bench.agent_identity(index), *bench.survivors(index)):
        process.send(signal.SIGKILL)


def test_a_view_says_how_many_workers_are_on_each_node(bench: Any, programs: FakeSlurm) -> None:
    job = elastic(bench, programs)
    assert bench.event("resized").data["nodes"] == {"n1": 2, "n2": 2}
    assert [event.data["node"] for event in bench.events("agent_started")] in (["n1", "n2"], ["n2", "n1"])
    (bench.root / "finish").touch()
    assert job.wait(30) == 0
    assert bench.event("finished").data["outcome"] == "succeeded"
    assert programs.cancelled() == ""


def test_srun_and_the_workers_see_nothing_of_what_slurm_told_the_batch_step(bench: Any, programs: FakeSlurm) -> None:
    elastic(bench, programs)
    told = programs.told_srun()
    assert {"--no-kill", "--nodes=2", "--ntasks-per-node=1", "--kill-on-bad-exit=0"} <= {*told}
    assert [word for word in told if word.startswith("SLURM_")] == ["SLURM_JOB_ID"]
    worker = variables_of(bench.pid_of(1001))
    assert (worker["CUDA_VISIBLE_DEVICES"], worker[MARK]) == ("1", bench.allocation_of(1))
    assert sorted(name for name in worker if name.startswith("SLURM")) == ["SLURMD_NODENAME", "SLURM_JOB_ID"]


@pytest.mark.parametrize("lost", [0, 1])
def test_an_elastic_run_goes_on_without_a_node(bench: Any, programs: FakeSlurm, lost: int) -> None:
    job = elastic(bench, programs)
    kill_node(bench, job, lost)
    left = [1000 * (1 - lost), 1000 * (1 - lost) + 1]
    bench.until(lambda: bench.views()[-1] == left)
    assert bench.events("resized")[-1].data["nodes"] == {f"n{2 - lost}": 2}
    (bench.root / "finish").touch()
    job.wait(30)
    assert outcomes(bench) == {f"agent-{1 - lost}": "finished succeeded"}


def test_growth_joins_a_run_that_began_without_it_and_leaves_when_slurm_takes_it_away(
    bench: Any, programs: FakeSlurm
) -> None:
    bench.prepare(WORKER, elastic=True, gpus_per_worker=1, workers=2, min_workers=2)
    write_control(bench.run, Control(1, 3, "run", 4))
    for index in (0, 100):
        write_note(bench.files_of(index), programs.commands, workers=2, gpus=1, joined=True)
    base = programs.start(bench.files, 1)
    bench.until(lambda: bench.views() == [[0, 1]])
    grown = programs.start(bench.files_of(100), 1)
    bench.until(lambda: bench.views()[-1] == [0, 1, 100_000, 100_001])
    workers = [ProcessIdentity.of(bench.pid_of(number)) for number in (100_000, 100_001)]
    for process in (bench.files_of(100).read_claim().guard, bench.agent_identity(100), *workers):
        process.send(signal.SIGTERM)  # as Slurm does, to every process of the step
    bench.until(lambda: bench.views()[-1] == [0, 1])
    assert grown.wait(30) == 0
    assert outcomes(bench) == {"agent-100": "agent_finished stopped"}
    (bench.root / "finish").touch()
    assert base.wait(30) == 0
    assert bench.event("finished").data["outcome"] == "succeeded"
    assert not (bench.root / "stopping").exists(), "no worker took Slurm's signal for a stop of the run"


@pytest.mark.parametrize(("ours", "cause"), [(True, "preempt"), (False, "time_limit")])
def test_a_time_limit_that_is_near_stops_the_run_on_all_nodes(
    bench: Any, programs: FakeSlurm, ours: bool, cause: str
) -> None:
    job = elastic(bench, programs, wall_is_ours=ours, grace=20.0)
    job.send_signal(signal.SIGUSR1)
    assert job.wait(30) == 0
    assert bench.event("finished").data["cause"] == cause
    words = [event.data["outcome"] for event in bench.events("rank_finished")]
    assert len(words) == 4, "everyone has ended by itself"
    assert {"stopped"} <= {*words} <= {"stopped", "left"}


def test_a_job_that_slurm_starts_again_starts_nothing(bench: Any, programs: FakeSlurm) -> None:
    bench.prepare(WORKER, elastic=True)
    assert programs.start(bench.files, 1, SLURM_RESTART_COUNT="1").wait(30) == 0
    assert bench.kinds() == []
    assert bench.files.read_claim() is None


def test_a_job_whose_allocation_was_called_off_starts_nothing(bench: Any, programs: FakeSlurm) -> None:
    bench.prepare(WORKER, elastic=True)
    bench.files.claim(None)
    assert programs.start(bench.files, 2).wait(30) == 0
    assert bench.kinds() == []


def test_of_two_jobs_of_an_allocation_one_runs_it_on_all_nodes(bench: Any, programs: FakeSlurm) -> None:
    bench.prepare(WORKER, elastic=True)
    assert claim_batch(bench.files, "6")
    assert programs.start(bench.files, 2).wait(30) == 0
    assert "another job runs it" in bench.files.log.read_text()
    assert bench.files.read_claim() is None


def test_a_job_that_starts_again_under_its_number_is_the_one_that_it_was(bench: Any) -> None:
    bench.prepare(WORKER)
    assert [claim_batch(bench.files, job) for job in ("6", "6", "7")] == [True, True, False]
    assert claim_batch(bench.files_of(100), "7")


def test_a_time_limit_that_is_near_is_told_once_the_disk_takes_the_note(bench: Any, programs: FakeSlurm) -> None:
    job = elastic(bench, programs, nodes=1, grace=20.0)
    _, by_batch_step = bench.files.stops
    by_batch_step.mkdir()
    job.send_signal(signal.SIGUSR1)
    bench.until(lambda: "cannot be told" in bench.files.log.read_text())
    by_batch_step.rmdir()
    assert job.wait(30) == 0
    assert bench.event("finished").data["cause"] == "preempt"


def test_the_ranks_of_a_gang_on_two_nodes_meet_and_succeed_together(bench: Any, programs: FakeSlurm) -> None:
    job = fixed(bench, programs, [sys.executable, "-P", "-c", MEET])
    assert job.wait(30) == 0
    assert [bench.log(rank) for rank in range(4)] == [
        f"rank {rank} of 4, local {rank % 2} of 2, slots 4, here 2, sum 6\n" for rank in range(4)
    ]
    assert outcomes(bench) == {"agent-0": "finished succeeded", "agent-1": "agent_finished succeeded"}
    assert bench.event("started").data == {"world_size": 4, "nodes": {"n1": 2, "n2": 2}}


def test_a_rank_that_fails_on_one_node_ends_all_and_is_named(bench: Any, programs: FakeSlurm) -> None:
    fails = 'if [ "$RANK" = 3 ]; then echo "ValueError: no"; exit 3; else sleep 600; fi'
    assert fixed(bench, programs, ["/bin/sh", "-c", fails]).wait(30) == 1
    finished = bench.event("finished").data
    assert (finished["outcome"], finished["failure_class"], finished["exit_code"]) == ("failed", "application", 3)
    assert finished["message"] == "rank 3 ended with exit code 3: ValueError: no"
    assert bench.survivors(0) == bench.survivors(1) == []


def test_a_gang_that_loses_a_node_ends_as_a_failure_of_the_infrastructure(bench: Any, programs: FakeSlurm) -> None:
    job = fixed(bench, programs, SLEEP)
    bench.until(lambda: running(bench))
    kill_node(bench, job, 1)
    job.wait(30)
    finished = bench.event("finished").data
    assert (finished["outcome"], finished["failure_class"]) == ("failed", "infrastructure")
    assert "agent 1 (node n2) was lost" in finished["message"]
    assert bench.survivors(0) == []


def test_a_gang_that_loses_its_first_node_leaves_nothing_running_and_ends_the_job(
    bench: Any, programs: FakeSlurm
) -> None:
    job = fixed(bench, programs, SLEEP)
    bench.until(lambda: running(bench))
    kill_node(bench, job, 0)
    job.wait(30)
    assert outcomes(bench) == {"agent-1": "agent_finished failed"}
    assert "agent 0, which leads, was lost" in bench.event("agent_finished").data["message"]
    assert bench.survivors(1) == []


def test_a_stop_of_the_run_reaches_the_ranks_of_all_nodes(bench: Any, programs: FakeSlurm) -> None:
    job = fixed(bench, programs, SLEEP)
    bench.until(lambda: running(bench))
    bench.control("stop", "cancel", grace=20)
    assert job.wait(30) == 0
    assert bench.event("finished").data["cause"] == "cancel"
    assert outcomes(bench) == {"agent-0": "finished stopped", "agent-1": "agent_finished stopped"}


def test_what_slurm_tells_one_node_stops_the_gang_and_why_it_says_itself(bench: Any, programs: FakeSlurm) -> None:
    job = fixed(bench, programs, SLEEP)
    bench.until(lambda: running(bench))
    bench.files_of(1).read_claim().guard.send(signal.SIGTERM)
    assert job.wait(30) == 0
    assert outcomes(bench) == {"agent-0": "agent_finished stopped", "agent-1": "agent_finished stopped"}
    assert {event.data["cause"] for event in bench.events("agent_finished")} == {TAKEN}


def test_a_training_that_slurm_takes_back_stops_in_good_order_and_leaves_the_last_word_to_it(
    bench: Any, programs: FakeSlurm
) -> None:
    job = elastic(bench, programs)
    for process in [p for index in range(2) for p in (*bench.survivors(index), bench.agent_identity(index))]:
        process.send(signal.SIGTERM)
    assert job.wait(30) == 0
    assert outcomes(bench) == {"agent-0": "agent_finished stopped", "agent-1": "agent_finished stopped"}
    assert {event.data["outcome"] for event in bench.events("rank_finished")} <= {"stopped", "left"}


def test_a_newer_run_ends_the_gang_on_all_nodes(bench: Any, programs: FakeSlurm) -> None:
    job = fixed(bench, programs, SLEEP)
    bench.until(lambda: running(bench))
    raise_fence(bench.run.job, 4)
    job.wait(30)
    assert bench.survivors(0) == bench.survivors(1) == []


def test_a_search_has_one_driver_and_further_nodes_that_join_it(bench: Any, programs: FakeSlurm) -> None:
    told = 'echo "$ORCHESTRATOR_SLOTS $ORCHESTRATOR_NODE_SLOTS ${RANK-none} $ORCHESTRATOR_HOST"'
    argv = ["/bin/sh", "-c", f"{told}; while [ ! -e joined ]; do sleep 0.01; done"]
    joiner = ("/bin/sh", "-c", f"{told}; touch joined; sleep 600")
    job = fixed(bench, programs, argv, ranks_share_slots=True, joiner_argv=joiner)
    job.wait(30)
    assert [bench.log(0), bench.log(1)] == ["4 2 0 127.0.0.1\n", "4 2 none 127.0.0.1\n"]
    assert outcomes(bench) == {"agent-0": "finished succeeded", "agent-1": "agent_finished stopped"}


def test_a_lost_joiner_is_no_end_of_a_search(bench: Any, programs: FakeSlurm) -> None:
    argv = ["/bin/sh", "-c", "while [ ! -e finish ]; do sleep 0.01; done"]
    job = fixed(bench, programs, argv, ranks_share_slots=True, joiner_argv=tuple(SLEEP))
    bench.until(lambda: len(bench.survivors(0)) >= 1 and len(bench.survivors(1)) >= 1)
    kill_node(bench, job, 1)
    (bench.root / "finish").touch()
    job.wait(30)
    assert bench.event("finished").data["outcome"] == "succeeded"


def test_a_node_with_too_few_gpus_says_so(bench: Any, programs: FakeSlurm) -> None:
    bench.prepare(WORKER, elastic=True, gpus_per_worker=2)
    write_note(bench.files, programs.commands, workers=2, gpus=2)
    assert programs.start(bench.files, 1).wait(30) == 1
    assert "4 GPUs were asked for, and Slurm shows 2" in bench.files.log.read_text()


def test_an_allocation_is_given_back_once(bench: Any) -> None:
    bench.prepare(WORKER)
    files: AllocationFiles = bench.files
    assert files.given_back() == ""
    assert [files.give_back("its node is lost"), files.give_back("again")] == [True, False]
    assert files.given_back() == "its node is lost"


def test_an_agent_that_is_killed_is_spoken_for_by_its_guard(bench: Any, programs: FakeSlurm) -> None:
    job = elastic(bench, programs)
    bench.agent_identity(1).send(signal.SIGKILL)
    bench.until(lambda: bench.views()[-1] == [0, 1])
    (bench.root / "finish").touch()
    job.wait(30)
    assert outcomes(bench) == {"agent-0": "finished succeeded", "agent-1": "agent_finished failed"}


def left(bench: Any, index: int, outcome: str, kind: str = "agent_finished", **more: str) -> None:
    """An agent's last word."""
    EventWriter(bench.run, f"agent-{index}", 3).append(kind, outcome=outcome, **more)


def view_of(bench: Any, epoch: int, *numbers: int) -> None:
    """The view that these workers are in."""
    members = tuple(Member(number, "127.0.0.1", 1, 100 + number) for number in numbers)
    assert publish_view(bench.run, View(epoch, members))


def test_agents_that_stood_down_for_others_who_do_not_go_on_are_no_end_to_wait_for(bench: Any) -> None:
    bench.prepare(WORKER, elastic=True)
    elastic = Batch(1, elastic=True)
    view_of(bench, 1, 0, 1000, 2000)
    left(bench, 1, "failed")
    assert not is_over(bench.files, elastic, 3), "it failed, and the others may wait for a replacement"
    left(bench, 0, "failed", cause="parted")
    assert is_over(bench.files, elastic, 3)
    view_of(bench, 2, 2000)
    assert not is_over(bench.files, elastic, 3)


def test_an_elastic_run_is_over_once_all_have_left_it_and_any_other_without_its_first_agent(bench: Any) -> None:
    bench.prepare(WORKER)
    elastic, fixed = Batch(2, elastic=True), Batch(2)
    assert not is_over(bench.files, fixed, 2)
    left(bench, 0, "failed")
    assert is_over(bench.files, fixed, 2)
    assert not is_over(bench.files, elastic, 2), "the other agent goes on without it"
    left(bench, 1, "failed")
    assert is_over(bench.files, elastic, 2)


def test_a_run_that_says_so_is_over_for_all_its_agents(bench: Any) -> None:
    bench.prepare(WORKER, elastic=True)
    left(bench, 1, "succeeded", "finished")
    assert is_over(bench.files, Batch(2, elastic=True), 2)
    assert not others_work(bench.files, Batch(2, elastic=True), place=2, nodes=3)


def test_an_elastic_job_without_its_first_node_is_ended_by_the_last_agent_of_the_others(bench: Any) -> None:
    bench.prepare(WORKER, elastic=True)
    for index, others in ((1, True), (3, True), (2, False)):
        left(bench, index, "failed")
        assert others_work(bench.files, Batch(2, elastic=True), place=index, nodes=4) is others


def test_a_gang_without_its_first_node_is_ended_by_any_agent_of_the_others(bench: Any) -> None:
    bench.prepare(WORKER)
    left(bench, 1, "failed")
    assert not others_work(bench.files, Batch(2), place=1, nodes=3)
