"""The replay against a target in memory: order, once, outages, kills."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from orchestrator.rundir.layout import JobDirectory
from orchestrator.tracking import replay as replay_module
from orchestrator.tracking.cursors import load_cursors, pending, waiting
from orchestrator.tracking.protocol import Measurement, RunStatus, TrackerRefused, TrackerUnavailable
from orchestrator.tracking.replay import Replay
from orchestrator.tracking.spool import Spool

URI = "memory:"


class MemoryTarget:
    """Keeps what it is sent; fails where told to."""

    def __init__(self) -> None:
        self.runs: dict[str, list[Measurement]] = {}
        self.parents: dict[str, str | None] = {}
        self.closed: dict[str, str] = {}
        self.uploaded: list[str] = []
        self.down = False
        self.refuse: str | None = None

    def open_run(self, experiment: str, key: str, parent: str | None, name: str, time: float) -> tuple[str, bool]:
        self._check()
        created = key not in self.runs
        self.runs.setdefault(key, [])
        self.parents.setdefault(key, parent)
        return key, created

    def describe(self, run: str, name: str, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        self._check()

    def sent(self, run: str) -> set[tuple[str, int]]:
        self._check()
        return {(m.metric, m.step) for m in self.runs[run]}

    def send(self, run: str, measurements: Sequence[Measurement]) -> None:
        self._check()
        if self.refuse == run:
            raise TrackerRefused("no")
        self.runs[run] += measurements

    def upload(self, run: str, path: Path, artifact_path: str) -> None:
        self._check()
        self.uploaded.append(path.name)

    def close_run(self, run: str, status: RunStatus, time: float) -> None:
        self._check()
        self.closed[run] = status

    def _check(self) -> None:
        if self.down:
            raise TrackerUnavailable("down")


@pytest.fixture
def target() -> MemoryTarget:
    return MemoryTarget()


def spool_epochs(job: JobDirectory, steps: Sequence[int], writer: str = "search", key: str = "job-1/trial-0") -> None:
    with Spool(job, writer, 1, interval=0) as spool:
        spool.start_run(key, parent="job-1", name="t", params={}, tags={})
        for step in steps:
            spool.metrics(key, step, {"loss": 1 / (step + 1), "error": 0.5})


def steps_of(target: MemoryTarget, metric: str = "loss", key: str = "job-1/trial-0") -> list[int]:
    return [m.step for m in target.runs[key] if m.metric == metric]


def test_metrics_arrive_in_order_and_once(job: JobDirectory, target: MemoryTarget, tmp_path: Path) -> None:
    spool_epochs(job, [0, 64, 128])
    replay = Replay(tmp_path, URI, target)
    assert replay.step().pending == 0
    assert replay.step().sent == 0
    assert steps_of(target) == [0, 64, 128]


def test_a_resumed_trial_that_repeats_steps_is_sent_once(
    job: JobDirectory, target: MemoryTarget, tmp_path: Path
) -> None:
    spool_epochs(job, [0, 64, 128])
    spool_epochs(job, [64, 128, 192])
    Replay(tmp_path, URI, target).step()
    assert steps_of(target) == [0, 64, 128, 192]


def test_an_outage_loses_nothing(job: JobDirectory, target: MemoryTarget, tmp_path: Path) -> None:
    spool_epochs(job, [0, 64])
    replay = Replay(tmp_path, URI, target)
    target.down = True
    with pytest.raises(TrackerUnavailable):
        replay.step()
    spool_epochs(job, [128])
    target.down = False
    replay.step()
    assert steps_of(target) == [0, 64, 128]


def test_a_kill_between_sending_and_saving_sends_nothing_twice(
    job: JobDirectory, target: MemoryTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    spool_epochs(job, [0, 64])
    with monkeypatch.context() as patch:
        patch.setattr(replay_module, "save_cursors", killed)
        with pytest.raises(KeyboardInterrupt):
            Replay(tmp_path, URI, target).step()
    assert pending(job, load_cursors(job, URI)) > 0
    spool_epochs(job, [128])
    Replay(tmp_path, URI, target).step()
    assert steps_of(target) == [0, 64, 128]
    assert steps_of(target, "error") == [0, 64, 128]


def test_a_refused_record_is_named_and_the_rest_goes_on(
    job: JobDirectory, target: MemoryTarget, tmp_path: Path
) -> None:
    spool_epochs(job, [0], key="job-1/trial-0")
    spool_epochs(job, [0], key="job-1/trial-1")
    target.refuse = "job-1/trial-0"
    done = Replay(tmp_path, URI, target).step()
    assert done.refused == ("no",)
    assert steps_of(target, key="job-1/trial-1") == [0]


def test_a_partly_sent_job_is_sent_whole_to_another_store(
    job: JobDirectory, target: MemoryTarget, tmp_path: Path
) -> None:
    spool_epochs(job, [0, 64])
    Replay(tmp_path, URI, MemoryTarget()).step()
    assert waiting(tmp_path, "other:") == 0
    spool_epochs(job, [128])
    Replay(tmp_path, "other:", target).step()
    assert steps_of(target) == [0, 64, 128]


def test_a_long_spool_is_sent_in_pieces(job: JobDirectory, target: MemoryTarget, tmp_path: Path) -> None:
    steps = list(range(100))
    spool_epochs(job, steps)
    replay = Replay(tmp_path, URI, target)
    assert replay.step().pending > 0
    while replay.step().pending:
        pass
    assert steps_of(target) == steps


def test_an_artifact_that_leads_outside_the_job_is_refused(
    job: JobDirectory, target: MemoryTarget, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("x")
    with Spool(job, "w", 1) as spool:
        spool.start_run("job-1", name="t", params={}, tags={})
    path = job.tracking / "w" / "00000001.jsonl"
    path.write_text('{"kind": "artifact", "key": "job-1", "time": 0, "experiment": "e", "path": "../../secret"}\n')
    assert Replay(tmp_path, URI, target).step().refused
    assert target.uploaded == []
