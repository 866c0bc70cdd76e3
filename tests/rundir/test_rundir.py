import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.base.errors import Conflict, Fenced, NotFound, OrchestratorError
from orchestrator.base.files import write_json
from orchestrator.rundir import audit
from orchestrator.rundir.audit import AuditWriter, StepAudit, audit_folder, read_audit
from orchestrator.rundir.control import Control, read_control, write_control
from orchestrator.rundir.dataset import hold_to_dataset
from orchestrator.rundir.events import EventWriter, find_event, read_events
from orchestrator.rundir.fence import check_fence, raise_fence
from orchestrator.rundir.launch import Launch, for_jobs, read_launch, write_launch
from orchestrator.rundir.layout import JobDirectory, RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    job = JobDirectory.under(tmp_path, "j-1")
    job.create()
    directory = job.run("j-1-r1")
    directory.create()
    return directory


def test_a_run_knows_its_job(run: RunDirectory) -> None:
    assert run.run == "j-1-r1"
    assert run.job.path.name == "j-1"


def test_events_are_read_once_and_in_order(run: RunDirectory) -> None:
    writer = EventWriter(run, "rank-0", token=1)
    writer.append("started", world_size=2)
    writer.append("progress", done=1)
    first = list(read_events(run, {}))
    assert [(e.writer, e.seq, e.kind) for e in first] == [("rank-0", 0, "started"), ("rank-0", 1, "progress")]
    writer.append("progress", done=2)
    assert [e.data["done"] for e in read_events(run, {"rank-0": 2})] == [2]


def test_a_restarted_writer_goes_on_after_its_last_event(run: RunDirectory) -> None:
    EventWriter(run, "agent-0", token=1).append("agent_started")
    EventWriter(run, "agent-0", token=1).append("finished", outcome="succeeded")
    assert [e.seq for e in read_events(run, {})] == [0, 1]


