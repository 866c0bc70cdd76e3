"""What a trial tells of its speed, for the estimates of those that come later."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from orchestrator.base.paths import bundled
from orchestrator.blueprint.features import Features
from orchestrator.blueprint.regnet import RegNetParameters
from orchestrator.recipes.images import ImageSplits
from orchestrator.rundir.events import read_events
from orchestrator.rundir.layout import JobDirectory
from orchestrator.search.trainer import _Reports, _Speed
from orchestrator.search.trial import Surroundings, TrialTask
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.testing.workloads import workload_in

PARAMETERS = RegNetParameters(depth=6, w0=24, wa=24.0, wm=2.4, group_width=8, stem="cifar", stem_width=8)
MEASURED: dict[str, Any] = {"workers": 1, "device": "cpu:x", "samples": 100, "seconds": 2.0, "memory": 10**9}


def test_a_trial_tells_its_own_features_and_not_the_memory_of_the_process_that_had_others(tmp_path: Path) -> None:
    run = JobDirectory.under(tmp_path, "j-1").run("j-1-r1")
    run.create()
    workload = cast(RegNetWorkload, workload_in(bundled("workloads") / "regnet_sweep.yaml"))
    speed = _Speed(TrialTask(str(run.job.path), 1, 7, "m:f", str(run.path), str(run.path)), workload, PARAMETERS)
    about = SimpleNamespace(channels=1, classes=["a"] * 10)
    speed.opened(cast(ImageSplits, SimpleNamespace(description=about)))
    reports = _Reports(Surroundings(lambda metrics: None, lambda samples: None, lambda: False), 3, 1, speed.tell)
    reports.tell("measured", **MEASURED)
    reports.tell("goodput", useful_seconds=1.0)
    [event] = read_events(run, {})
    assert (event.writer, event.kind, event.data["trial"]) == ("trial-7", "measured", 7)
    assert "memory" not in event.data
    features = Features.from_json(event.data["features"])
    assert (features.family, features.inputs, features.slice_samples) == ("regnet", 256, 64)
    assert features.flops > 0
