"""The pure parts of the benchmarks of a Ray cluster: no Ray is started."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.rundir.events import EventWriter
from orchestrator.rundir.layout import JobDirectory
from orchestrator.spec.load import parse_workload

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FIRST_STEP = BENCHMARKS / "rayjobs" / "first_step.py"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_a_ratio_is_that_of_pairs_and_every_other_round_goes_backwards():
    from rayjobs.times import Ratio, turn

    ratio = Ratio.of([2.0, 20.0, 3.0], [1.0, 10.0, 1.0])
    assert (ratio.low, ratio.median, ratio.high) == (2.0, 2.0, 3.0)
    assert str(ratio) == "2.000 (95 % interval 2.000 to 3.000)"
    assert str(Ratio.of([2.0], [1.0])) == "2.000 (too few rounds for an interval)"
    assert [turn("AB", number) for number in range(3)] == [("A", "B"), ("B", "A"), ("A", "B")]


def test_parts_add_up_to_the_whole_where_moments_are_missing_too():
    from rayjobs.times import medians, parts

    found = parts({"a": 1.0, "c": 4.0, "d": 4.5}, ("a", "b", "c", "d"))
    assert found == {"c": 3.0, "d": 0.5}
    assert medians([found, {"c": 5.0}]) == {"c": 4.0, "d": 0.5}


def test_a_search_is_measured_by_what_its_trials_wrote_and_judged_by_the_faster_peer(tmp_path):
    import search_overhead as b
    from rayjobs.toy import Toy

    toy = Toy.of(Toy(str(tmp_path), seconds=0.02, epochs=2).to_text())
    reports = []
    toy.train(0, reports.append)
    assert [(report["epoch"], report["samples"]) for report in reports] == [(1, 100), (2, 200)]
    ((began, ended),) = toy.spans()
    once = b.Once.of(began - 3, ended + 2, toy, trials=1)
    assert (once.before, round(once.after, 6)) == (pytest.approx(3), 2)
    with pytest.raises(SystemExit, match="1 of 2 trials"):
        b.Once.of(began, ended, toy, trials=2)

    slow = replace(once, wall=2 * once.wall)

    def judged(times, size=b.FULL):
        ours = replace(once, wall=times * once.wall)
        return b.figures(size, {b.WAYS[0]: [ours], b.PEER: [slow], b.REUSING: [once]})

    wall, rate = judged(1.04)
    assert wall.holds is True
    assert rate.ours == pytest.approx(64 / once.trials)
    assert judged(1.06)[0].holds is False, "however slow the other one is"
    assert judged(1.06, b.QUICK)[0].holds is None


def test_the_trainer_of_our_search_reports_as_often_as_the_plain_one(tmp_path, monkeypatch):
    from rayjobs import trainer
    from rayjobs.toy import Toy

    from orchestrator.search.trial import TrialTask, execute

    monkeypatch.setenv(trainer.VARIABLE, Toy(str(tmp_path), seconds=0.03, epochs=3).to_text())
    told = []
    task = TrialTask("job", 1, 5, "rayjobs.trainer:train", str(tmp_path / "meeting"), "run")
    (tmp_path / "meeting").mkdir()
    execute(task, told.append)
    assert [(one["epoch"], one.get("end")) for one in told] == [(1, None), (2, None), (3, "finished")]


def test_what_is_submitted_is_valid(tmp_path):
    import ray_launch
    import search_overhead
    from rayjobs.toy import Toy

    search = search_overhead.workload(search_overhead.FULL, Toy(str(tmp_path), 3.0, 4), "search")
    wide = ray_launch.Size(workers=4, rounds=1)
    documents = [search, ray_launch.program(wide, tmp_path / "a"), ray_launch.training(wide, tmp_path / "b")]
    workers = [parse_workload(json.dumps(document), "bench").workers.max for document in documents]
    assert workers == [4, 4, 4]


def test_a_launch_is_seen_from_its_directory_to_its_first_step(tmp_path):
    import ray_launch as b
    from rayjobs.launches import Watched, marks

    run = JobDirectory.under(tmp_path, "job").run("job-r1")
    run.create()
    watched = Watched(run, workers=2)
    watched.look()
    assert watched.moments == {}
    (run.path / "ray-0.json").touch()
    watched.look()
    assert list(watched.moments) == ["launched"]
    (run.path / "ray-0-driver.json").touch()
    (run.logs / "ray-0.log").write_text("… job-r1.0: asking Ray for n1: 1\n… all places are there after 0.1 s\n")
    watched.look()
    for agent in range(2):
        EventWriter(run, f"agent-{agent}", 1).append("agent_started", pid=1, host="n")
    subprocess.run([sys.executable, FIRST_STEP, tmp_path, "0"], check=True)
    assert "first step" not in marks(tmp_path, workers=2)
    (tmp_path / "begun-1").write_text("1.0")
    (tmp_path / "stepped-1").write_text("2.0")
    moments = {"submitted": 0.0, "accepted": 1.0} | watched.told() | marks(tmp_path, workers=2)
    assert set(moments) == set(b.names_of(b.WAYS[0]))
    plain = {"submitted": 0.0, "accepted": 1.0, "driver up": 2.0, "first step": 5.0}
    first, *parts = b.figures(b.FULL, {b.WAYS[0]: [moments], b.PEER: [plain], b.TRAINING: [moments]})
    assert first.ours == pytest.approx(sum(part.ours for part in parts))
    assert first.peers[b.PEER] == 5.0


@pytest.mark.parametrize("script", ["ray_launch.py", "search_overhead.py"])
def test_quick_says_what_it_does(script):
    done = subprocess.run([sys.executable, BENCHMARKS / script, "--help"], capture_output=True, text=True, check=True)
    assert "within a minute" not in done.stdout
    assert "--quick" in done.stdout


@pytest.mark.parametrize("script", ["ray_launch.py", "search_overhead.py"])
def test_without_ray_there_is_one_message(script, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['ray'] = None\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, BENCHMARKS / script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 2, done.stderr  # what it was about to do, and what it lacks
    assert done.stdout == ""
