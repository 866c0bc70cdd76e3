"""What people are told of a real Slurm cluster: why, the queue, the nodes, and when something would start."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.api.engine import Engine, open_engine
from orchestrator.backends.slurm import SlurmBackend
from orchestrator.base.errors import UsageError
from orchestrator.planning.plan import make_plan
from orchestrator.planning.whatif import NEW
from orchestrator.spec.answers import WhatIfRequest
from orchestrator.spec.load import parse_workload
from orchestrator.spec.messages import SubmitRequest
from orchestrator.spec.profile import ClusterProfile
from orchestrator.testing.dev_cluster import DevCluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(120)]

SLEEP = ["sleep", "600"]
TRAINING = {
    "name": "x",
    "recipe": "regnet",
    "data": {"dataset": "digits", "image_size": 16},
    "model": {"preset": "regnetx_200mf"},
    "optim": {"lr": 0.1},
    "train": {"epochs": 2, "batch_size": 64, "samples_per_virtual_worker": 16},
    "resources": {"workers": "2..4"},
}


@pytest.fixture
def engine(slurm: DevCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
    section = {"conf": str(slurm.conf), "partition": "batch", "look_every": 0.3}
    document = {"name": "lab", "backend": "slurm", "slurm": section, "watch": {"poll": 0.05, "cancel_grace": 2.0}}
    with open_engine(ClusterProfile.model_validate(document)) as made:
        yield made
        for job in made.service.list():
            if not job.terminal:
                made.service.cancel(job.id)
        until(made, lambda: made.service.open_jobs() == 0)
        assert isinstance(made.backend, SlurmBackend)
        made.backend.close()


def until(engine: Engine, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, [(job.id, job.state, job.reason) for job in engine.service.list()]
        engine.controller.step()
        engine.questions.forget()
        time.sleep(0.05)


def source(workers: int, **more: Any) -> str:
    resources = {"workers": workers, "gpus_per_worker": 1}
    return json.dumps({"name": "x", "command": SLEEP, "resources": resources, "time_limit": "5m", **more})


def submit(engine: Engine, tmp_path: Path, workers: int, **more: Any) -> str:
    request = SubmitRequest(source=source(workers, **more), workdir=str(tmp_path))
    return engine.service.submit(request, "ada").job.id


def test_what_waits_in_slurm_and_what_runs_there_is_told_in_its_words(engine: Engine, tmp_path: Path) -> None:
    questions = engine.questions
    wide = submit(engine, tmp_path, 6)
    until(engine, lambda: engine.service.get(wide).state == "running")
    next_one = submit(engine, tmp_path, 1)
    after = submit(engine, tmp_path, 1, depends_on=[next_one])
    until(engine, lambda: "too little is free in partition batch; Slurm expects" in questions.why(next_one).reason)

    why = questions.why(next_one)
    assert (why.state, why.kind, why.partition) == ("starting", "handed", "batch")
    assert why.expected_start is not None
    assert f"waits in Slurm as job {why.engine_id} (partition batch) since " in why.reason
    assert why.remedies
    assert questions.why(after).reason == f"waits until {next_one} has succeeded"

    runs = questions.why(wide)
    assert runs.workers == 6
    assert "holds 6 gpu slots on n1 (2), n2 (2) and n3 (2), in Slurm as job " in runs.reason
    assert any("its time limit of 5 min is over at" in detail for detail in runs.details)

    queue = questions.queue()
    assert [line.job for line in queue.running] == [wide]
    assert [(line.job, line.engine_id) for line in queue.pending] == [(next_one, why.engine_id)]
    assert [line.job for line in queue.waiting] == [after]
    assert (queue.slots.total, queue.slots.used, queue.slots.free) == (6, 6, 0)
    assert {node.name: node.jobs for node in questions.nodes()} == {name: {wide: 2} for name in ("n1", "n2", "n3")}

    view = questions.what_if(WhatIfRequest(source=source(2)))
    start = view.options[0].start
    assert start is not None
    assert start.at > view.now + 60


def test_all_views_agree_on_a_job_of_cores_and_one_of_gpus(engine: Engine, tmp_path: Path) -> None:
    cores = submit(engine, tmp_path, 8, resources={"workers": 8})
    gpus = submit(engine, tmp_path, 2)
    until(engine, lambda: all(engine.service.get(job).state == "running" for job in (cores, gpus)))
    queue, nodes = engine.questions.queue(), engine.questions.nodes()
    assert (queue.slots.total, queue.slots.used, queue.slots.free) == (6, 2, 4)
    assert (queue.slots.cpus, queue.slots.cpus_used, queue.slots.cpus_free) == (12, 10, 2)
    assert (sum(node.used for node in nodes), sum(node.cpus_used for node in nodes)) == (2, 10)
    assert engine.slot_count() == queue.slots
    assert {line.job: (line.slots, line.cpus, line.workers) for line in queue.running} == {
        cores: (0, 1, 8),
        gpus: (1, 1, 2),
    }
    assert "holds 8 cores on " in engine.questions.why(cores).reason
    assert "holds 2 gpu slots on " in engine.questions.why(gpus).reason
    plan = make_plan(
        parse_workload(source(8, resources={"workers": 8}), "w.yaml"), engine.profile, engine.backend, workdir=tmp_path
    )
    assert (plan.launch.slots, plan.launch.cpus, plan.launch.shape) == (0, 8, "2 nodes x 4 workers")


def test_what_never_splits_over_the_nodes_is_refused_at_submit(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the largest node of partition batch has 2 GPUs, 4 cores, 62\.5 GiB"):
        submit(engine, tmp_path, 5)


def test_a_job_is_queued_while_all_nodes_are_drained(engine: Engine, slurm: DevCluster, tmp_path: Path) -> None:
    slurm.run("scontrol", "update", f"NodeName={','.join(slurm.nodes)}", "State=DRAIN", "Reason=moving")
    job = submit(engine, tmp_path, 1)
    until(engine, lambda: "drained" in engine.questions.why(job).reason)
    slurm.run("scontrol", "update", f"NodeName={','.join(slurm.nodes)}", "State=RESUME")
    until(engine, lambda: engine.service.get(job).state == "running")


def test_a_plan_shows_the_very_script_that_is_submitted(engine: Engine, tmp_path: Path) -> None:
    text = json.dumps(TRAINING)
    plan = make_plan(parse_workload(text, "w.yaml"), engine.profile, engine.backend, workdir=tmp_path)
    assert plan.launch.script is not None
    job = engine.service.submit(SubmitRequest(source=text, workdir=str(tmp_path)), "ada").job.id
    script = engine.runs_root / "jobs" / job / "runs" / f"{job}-r1" / "slurm" / "batch-0.sh"
    until(engine, script.exists)
    assert script.read_text() == plan.launch.script.replace(NEW, job)
    assert "#SBATCH --mem=" in plan.launch.script


def test_what_never_fits_is_refused_by_the_dry_run_in_words(engine: Engine) -> None:
    view = engine.questions.what_if(WhatIfRequest(source=source(7)))
    assert view.options[0].start is None
    assert view.options[0].reason.startswith("refused: ")