def test_an_event_is_not_written_twice_where_only_flushing_its_folder_failed(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = EventWriter(run, "rank-0", token=1)

    def fails(folder: Path) -> None:
        raise OSError(errno.EIO, folder)

    for kind, done in (("progress", 1), ("progress", 2), ("progress", 2)):
        with monkeypatch.context() as broken:
            broken.setattr("orchestrator.base.files.sync_folder", fails)
            with pytest.raises(OSError, match="rank-0"):
                writer.append(kind, done=done)
        writer.append(kind, done=done)
    assert [(e.seq, e.data["done"]) for e in read_events(run, {})] == [(0, 1), (1, 2), (2, 2)]


def test_a_half_written_event_hides_itself_and_what_follows(run: RunDirectory) -> None:
    writer = EventWriter(run, "rank-0", token=1)
    writer.append("started")
    (run.events / "rank-0" / "00000001.json").write_bytes(b'{"seq": 1, "ki')
    assert [e.seq for e in read_events(run, {})] == [0]


def test_a_damaged_event_amid_others_is_passed_over(run: RunDirectory) -> None:
    writer = EventWriter(run, "rank-0", token=1)
    for done in range(3):
        writer.append("progress", done=done)
    (run.events / "rank-0" / "00000001.json").write_bytes(b'{"kind": 7}')
    assert [e.seq for e in read_events(run, {})] == [0, 2]


def test_the_end_marker_is_found_among_all_writers(run: RunDirectory) -> None:
    EventWriter(run, "rank-0", token=1).append("progress", done=1)
    assert find_event(run, "finished") is None
    EventWriter(run, "agent-0", token=1).append("finished", outcome="failed")
    found = find_event(run, "finished")
    assert found is not None
    assert found.data["outcome"] == "failed"


def test_control_keeps_the_newest_wish(run: RunDirectory) -> None:
    assert read_control(run) is None
    wish = Control(generation=1, token=3, want="run", world_size=2)
    write_control(run, wish)
    write_control(run, wish.next(want="stop", cause="cancel"))
    assert read_control(run) == Control(generation=2, token=3, want="stop", world_size=2, cause="cancel")


def test_control_tells_the_place_of_the_workers_and_is_read_where_it_does_not(run: RunDirectory) -> None:
    wish = Control(1, 3, "run", 2, placement=(("n-1", 1), ("n-2", 1)))
    write_control(run, wish)
    assert read_control(run) == wish
    document = json.loads(run.control.read_text())
    del document["placement"]
    run.control.write_text(json.dumps(document))
    assert read_control(run) == replace(wish, placement=None)


def test_a_key_of_a_newer_controller_is_passed_over(run: RunDirectory) -> None:
    wish = Control(generation=1, token=3, want="run", world_size=2)
    write_json(run.control, {**wish.__dict__, "colour": "blue"})
    assert read_control(run) == wish


def test_an_older_writer_is_fenced_off(run: RunDirectory) -> None:
    check_fence(run.job, 1)
    raise_fence(run.job, 2)
    check_fence(run.job, 2)
    with pytest.raises(Fenced, match="older than 2"):
        check_fence(run.job, 1)
    with pytest.raises(Fenced):
        raise_fence(run.job, 1)


@pytest.mark.parametrize("content", [b"", b"three", b"\xff"])
def test_a_fence_that_cannot_be_read_stops_every_writer_and_is_kept(run: RunDirectory, content: bytes) -> None:
    run.job.fence.write_bytes(content)
    for use in (check_fence, raise_fence):
        with pytest.raises(OrchestratorError, match=f"{run.job.fence}: this is no fencing token"):
            use(run.job, 2)
    assert run.job.fence.read_bytes() == content


def test_a_launch_reads_back_as_written(run: RunDirectory) -> None:
    with pytest.raises(NotFound):
        read_launch(run)
    launch = Launch("j-1", "j-1-r1", 1, ("echo", "$(id)", "a;b"), "/", workers=2, env={"A": "b\nc"})
    write_launch(run, launch)
    assert read_launch(run) == launch


def test_a_job_sees_where_its_data_is_cached_and_nothing_of_the_servers_own() -> None:
    data = {"ORCHESTRATOR_CACHE_DIR": "/fast", "ORCHESTRATOR_CACHE_BYTES": "9GiB", "ORCHESTRATOR_STATE_DIR": "/state"}
    assert for_jobs(data | {"AWS_PROFILE": "lab", "ORCHESTRATOR_TOKEN": "secret"}) == data | {"AWS_PROFILE": "lab"}


def test_a_job_is_held_to_the_version_of_the_data_that_was_opened_first(run: RunDirectory) -> None:
    hold_to_dataset(run.job, 1, "v1")
    hold_to_dataset(run.job, 1, "v1")
    with pytest.raises(Conflict, match="began on version v1 of its dataset, which is now version v2") as caught:
        hold_to_dataset(run.job, 1, "v2")
    assert "submit the workload as a new job" in caught.value.hint


def test_a_run_that_was_fenced_does_not_choose_the_version_of_the_data(run: RunDirectory) -> None:
    raise_fence(run.job, 2)
    with pytest.raises(Fenced):
        hold_to_dataset(run.job, 1, "v1")
    assert not run.job.dataset_version.exists()


def test_an_audit_that_the_disk_does_not_take_is_kept_and_told_once(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    writer = AuditWriter(audit_folder(run), "rank-0", told.append)
    with monkeypatch.context() as full:
        full.setattr(audit, "create_exclusive", _no_space)
        for step in range(1100):
            writer.add(StepAudit(step, 0, 1, 1, "s", "g"))
            if step % 100 == 0:
                writer.flush()
        writer.flush()
    writer.flush()
    assert [found.step for found in read_audit(audit_folder(run))] == list(range(100, 1100))
    assert told == [
        "the audit trail cannot be written for now: [Errno 28] No space left on device",
        "the audit trail is written again; 100 steps are missing from it",
    ]


def _no_space(path: Path, content: bytes) -> bool:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
