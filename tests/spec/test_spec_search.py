"""A search's section: its engine, its sampler, what its trials take, and its rules."""

from pathlib import Path

import pytest

from orchestrator.base.errors import SpecError
from orchestrator.base.paths import bundled
from orchestrator.spec.load import freeze_workload, thaw_workload
from orchestrator.spec.regnet import RegNetWorkload
from orchestrator.spec.search import TrialShare
from orchestrator.testing.workloads import workload_in

SWEEP = bundled("workloads") / "regnet_sweep.yaml"
PBT = "{type: pbt, vary: {lr: 0.01..1}}"
ONE_MODEL = "model={depth: 4, w0: 16, wa: 8, wm: 2, group_width: 8}"


def test_an_array_is_refused_where_a_scheduler_compares_trials() -> None:
    with pytest.raises(SpecError, match=r"asha compares trials while they run.*use engine: ray"):
        workload_in(SWEEP, ["search.engine=array", "search.scheduler.type=asha"])


def test_an_array_has_as_many_trials_at_once_as_workers() -> None:
    with pytest.raises(SpecError, match=r"say how many by resources\.workers"):
        workload_in(SWEEP, ["search.engine=array", "search.concurrency=2"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["search.engine=array", "search.sampler=tpe"], "tpe learns from other trials.*sampler: random"),
        (["search.engine=array", "search.stop.core_hours=1"], "a rule looks at all trials.*use engine: ray"),
        (["search.engine=array", "search.trial.cpus=1"], "say what one has by resources"),
        (["search.sampler=tpe", "search.scheduler.type=hyperband"], "use asha or median, or sampler: random"),
        (["search.sampler=tpe", "search.stop.edf_settled={}"], "no sample of the space"),
        (["search.scheduler.type=asha", "search.stop.edf_settled={}"], "do not compare"),
        (["search.scheduler.type=pbt"], r"pbt needs vary.*such as vary: \{lr: 0\.01\.\.1\}"),
        (["search.scheduler={vary: {lr: 0.1..1}}"], "vary is for type: pbt, and this is none"),
        (["search.scheduler={type: asha, quantile: 0.5}"], "quantile is for type: pbt, and this is asha"),
        (["search.scheduler={type: hyperband, grace_epochs: 3}"], "grace_epochs is for type: asha or median, and this"),
        (["search.scheduler={type: median, reduction_factor: 2}"], "reduction_factor is for type: asha or hyperband"),
        ([f"search.scheduler={PBT}"], "name it in the section model, and leave out space"),
        (["search.engine=array", f"search.scheduler={PBT}"], "pbt compares trials while they run"),
        ([ONE_MODEL, f"search={{trials: 1, scheduler: {PBT}}}"], "2 trials at least"),
        ([ONE_MODEL, f"search={{trials: 4, sampler: tpe, scheduler: {PBT}}}"], "tpe chooses models"),
        ([ONE_MODEL, f"search={{trials: 4, stop: {{edf_settled: {{}}}}, scheduler: {PBT}}}"], "copy each other"),
        ([f"search={{trials: 4, scheduler: {PBT}}}"], "give a preset, or all of depth"),
        ([ONE_MODEL, "search={trials: 4, scheduler: {type: pbt, vary: {}}}"], "give a range of lr, of weight_decay"),
        ([ONE_MODEL, "search={trials: 4, scheduler: {type: pbt, vary: {lr: 0..1}}}"], "must begin above 0"),
        (
            [ONE_MODEL, f"search={{trials: 4, scheduler: {PBT}}}", "optim.min_lr=0.01"],
            r"search\.scheduler\.vary\.lr: 0\.01 does not fit optim: min_lr must be less than lr",
        ),
        (
            [ONE_MODEL, f"search={{trials: 4, scheduler: {PBT}}}", "train.evaluate_every_epochs=2"],
            "compared after each 1 epoch, and evaluated every 2",
        ),
        ([ONE_MODEL, f"search={{trials: 4, scheduler: {PBT}}}", "train.epochs=1"], "leaves no second generation"),
        (["search.stop.gpu_hours=1"], "trials take no GPU.*use core_hours"),
        (["search.stop.core_hours=0"], "must be more than 0"),
        (["search.trial.cpus=2"], r"a trial lies within one worker, and resources\.cpus_per_worker is 1, not 2"),
        (["search.trial.gpus=0.5"], r"resources\.gpus_per_worker is 0, not 0\.5"),
        (["resources.gpus_per_worker=2", "search.trial.gpus=1.5"], "a part of one GPU, or whole ones"),
        (["resources.gpus_per_worker=1", "search.trial.gpus=0"], "without work"),
        (["resources.gpus_per_worker=1", "search.trial.gpus=0.001"], "at least 0.01 of a GPU"),
    ],
)
def test_what_a_search_cannot_do_is_refused_with_what_to_say_instead(settings: list[str], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        workload_in(SWEEP, settings)


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        ([], (1, 0)),
        (["resources.cpus_per_worker=8", "resources.gpus_per_worker=1"], (8, 1)),
        (["resources.cpus_per_worker=8", "resources.gpus_per_worker=1", "search.trial={cpus: 2, gpus: 0.5}"], (2, 0.5)),
        (["resources.gpus_per_worker=4", "search.trial.gpus=2"], (1, 2)),
    ],
)
def test_a_trial_takes_as_much_as_a_worker_has_unless_less_is_asked(
    settings: list[str], share: tuple[int, float]
) -> None:
    workload = workload_in(SWEEP, settings)
    assert isinstance(workload, RegNetWorkload)
    assert (workload.trial_share.cpus, workload.trial_share.gpus) == share


