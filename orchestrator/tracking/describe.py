"""What a tracked run says of itself: the resolved workload as flat parameters, and tags that lead back to the job."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from typing import Any

from orchestrator.base.files import read_json
from orchestrator.base.text import one_line
from orchestrator.rundir.layout import JobDirectory
from orchestrator.spec.sections import WorkloadBase

MAX_VALUE = 500
"""Characters of a parameter's value; what every MLflow server accepts."""
MAX_PARAMETERS = 400


def flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested mappings as `a.b.c: text`, in their order; what is not set is left out."""
    flat: dict[str, str] = {}
    for key, value in document.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{name}.")
        elif value is not None and value not in ([], ""):
            flat[name] = one_line(str(value), MAX_VALUE)
    return flat


def workload_parameters(workload: WorkloadBase, without: frozenset[str] = frozenset()) -> dict[str, str]:
    """The resolved workload as flat parameters; of environment variables only the names, for they may hold secrets.

    Args:
        workload: the resolved workload.
        without: sections to leave out.
    """
    document = workload.model_dump(mode="json", exclude={"description", "env", "tracking", *without})
    document["env"] = " ".join(sorted(workload.env))
    return dict(list(flatten(document).items())[:MAX_PARAMETERS])


def job_tags(job: JobDirectory, workload: WorkloadBase, **more: str | None) -> dict[str, str]:
    """Tags of every run of a job: job id, owner, team, git revision, and what the workload and the caller add.

    The controller leaves owner and code version in `job.json`; a run without one belongs to whoever runs it.
    """
    known = read_json(job.about) or {}
    code = known.get("code") or {}
    tags = {
        "orchestrator.job": job.path.name,
        "orchestrator.owner": known.get("owner") or getpass.getuser(),
        "orchestrator.team": workload.team,
        "orchestrator.workload": workload.name,
        "mlflow.source.git.commit": code.get("revision"),
        "orchestrator.code.dirty": None if code.get("dirty") is None else str(bool(code["dirty"])).lower(),
        **{f"orchestrator.{name}": value for name, value in more.items()},
        **workload.tracking.tags,
    }
    return {name: one_line(str(value), MAX_VALUE) for name, value in tags.items() if value}
