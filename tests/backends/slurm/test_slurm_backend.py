"""The backend with programs that only pretend: what it plans, hands to Slurm and tells of it."""

import os
import pickletools
from dataclasses import replace
from pathlib import Path

import pytest
from backend_kit import Site, array

from orchestrator.backends.build import backend_of
from orchestrator.backends.slurm import backend as backend_module
from orchestrator.base.errors import BackendUnavailable, LaunchRefused, UsageError
from orchestrator.rundir.allocations import AllocationFiles
from orchestrator.rundir.batch import read_batch
from orchestrator.spec.profile import ClusterProfile


def test_the_script_of_a_plan_is_the_one_that_is_submitted(site: Site) -> None:
    backend, request = site.backend(), site.request()
    plan = backend.plan(request)
    assert not site.calls()
    assert not request.directory.path.exists()
    backend.launch(request)
    script = Path(plan.argv[-1])
    assert script.read_text() == plan.script
    assert site.calls() == [f"sbatch --parsable {script}"]
    assert (plan.shape, plan.slots, plan.notes) == ("1 node x 1 worker", 1, ())


def test_a_time_limit_that_is_near_before_the_body_listens_does_not_kill_it(site: Site) -> None:
    script = site.backend(setup=["module load cuda"]).plan(site.request()).script or ""
    lines = [line for line in script.splitlines() if line and not line.startswith("#")]
    assert lines[0] == "trap '' USR1"


def test_the_partitions_default_counts_for_the_warning_where_no_time_is_known(site: Site) -> None:
    row = site.watch.partitions()[0]
    site.watch.partitions = lambda: (replace(row, default_time=60.0),)  # type: ignore[method-assign]
    request = site.request()
    script = site.backend().plan(replace(request, launch=replace(request.launch, elastic=True))).script
    assert "--signal=B:USR1@30" in (script or "")


def test_a_plan_needs_no_slurm_and_says_what_it_assumed(site: Site) -> None:
    site.watch.silent = True
    plan = site.backend().plan(site.request(workers=8))
    assert plan.script is not None
    assert "--gres=gpu:8" in plan.script
    assert "Slurm is away" in plan.notes[0]


def test_a_plan_tells_gpus_as_slots_and_the_cores_of_workers_that_take_none(site: Site) -> None:
    request, backend = site.request(workers=2), site.backend()
    plan = backend.plan(request)
    assert (plan.slots, plan.cpus) == (2, 2)
    plan = backend.plan(replace(request, launch=replace(request.launch, gpus_per_worker=0, cpus_per_worker=2)))
    assert (plan.slots, plan.cpus, plan.shape) == (0, 4, "1 node x 2 workers")
    assert backend.capacity().counted_at == 1.0


def test_nothing_travels_but_one_function_and_two_names(site: Site) -> None:
    request = site.request()
    site.backend().launch(request)
    content = (request.directory.path / "slurm" / "batch-0.pkl").read_bytes()
    operations = [(code.name, value) for code, value, _ in pickletools.genops(content)]
    assert not any(name in {"REDUCE", "INST", "OBJ"} for name, _ in operations)
    strings = [value for name, value in operations if "UNICODE" in name]
    assert strings[:2] == ["submitit.core.utils", "DelayedSubmission"]
    assert sum(name == "STACK_GLOBAL" for name, _ in operations) == 2
    assert {"orchestrator.runtime.batch", "main", str(request.directory.path), request.allocation} <= {*strings}


