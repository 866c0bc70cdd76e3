"""What commands show of a Slurm cluster: plans without a Slurm, its queue, and what is refused."""

import time
from pathlib import Path

import pytest
from api_fakes import NOW, FakeService, line

from orchestrator.cli.nodetext import node_table
from orchestrator.cli.queuetext import queue_text
from orchestrator.cli.whytext import what_if_text, why_text
from orchestrator.spec.answers import Moment, NodeView, Option, QueueView, SlotCount, WhatIfView, WhyView
from orchestrator.spec.profile import ClusterProfile

NOWHERE = "{commands: /nowhere, partition: batch}"


@pytest.fixture
def cluster(tmp_path: Path) -> str:
    path = tmp_path / "lab.yaml"
    path.write_text(f"name: lab\nbackend: slurm\nslurm: {NOWHERE}\n")
    return str(path)


@pytest.mark.usefixtures("offline")
def test_a_plan_needs_neither_a_server_nor_a_slurm(cli, cluster: str, workload: Path, tmp_path: Path) -> None:
    outcome = cli("plan", str(workload), "--cluster", cluster)
    assert outcome.code == 0
    assert "    #SBATCH --partition=batch" in outcome.out
    assert "  shape      1 node x 1 worker" in outcome.out
    assert "  assumed    Slurm does not answer" in outcome.out
    assert "in the queue of Slurm on cluster lab (by its dry run):" in outcome.out
    assert "Slurm was not asked when it would start: Slurm's program " in outcome.out
    data = cli("plan", str(workload), "--cluster", cluster, "--json").document["data"]
    assert data["launch"]["script"].startswith("#!/bin/bash")
    assert (data["queue"]["engine"], data["queue"]["options"][0]["start"]) == ("slurm", None)
    assert not (tmp_path / "state" / "server").exists()


@pytest.mark.usefixtures("live")
def test_a_plan_for_the_slurm_that_is_served_asks_the_server(
    cli, service: FakeService, workload: Path, tmp_path: Path
) -> None:
    document = {"name": "lab", "backend": "slurm", "slurm": {"commands": str(tmp_path / "nowhere")}}
    service.profile = ClusterProfile.model_validate(document)
    assert cli("plan", str(workload)).code == 0
    assert len(service.questions.requests) == 1


@pytest.mark.usefixtures("offline")
def test_a_simulation_of_a_slurm_cluster_is_refused_with_what_to_do(cli, cluster: str) -> None:
    outcome = cli("simulate", "--synthetic", "5", "--cluster", cluster)
    assert outcome.code == 2
    assert "on cluster lab Slurm's own scheduler decides" in outcome.err
    assert "`backend: local`" in outcome.err
    assert cli("simulate", "--synthetic", "5", "--cluster", cluster, "--nodes", "2").code == 0


@pytest.fixture
def deaf(service: FakeService) -> None:
    """The Slurm that is served is told nothing of priorities."""
    document = {"name": "lab", "backend": "slurm", "slurm": {"nice_step": 0}}
    service.profile = ClusterProfile.model_validate(document)


@pytest.mark.usefixtures("deaf", "live")
def test_whoever_changes_a_priority_that_does_not_reach_slurm_is_told(cli, workload: Path) -> None:
    job = cli("submit", str(workload)).out.split()[0]
    told = cli("priority", job, "3")
    assert "slurm.nice_step is 0" in told.out + told.err


def test_of_a_priority_that_reaches_slurm_nothing_is_to_be_said() -> None:
    assert not ClusterProfile(name="lab", backend="slurm").priority_note


def view(**more: object) -> QueueView:
    slots = SlotCount(total=8, used=2, free=6)
    known = {
        "now": NOW,
        "profile": "lab",
        "policy": "",
        "engine": "slurm",
        "slots": slots,
        "running": [],
        "waiting": [],
    }
    return QueueView.model_validate(known | {"waiting_total": 0} | more)


def test_a_queue_shows_apart_what_waits_in_slurm_and_what_waits_here() -> None:
    there = line("j-2").model_copy(update={"engine_id": "1234", "partition": "batch", "reason": "too little is free"})
    text = queue_text(view(pending=[there], pending_total=3, waiting=[line("j-3")], waiting_total=1), teams=False)
    head, _, more = text.partition("\n\n")
    assert head == (
        "cluster lab, served by Slurm: 2 of 8 gpu slots used, 6 free; 0 jobs on them, 3 waiting in Slurm, 1 here"
    )
    assert "waiting in Slurm:\nJOB" in more
    assert "1234  batch" in more
    assert "too little is free" in more
    assert "… and 2 more wait in Slurm (--all shows them)" in more
    assert "waiting here:\n#  JOB" in more


def test_a_job_that_waits_in_slurm_shows_when_it_should_start_and_what_would_start_it() -> None:
    why = WhyView(
        job="j-1",
        name="x",
        state="starting",
        now=time.time(),
        kind="handed",
        reason="waits in Slurm as job 1234: too little is free",
        expected_start=Moment(at=time.time() + 600),
        remedies=[{"text": "wait until other jobs end"}],
    )
    text = why_text(why)
    assert "  starts     " in text
    assert "what would start it:\n  - wait until other jobs end" in text


def test_a_dry_run_tells_of_no_delays() -> None:
    option = Option(workers_min=1, workers_max=4, slots=1, workers=1, reason="refused: too many nodes")
    answer = WhatIfView(now=NOW, profile="lab", policy="", engine="slurm", live=True, options=[option])
    text = what_if_text(answer)
    assert text.startswith("in the queue of Slurm on cluster lab (by its dry run):\n")
    assert "DELAY" not in text
    assert "1..4 (1 at first)" in text
    assert "not known" in text


def test_a_dry_run_tells_the_cores_of_workers_that_take_no_slot() -> None:
    option = Option(workers_min=1, workers_max=4, slots=0, cpus=2)
    answer = WhatIfView(now=NOW, profile="lab", policy="", engine="slurm", live=True, options=[option])
    assert "  1..4     2..8 cores  not known" in what_if_text(answer)


def test_jobs_and_nodes_show_cores_where_they_count_beside_slots() -> None:
    job = line("j-3").model_copy(update={"slots": 0, "cpus": 2, "workers": 4, "workers_min": 4, "workers_max": 4})
    slots = SlotCount(total=2, used=0, free=2, cpus=16, cpus_used=8, cpus_free=6)
    text = queue_text(view(slots=slots, running=[job], team="vision"), teams=False)
    assert "0 of 2 gpu slots used, 2 free; 8 of 16 cores used, 6 free\n" in text
    assert "team vision: 1 job on 0 of them and 8 cores" in text
    assert "2 cores x 4" in text
    gpus = NodeView(name="n1", state="up", slots=2, used=0, free=2, cpus=16, cpus_used=8, cpus_free=6)
    head, row = node_table([gpus], NOW).splitlines()
    assert head.split()[2:9] == ["SLOTS", "USED", "FREE", "KEPT", "CORES", "USED", "FREE"]
    assert row.split()[2:8] == ["2", "0", "2", "16", "8", "6"]
