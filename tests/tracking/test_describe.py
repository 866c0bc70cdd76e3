from pathlib import Path

import pytest

from orchestrator.base.files import write_json
from orchestrator.rundir.layout import JobDirectory
from orchestrator.spec.tracking import default_artifact_root, default_tracking_uri
from orchestrator.spec.workload import CommandWorkload
from orchestrator.tracking.describe import MAX_VALUE, flatten, job_tags, workload_parameters


def test_nested_sections_become_dotted_names() -> None:
    assert flatten({"a": {"b": 1, "c": {"d": "x"}}, "e": None, "f": [1, 2]}) == {
        "a.b": "1",
        "a.c.d": "x",
        "f": "[1, 2]",
    }


def test_long_values_are_cut() -> None:
    assert len(flatten({"a": "x" * 10_000})["a"]) == MAX_VALUE


def test_the_values_of_environment_variables_are_never_tracked() -> None:
    workload = CommandWorkload(name="w", command="true", env={"PASSWORD": "hunter2"})
    params = workload_parameters(workload)
    assert params["env"] == "PASSWORD"
    assert "hunter2" not in str(params)


def test_tags_lead_back_to_job_owner_and_code(tmp_path: Path) -> None:
    job = JobDirectory(tmp_path / "job-9")
    job.path.mkdir()
    write_json(job.path / "job.json", {"owner": "ada", "code": {"revision": "abc", "dirty": True}})
    tags = job_tags(job, CommandWorkload(name="w", command="true"), dataset="digits")
    assert tags["orchestrator.job"] == "job-9"
    assert tags["orchestrator.owner"] == "ada"
    assert tags["mlflow.source.git.commit"] == "abc"
    assert tags["orchestrator.code.dirty"] == "true"
    assert tags["orchestrator.dataset"] == "digits"


def test_the_tracking_uri_of_the_environment_is_obeyed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert default_tracking_uri() == "http://127.0.0.1:5000"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
    assert default_tracking_uri() == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    assert default_artifact_root() == tmp_path / "mlflow" / "artifacts"