def test_an_array_is_one_submission_with_a_body_for_each_task(site: Site) -> None:
    backend, request = site.backend(), array(site)
    plan = backend.plan(request)
    assert plan.shape == "an array of 3 tasks, each 1 node x 1 worker"
    assert plan.slots == 3
    backend.launch(request)
    assert len(site.calls("sbatch")) == 1
    script = Path(plan.argv[-1]).read_text()
    assert script == plan.script
    assert "#SBATCH --array=0-2%3\n" in script
    assert "/logs/agent-%a.log\n" in script
    folder = request.directory.path / "slurm"
    link = next(line for line in script.splitlines() if line.startswith("ln "))
    task = {"SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_ID": "2"}
    assert os.spawnvpe(os.P_WAIT, "sh", ["sh", "-c", link], {**os.environ, **task}) == 0
    assert f"{request.directory.run}.2".encode() in (folder / "77_2_submitted.pkl").read_bytes()
    for number in range(3):
        assert read_batch(AllocationFiles(request.directory, f"{request.directory.run}.{number}")).workers == 1


def test_the_body_is_told_what_it_has_to_know(site: Site) -> None:
    request = site.request(workers=2, time_limit=600.0)
    request = replace(request, launch=replace(request.launch, elastic=True))
    site.backend().launch(request)
    batch = read_batch(AllocationFiles(request.directory, request.allocation))
    assert (batch.workers, batch.gpus, batch.time_limit, batch.wall_is_ours) == (2, 1, 600.0, False)
    assert 0 < batch.notice < 3  # of Slurm's KillWait some is left to the agents themselves
    assert batch.elastic
    assert (batch.conf, batch.commands) == (str(site.conf), str(site.folder / "bin"))


def test_no_job_gets_the_servers_token_or_its_words_for_slurm(site: Site) -> None:
    secrets = {"ORCHESTRATOR_TOKEN": "secret", "SBATCH_PARTITION": "x", "SLURM_JOB_ID": "1", "LC_ALL": "de_DE.UTF-8"}
    site.backend({**secrets, "MY_DATA": "/data"}).launch(site.request())
    lines = (site.folder / "environment").read_text().splitlines()
    given = dict(line.partition("=")[::2] for line in lines if "=" in line)
    assert given["SLURM_CONF"] == str(site.conf)
    assert (given["MY_DATA"], given["LC_ALL"]) == ("/data", "de_DE.UTF-8")
    assert not {"ORCHESTRATOR_TOKEN", "SBATCH_PARTITION", "SLURM_JOB_ID", "SLURM_TIME_FORMAT"} & given.keys()


def test_slots_are_gpus_where_there_are_any(site: Site) -> None:
    found = site.backend().capacity()
    assert (found.slots, found.free, found.largest_gang, found.slot_kind) == (4, 2, 4, "gpu")


def test_the_dry_run_says_when(site: Site) -> None:
    site.say("sbatch", "cat > script; echo 'sbatch: Job 9 to start at 1795306059 using 1 processors on n1' >&2")
    backend, request = site.backend(), site.request()
    assert backend.expected_start(request) == 1795306059.0
    assert (site.folder / "script").read_text() == backend.plan(request).script
    assert not request.directory.path.exists()


def test_a_dry_run_that_slurm_refuses_says_so(site: Site) -> None:
    site.say("sbatch", "echo 'allocation failure: Invalid account or account/partition combination' >&2; exit 1")
    with pytest.raises(LaunchRefused, match="Invalid account"):
        site.backend().expected_start(site.request())


def test_a_dry_run_while_all_nodes_are_down_says_nothing_of_the_job(site: Site) -> None:
    site.say("sbatch", "echo 'allocation failure: Requested node configuration is not available' >&2; exit 1")
    assert site.backend().expected_start(site.request()) is None


def test_a_missing_program_is_named(site: Site) -> None:
    (site.folder / "bin" / "sbatch").unlink()
    with pytest.raises(BackendUnavailable, match="sbatch"):
        site.backend().launch(site.request())


def test_without_submitit_there_is_no_such_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(backend_module.importlib.util, "find_spec", lambda name: None)
    profile = ClusterProfile.model_validate({"name": "lab", "backend": "slurm"})
    with pytest.raises(UsageError, match="submitit") as caught:
        backend_of(profile, state=tmp_path)
    assert "orchestrator[slurm]" in caught.value.hint
