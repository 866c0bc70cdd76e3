import math
from pathlib import Path

import pytest

from orchestrator.base.errors import Fenced
from orchestrator.rundir.fence import raise_fence
from orchestrator.rundir.layout import JobDirectory
from orchestrator.spec.sections import Tracking
from orchestrator.tracking.protocol import Discard
from orchestrator.tracking.records import Artifact, End, Metrics, Start
from orchestrator.tracking.spool import Spool, open_tracker, read_segment, segment


def records(job: JobDirectory, writer: str = "w") -> list[object]:
    found: list[object] = []
    number = 0
    while (part := read_segment(job.tracking / writer, number)) is not None:
        found += part
        number += 1
    return found


def files(job: JobDirectory) -> list[str]:
    return sorted(path.name for path in (job.tracking / "w").iterdir())


def test_what_was_reported_is_read_back_in_order(job: JobDirectory) -> None:
    (job.results / "edf.png").write_bytes(b"x")
    with Spool(job, "w", 1, experiment="e") as spool:
        spool.start_run("job-1", name="n", params={"lr": "0.1"}, tags={"t": "v"})
        spool.metrics("job-1", 64, {"loss": 0.5}, time=12.0)
        spool.artifact("job-1", job.results / "edf.png", "plots")
        spool.end_run("job-1", "finished")
    start, metrics, artifact, end = records(job)
    assert isinstance(start, Start)
    assert (start.experiment, start.params) == ("e", {"lr": "0.1"})
    assert metrics == Metrics("job-1", 12.0, "e", 64, {"loss": 0.5})
    assert isinstance(artifact, Artifact)
    assert (artifact.path, artifact.artifact_path) == ("results/edf.png", "plots")
    assert isinstance(end, End)


def test_many_metrics_are_one_file_a_flush(job: JobDirectory) -> None:
    spool = Spool(job, "w", 1, interval=1000)
    for step in range(500):
        spool.metrics("job-1", step, {"loss": 1.0 / (step + 1)})
    spool.flush()
    assert files(job) == ["00000000.jsonl"]
    assert len(records(job)) == 500


def test_a_restarted_writer_goes_on_where_the_last_one_stopped(job: JobDirectory) -> None:
    for _ in range(2):
        with Spool(job, "w", 1) as spool:
            spool.metrics("job-1", 1, {"loss": 1.0})
    assert files(job) == ["00000000.jsonl", "00000001.jsonl"]


def test_numbers_that_json_lacks_survive(job: JobDirectory) -> None:
    with Spool(job, "w", 1) as spool:
        spool.metrics("job-1", 1, {"a": math.nan, "b": math.inf, "c": -math.inf})
    (record,) = records(job)
    assert isinstance(record, Metrics)
    assert math.isnan(record.values["a"])
    assert (record.values["b"], record.values["c"]) == (math.inf, -math.inf)


def test_a_torn_or_foreign_line_is_left_out(job: JobDirectory) -> None:
    with Spool(job, "w", 1) as spool:
        spool.metrics("job-1", 1, {"loss": 1.0})
    path = segment(job.tracking / "w", 0)
    path.write_text(path.read_text() + '{"kind": "nonsense"}\n[]\n{"kind": "metr')
    assert len(records(job)) == 1


def test_a_fenced_writer_may_not_write(job: JobDirectory) -> None:
    spool = Spool(job, "w", 1)
    raise_fence(job, 2)
    with pytest.raises(Fenced):
        spool.end_run("job-1", "finished")


def test_a_full_disk_keeps_what_was_reported_until_there_is_room(job: JobDirectory) -> None:
    (job.tracking / "w").write_text("a file where the folder should be")
    spool = Spool(job, "w", 1)
    spool.start_run("job-1", name="n", params={}, tags={})
    (job.tracking / "w").unlink()
    spool.flush()
    assert len(records(job)) == 1


def test_an_artifact_outside_the_job_is_refused(job: JobDirectory, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="secret"):
        Spool(job, "w", 1).artifact("job-1", tmp_path / "secret")


def test_disabled_tracking_writes_nothing(job: JobDirectory) -> None:
    tracker = open_tracker(job, "w", 1, Tracking(enabled=False))
    tracker.start_run("job-1", name="n", params={}, tags={})
    tracker.flush()
    assert isinstance(tracker, Discard)
    assert list(job.tracking.iterdir()) == []
