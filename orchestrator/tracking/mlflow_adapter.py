"""MLflow as a tracking target; the only module that imports mlflow. It uses the client alone, never the global run."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.spec.tracking import default_artifact_root
from orchestrator.tracking.protocol import Measurement, RunStatus, TrackerRefused, TrackerUnavailable, safe_name

KEY_TAG = "orchestrator.key"
_QUIET = {
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_ALLOW_FILE_STORE": "true",  # `file:` stores are obeyed, although MLflow would rather have a database
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # the forwarder has a back-off of its own
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
_PERMANENT = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "BAD_REQUEST", "INVALID_STATE", "MALFORMED_REQUEST"}
_STATUS = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
_BATCH = {"metrics": 1000, "params": 100, "tags": 100}
Item = TypeVar("Item")


class MlflowTarget:
    """An MLflow tracking server or store.

    Args:
        uri: `sqlite:…`, `file:…`, `http:…` or another database that MLflow knows.

    Raises:
        TrackerUnavailable: it does not answer.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._experiments: dict[str, str] = {}
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        with _translated(f"cannot open {uri}"):
            _make_folder(uri)
            from mlflow import MlflowClient

            for logger in ("mlflow", "alembic"):
                logging.getLogger(logger).setLevel(logging.ERROR)
            self._client: Any = MlflowClient(tracking_uri=uri)

    def open_run(self, experiment: str, key: str, parent: str | None, name: str, time: float) -> tuple[str, bool]:
        """The run that carries the tag `orchestrator.key`, created where there is none."""
        with _translated(f"cannot open the run of {key}"):
            number = self._experiment(experiment)
            found = self._find(number, key)
            if found is not None:
                return found, False
            tags = {KEY_TAG: key}
            if parent is not None:
                tags["mlflow.parentRunId"] = self._find(number, parent) or self._create(
                    number, parent, parent, time, {}
                )
            return self._create(number, key, name, time, tags), True

    def describe(self, run: str, name: str, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Name, parameters and tags; a parameter of MLflow never changes once it is set."""
        from mlflow.entities import Param, RunTag

        with _translated(f"cannot describe run {run}"):
            known = self._client.get_run(run).data.params
            self._client.update_run(run, status="RUNNING", name=name)
            named = {safe_name(key): value for key, value in params.items()}
            missing = [Param(key, value) for key, value in named.items() if key not in known]
            for part in _parts(missing, _BATCH["params"]):
                self._client.log_batch(run, params=part)
            for tagged in _parts([RunTag(safe_name(key), value) for key, value in tags.items()], _BATCH["tags"]):
                self._client.log_batch(run, tags=tagged)

    def sent(self, run: str) -> set[tuple[str, int]]:
        """The (metric, step) pairs that MLflow has."""
        with _translated(f"cannot read the metrics of run {run}"):
            names = list(self._client.get_run(run).data.metrics)
            return {(name, m.step) for name in names for m in self._client.get_metric_history(run, name)}

    def send(self, run: str, measurements: Sequence[Measurement]) -> None:
        """Add values, a thousand at a time."""
        from mlflow.entities import Metric

        metrics = [Metric(m.metric, m.value, int(m.time * 1000), m.step) for m in measurements]
        with _translated(f"cannot send metrics of run {run}"):
            for part in _parts(metrics, _BATCH["metrics"]):
                self._client.log_batch(run, metrics=part)

    def upload(self, run: str, path: Path, artifact_path: str) -> None:
        """Add a file, or replace it."""
        with _translated(f"cannot upload {path}"):
            self._client.log_artifact(run, str(path), artifact_path or None)

    def close_run(self, run: str, status: RunStatus, time: float) -> None:
        """The run is over."""
        with _translated(f"cannot close run {run}"):
            self._client.set_terminated(run, _STATUS[status], end_time=int(time * 1000))

    def _experiment(self, name: str) -> str:
        if name not in self._experiments:
            found = self._client.get_experiment_by_name(name)
            if found is None:
                self._experiments[name] = self._client.create_experiment(name, _artifact_location(self._uri, name))
            else:
                if found.lifecycle_stage == "deleted":
                    self._client.restore_experiment(found.experiment_id)
                self._experiments[name] = found.experiment_id
        return self._experiments[name]

    def _find(self, experiment: str, key: str) -> str | None:
        quoted = key.replace("'", "")
        found = self._client.search_runs(
            [experiment], filter_string=f"tags.`{KEY_TAG}` = '{quoted}'", order_by=["attributes.start_time ASC"]
        )
        return found[0].info.run_id if found else None

    def _create(self, experiment: str, key: str, name: str, time: float, tags: dict[str, str]) -> str:
        run = self._client.create_run(
            experiment, start_time=int(time * 1000), run_name=name, tags={KEY_TAG: key, **tags}
        )
        return str(run.info.run_id)


def _parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _database_file(uri: str) -> Path | None:
    """The file of a SQLite store."""
    scheme, colon, rest = uri.partition(":///")
    return Path(rest.partition("?")[0]) if colon and scheme.startswith("sqlite") and rest else None


def _make_folder(uri: str) -> None:
    database = _database_file(uri)
    if database is not None:
        database.parent.mkdir(parents=True, exist_ok=True)


def _artifact_location(uri: str, experiment: str) -> str | None:
    """Where a new experiment's files lie; None: the server or the `file:` store decides."""
    if uri.startswith(("http:", "https:", "file:")) or "://" not in uri:
        return None
    database = _database_file(uri)
    root = default_artifact_root() if database is None else database.absolute().parent / "artifacts"
    return (root / experiment).as_uri()


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Errors of MLflow, of its database and of the network as the two that the forwarder knows."""
    try:
        yield
    except (TrackerRefused, TrackerUnavailable):
        raise
    except Exception as error:
        message = f"{what}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        if getattr(error, "error_code", "") in _PERMANENT or isinstance(error, FileNotFoundError):
            raise TrackerRefused(message) from error
        raise TrackerUnavailable(message, hint="what was measured is kept and sent later") from error