@pytest.mark.parametrize(
    ("share", "cpus", "gpus", "at_once"),
    [
        (TrialShare(1, 0), 4, 0, 4),
        (TrialShare(3, 0), 8, 0, 2),
        (TrialShare(1, 0.5), 16, 2, 4),
        (TrialShare(8, 0.5), 16, 2, 2),
        (TrialShare(1, 0.4), 16, 2, 4),  # two on each GPU: a trial does not lie on two halves
        (TrialShare(1, 0.1), 16, 1, 10),
        (TrialShare(1, 2), 16, 5, 2),
    ],
)
def test_trials_at_once_are_as_many_as_cores_and_gpus_hold(
    share: TrialShare, cpus: int, gpus: int, at_once: int
) -> None:
    assert share.at_once(cpus, gpus) == at_once


def test_a_key_of_another_scheduler_is_told_with_its_line_and_a_frozen_workload_holds_all_keys(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    text = SWEEP.read_text().replace("    type: none ", "    resample: 0.5\n    type: asha ")
    path.write_text(text)
    line = 1 + text.splitlines().index("    resample: 0.5")
    with pytest.raises(SpecError, match=rf"sweep\.yaml:{line}:\d+: .*resample is for type: pbt, and this is asha"):
        workload_in(path, [])
    frozen = freeze_workload(workload_in(SWEEP, ["search.scheduler.type=hyperband"]))
    assert "quantile" in frozen
    assert thaw_workload(frozen) == workload_in(SWEEP, ["search.scheduler.type=hyperband"])


@pytest.mark.parametrize(
    ("resources", "trial", "nodes", "at_once"),
    [
        ("{cpus_per_worker: 4}", "{cpus: 3}", [1, 1, 1], 3),  # not 12 / 3
        ("{cpus_per_worker: 4}", "{cpus: 3}", [3], 4),
        ("{cpus_per_worker: 4, gpus_per_worker: 1}", "{cpus: 1, gpus: 0.6}", [1, 1], 2),
        ("{cpus_per_worker: 4, gpus_per_worker: 1}", "{cpus: 1, gpus: 0.6}", [5], 5),  # not 5 / 0.6
        ("{cpus_per_worker: 4, gpus_per_worker: 3}", "{cpus: 1, gpus: 2}", [1, 1], 2),  # not 6 / 2
        ("{cpus_per_worker: 4}", "{cpus: 3}", [], 1),
    ],
)
def test_trials_at_once_are_counted_node_by_node(resources: str, trial: str, nodes: list[int], at_once: int) -> None:
    workload = workload_in(SWEEP, [f"resources={resources}", f"search.trial={trial}"])
    assert isinstance(workload, RegNetWorkload)
    assert workload.trials_at_once(nodes) == at_once
